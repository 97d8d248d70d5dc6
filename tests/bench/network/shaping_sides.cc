#include "tests/bench/network/shaping_sides.h"

#include <fstream>

#include "controller/base/network_names.h"
#include "reconcilers/shaping/reconciler.h"
#include "tests/bench/network/foreign.h"

namespace forkplane::bench {
namespace {

constexpr std::uint64_t kUnshapedBytesPerSecond = 625'000;

drivers::Tbf Unshaped() {
  return {kUnshapedBytesPerSecond, drivers::DefaultBurst(kUnshapedBytesPerSecond, kMtuDefault),
          drivers::DefaultQueueBytes(kUnshapedBytesPerSecond)};
}

// TAPs with numbers from 1 on the first IFB, made once.
class Shaped : public Foreign {
 public:
  using Foreign::Foreign;

  Status Prepare(std::uint32_t count) override {
    for (std::uint32_t n = Foreign::count() + 1; n <= count; ++n) {
      RETURN_IF_ERROR(MakeTap(n));
      RETURN_IF_ERROR(on().qdiscs->AddTbf(TapIndex(n), Unshaped()));
    }
    SetCount(count);
    return OkStatus();
  }

  Status Drop() override {
    ASSIGN_OR_RETURN(const auto domain, on().qdiscs->ObserveDomain(IfbIndex(0)));
    RETURN_IF_ERROR(Judge(domain));
    for (std::uint32_t n = 1; n <= count(); ++n) {
      RETURN_IF_ERROR(on().qdiscs->DeleteClass(IfbIndex(0), n));
      RETURN_IF_ERROR(on().qdiscs->ChangeTbf(TapIndex(n), Unshaped(), drivers::Queue::kDrop));
    }
    return OkStatus();
  }

 private:
  // All sides must have done the same.
  Status Judge(const drivers::DomainQdiscs& domain) {
    std::uint32_t shaped = 0;
    for (const auto& is : domain.uplink->classes) {
      const shaping::Rates rates = RatesOf(is.htb.minor);
      const auto port = domain.ports.find(TapIndex(is.htb.minor));
      const bool narrowed =
          port != domain.ports.end() && port->second.root && port->second.root->tbf &&
          port->second.root->tbf->rate_bytes_per_second == rates.tbf.rate_bytes_per_second;
      if (narrowed && is.leaf == rates.leaf &&
          is.htb.rate_bytes_per_second == rates.htb.rate_bytes_per_second) {
        ++shaped;
      }
    }
    if (shaped == count()) return OkStatus();
    return Internal(fmt::format("{} of {} VMs were shaped", shaped, count()));
  }
};

class Ours final : public Shaped {
 public:
  Ours(std::unique_ptr<Drivers> on, std::unique_ptr<ledger::Ledger> ledger)
      : Shaped(std::move(on)),
        ledger_(std::move(ledger)),
        loop_(*ledger_, specs_, *this->on().qdiscs, facts_, {.registry = &metrics_}) {}
  std::string name() const override { return "ours"; }

  Status Prepare(std::uint32_t count) override {
    const std::uint32_t before = Foreign::count();
    RETURN_IF_ERROR(Shaped::Prepare(count));
    for (std::uint32_t n = before + 1; n <= count; ++n) {
      const std::string uid = fmt::format("vm-{}", n);
      specs_.Set(uid, Limits(kDownloadBits, kUploadBits, kUploadBits));
      ASSIGN_OR_RETURN(const auto lease, ledger_->Claim(ClaimOf(uid)));
      if (lease.interfaces.front().number != n) {
        return Internal(fmt::format("VM {} got number {}", n, lease.interfaces.front().number));
      }
      // As the tap loop does, which no longer leaves the rest to this one.
      facts_.Publish(ledger::KeyOf(lease.interfaces.front().id), {.ready = true});
    }
    return OkStatus();
  }
  Status Raise(std::uint32_t) override {
    auto pass = loop_.Reconcile("0", {});
    return pass.ok() ? OkStatus() : Status(std::move(pass).error());
  }

 private:
  metrics::Registry metrics_;
  std::unique_ptr<ledger::Ledger> ledger_;
  Specs specs_;
  runtime::InterfaceFactBoard facts_;
  shaping::ShapingReconciler loop_;
};

class Bare final : public Shaped {
 public:
  using Shaped::Shaped;
  std::string name() const override { return "floor"; }

  Status Raise(std::uint32_t count) override {
    for (std::uint32_t n = 1; n <= count; ++n) {
      const shaping::Rates rates = RatesOf(n);
      RETURN_IF_ERROR(on().qdiscs->AddClass(IfbIndex(0), rates.htb));
      RETURN_IF_ERROR(on().qdiscs->SetLeaf(IfbIndex(0), n, rates.leaf));
      RETURN_IF_ERROR(on().qdiscs->ChangeTbf(TapIndex(n), rates.tbf, drivers::Queue::kKeep));
    }
    return OkStatus();
  }
};

class Batch final : public Shaped {
 public:
  Batch(std::unique_ptr<Drivers> on, std::string file)
      : Shaped(std::move(on)), file_(std::move(file)) {}
  std::string name() const override { return "peer"; }

  Status Prepare(std::uint32_t count) override {
    RETURN_IF_ERROR(Shaped::Prepare(count));
    std::ofstream out(file_);
    for (std::uint32_t n = 1; n <= count; ++n) {
      const shaping::Rates r = RatesOf(n);
      out << fmt::format(
          "class add dev {0} parent 7f00:{1:x} classid 7f00:{2:x} htb rate {3}bps ceil {3}bps "
          "burst {4} cburst {5} quantum {6}\n"
          "qdisc add dev {0} parent 7f00:{2:x} bfifo limit {7}\n"
          "qdisc change dev {8} root handle 7f01: tbf rate {9}bps burst {10} limit {11}\n",
          IfbName(0), kRootClassMinor, n, r.htb.rate_bytes_per_second, r.htb.burst_bytes,
          r.htb.ceil_burst_bytes, r.htb.quantum_bytes, r.leaf.limit_bytes, TapName(n),
          r.tbf.rate_bytes_per_second, r.tbf.burst_bytes, r.tbf.limit_bytes);
    }
    return out.flush() ? OkStatus() : Status(Unavailable("write " + file_));
  }
  Status Raise(std::uint32_t) override { return RunProgram({"tc", "-batch", file_}); }

 private:
  const std::string file_;
};

}  // namespace

Result<std::unique_ptr<Side>> OpenShapingOurs(const std::string& directory) {
  ledger::Options options;
  options.path = directory + "/shaping.db";
  ASSIGN_OR_RETURN(auto ledger, ledger::Ledger::Open(std::move(options), RealClock(), SystemRng()));
  if (auto network = ledger->ClaimNetwork(BenchNetwork()); !network.ok()) {
    return std::move(network).error();
  }
  ASSIGN_OR_RETURN(auto on, OpenDrivers());
  RETURN_IF_ERROR(RaiseHost(*on, *ledger, 0));
  return std::unique_ptr<Side>(std::make_unique<Ours>(std::move(on), std::move(ledger)));
}

Result<std::unique_ptr<Side>> OpenShapingBare(const std::string& directory) {
  ASSIGN_OR_RETURN(auto on, OpenHost(directory + "/bare-shaping.db"));
  return std::unique_ptr<Side>(std::make_unique<Bare>(std::move(on)));
}

Result<std::unique_ptr<Side>> OpenShapingBatch(const std::string& directory) {
  ASSIGN_OR_RETURN(auto on, OpenHost(directory + "/batch.db"));
  return std::unique_ptr<Side>(std::make_unique<Batch>(std::move(on), directory + "/batch.tc"));
}

}  // namespace forkplane::bench
