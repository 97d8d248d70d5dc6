#include "tests/bench/network/sides.h"

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "controller/base/network_names.h"
#include "tests/bench/network/foreign.h"

namespace forkplane::bench {
namespace {

constexpr std::size_t kCommitBytes = 4096;

class Ours final : public Side {
 public:
  explicit Ours(std::unique_ptr<World> world) : world_(std::move(world)) {}
  std::string name() const override { return "ours"; }

  Status Raise(std::uint32_t count) override { return RaiseVms(*world_, "vm", count); }
  Status Drop() override { return world_->ReleaseAll(); }

 private:
  std::unique_ptr<World> world_;
};

class Bare final : public Foreign {
 public:
  Bare(std::unique_ptr<Drivers> drivers, UniqueFd file)
      : Foreign(std::move(drivers)), file_(std::move(file)) {}
  std::string name() const override { return "floor"; }

  Status Raise(std::uint32_t count) override {
    SetCount(count);
    static constexpr std::array<char, kCommitBytes> kRecord = {};
    if (write(file_.get(), kRecord.data(), kRecord.size()) < 0 || fdatasync(file_.get()) != 0) {
      return FromErrno(errno, "commit");
    }
    for (std::uint32_t n = 1; n <= count; ++n) RETURN_IF_ERROR(RaiseOne(n));
    return OkStatus();
  }

 private:
  Status RaiseOne(std::uint32_t number) {
    const std::uint32_t tap = TapIndex(number);
    const shaping::Rates rates = RatesOf(number);
    RETURN_IF_ERROR(MakeTap(number));
    RETURN_IF_ERROR(on().qdiscs->AddClsact(tap));
    RETURN_IF_ERROR(Translate(number));
    RETURN_IF_ERROR(on().qdiscs->AddTbf(tap, rates.tbf));
    RETURN_IF_ERROR(Plug(number));
    RETURN_IF_ERROR(on().qdiscs->AddClass(IfbIndex(0), rates.htb));
    return on().qdiscs->SetLeaf(IfbIndex(0), number, rates.leaf);
  }

  UniqueFd file_;
};

class Exec final : public Foreign {
 public:
  using Foreign::Foreign;
  std::string name() const override { return "peer"; }

  Status Raise(std::uint32_t count) override {
    SetCount(count);
    return crew().Run(count, [this](std::uint32_t n) { return RaiseOne(n); });
  }

 private:
  Status RaiseOne(std::uint32_t number) {
    const std::string tap = TapName(number);
    const std::string ifb = IfbName(0);
    const std::string handle = fmt::format("7f00:{:x}", number);
    const std::string root = fmt::format("7f00:{:x}", kRootClassMinor);
    const shaping::Rates rates = RatesOf(number);
    const auto text = [](auto value) { return std::to_string(value); };
    const std::string rate = fmt::format("{}bps", rates.htb.rate_bytes_per_second);
    RETURN_IF_ERROR(MakeTap(number));
    RETURN_IF_ERROR(Plug(number));
    RETURN_IF_ERROR(
        RunProgram({"tc", "qdisc", "add", "dev", tap, "root", "handle", "7f01:", "tbf", "rate",
                    fmt::format("{}bps", rates.tbf.rate_bytes_per_second), "burst",
                    text(rates.tbf.burst_bytes), "limit", text(rates.tbf.limit_bytes)}));
    RETURN_IF_ERROR(RunProgram({"tc",      "class",
                                "add",     "dev",
                                ifb,       "parent",
                                root,      "classid",
                                handle,    "htb",
                                "rate",    rate,
                                "ceil",    rate,
                                "burst",   text(rates.htb.burst_bytes),
                                "cburst",  text(rates.htb.ceil_burst_bytes),
                                "quantum", text(rates.htb.quantum_bytes)}));
    RETURN_IF_ERROR(RunProgram({"tc", "qdisc", "add", "dev", ifb, "parent", handle, "bfifo",
                                "limit", text(rates.leaf.limit_bytes)}));
    RETURN_IF_ERROR(RunProgram({"tc", "qdisc", "add", "dev", tap, "clsact"}));
    return RunProgram({"tc",  "filter", "add",    "dev",    tap,        "ingress", "protocol",
                       "all", "prio",   "1",      "u32",    "match",    "u32",     "0",
                       "0",   "action", "mirred", "egress", "redirect", "dev",     ifb});
  }
};

}  // namespace

Result<Namespace> Namespace::New() {
  if (unshare(CLONE_NEWNET) != 0) return FromErrno(errno, "new network namespace");
  UniqueFd fd(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return FromErrno(errno, "open the network namespace");
  return Namespace(std::move(fd));
}

Status Namespace::Enter() const {
  if (setns(fd_.get(), CLONE_NEWNET) == 0) return OkStatus();
  return FromErrno(errno, "enter the network namespace");
}

Result<std::unique_ptr<Side>> OpenOurs(const std::string& directory) {
  ASSIGN_OR_RETURN(auto world, World::Open(directory, 0));
  return std::unique_ptr<Side>(std::make_unique<Ours>(std::move(world)));
}

Result<std::unique_ptr<Side>> OpenBare(const std::string& directory) {
  ASSIGN_OR_RETURN(auto on, OpenHost(directory + "/bare.db"));
  UniqueFd file(
      open((directory + "/commits").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  if (!file.valid()) return FromErrno(errno, "open the commit file");
  return std::unique_ptr<Side>(std::make_unique<Bare>(std::move(on), std::move(file)));
}

Result<std::unique_ptr<Side>> OpenExec(const std::string& directory) {
  ASSIGN_OR_RETURN(auto on, OpenHost(directory + "/exec.db"));
  return std::unique_ptr<Side>(std::make_unique<Exec>(std::move(on)));
}

}  // namespace forkplane::bench
