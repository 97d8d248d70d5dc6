#include "tests/bench/network/sides.h"

#include <fcntl.h>
#include <sched.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <functional>
#include <latch>
#include <thread>

#include "controller/base/network_names.h"
#include "reconcilers/host/reconciler.h"
#include "reconcilers/shaping/rates.h"

namespace forkplane::bench {
namespace {

using drivers::Direction;

constexpr std::uint32_t kFirstAddress = 0x0a4d0100;  // 10.77.1.0
constexpr std::size_t kCommitBytes = 4096;
constexpr std::uint32_t kDeletionThreads = 16;

shaping::Rates RatesOf(std::uint32_t number) {
  const crd::Bandwidth limits = Limits(kDownloadBits, kUploadBits, kUploadBits);
  return shaping::RatesOf(number, limits, kMtuDefault, {host::kUnknownCapacityBits / 8, {}});
}

// Runs `each(n)` for n = 1..count, one thread per n; all begin at once. The first error wins.
Status AtOnce(std::uint32_t count, const std::function<Status(std::uint32_t)>& each) {
  std::latch start(1);
  std::vector<Status> outcomes(count, OkStatus());
  {
    std::vector<std::jthread> threads;
    for (std::uint32_t i = 0; i < count; ++i) {
      threads.emplace_back([&, i] {
        start.wait();
        outcomes[i] = each(i + 1);
      });
    }
    start.count_down();
  }
  for (Status& outcome : outcomes) RETURN_IF_ERROR(std::move(outcome));
  return OkStatus();
}

class Ours final : public Side {
 public:
  explicit Ours(std::unique_ptr<World> world) : world_(std::move(world)) {}
  std::string name() const override { return "ours"; }

  Status Raise(std::uint32_t count) override {
    world_->Expect(count);
    const Status claimed = AtOnce(count, [this](std::uint32_t n) {
      const std::string uid = fmt::format("vm-{}", n);
      world_->specs().Set(uid, Limits(kDownloadBits, kUploadBits, kUploadBits));
      auto lease = world_->Claim(uid);
      return lease.ok() ? OkStatus() : Status(std::move(lease).error());
    });
    RETURN_IF_ERROR(claimed);
    return world_->WaitUntilShaped();
  }
  Status Drop() override { return world_->ReleaseAll(); }

 private:
  std::unique_ptr<World> world_;
};

// A host with everything that VMs share, raised by our host loop, and what both foreign sides do
// with netlink.
class Foreign : public Side {
 public:
  explicit Foreign(std::unique_ptr<Drivers> drivers) : on_(std::move(drivers)) {}

  Status Drop() override {
    return AtOnce(kDeletionThreads, [this](std::uint32_t thread) -> Status {
      for (std::uint32_t n = thread; n <= count_; n += kDeletionThreads) {
        RETURN_IF_ERROR(DropOne(n));
      }
      return OkStatus();
    });
  }

 protected:
  Status MakeTap(std::uint32_t number) {
    drivers::TapSpec spec;
    spec.number = number;
    spec.alias = fmt::format("vm-{}", number);
    RETURN_IF_ERROR(on_->taps->Create(spec));
    return on_->sysctls.DisableIpv6(TapName(number));
  }

  Status Plug(std::uint32_t number) {
    const std::uint32_t bridge = BridgeIndex(0);
    RETURN_IF_ERROR(on_->links->SetMaster(TapIndex(number), bridge));
    RETURN_IF_ERROR(on_->links->SetPortUp(TapIndex(number), true));
    RETURN_IF_ERROR(on_->routes->AddHostRoute(bridge, AddressOf(number)));
    return on_->routes->SetNeighbour(bridge, {AddressOf(number), OuterMac(number)});
  }

  static Ipv4 AddressOf(std::uint32_t number) { return {kFirstAddress + number}; }
  Drivers& on() { return *on_; }
  void SetCount(std::uint32_t count) { count_ = count; }

 private:
  Status DropOne(std::uint32_t number) {
    const std::uint32_t bridge = BridgeIndex(0);
    RETURN_IF_ERROR(on_->routes->DeleteNeighbour(bridge, AddressOf(number)));
    RETURN_IF_ERROR(on_->routes->DeleteHostRoute(bridge, AddressOf(number)));
    RETURN_IF_ERROR(on_->qdiscs->DeleteClass(IfbIndex(0), number));
    RETURN_IF_ERROR(on_->taps->Delete(number));
    const Status entry = on_->identities->DeleteEntry(TapIndex(number));
    return entry.ok() || entry.error().code == Code::kNotFound ? OkStatus() : entry;
  }

  std::unique_ptr<Drivers> on_;
  std::uint32_t count_ = 0;
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
    RETURN_IF_ERROR(on().identities->SetEntry(
        tap,
        {InnerMac(0), OuterMac(number), Ipv4{kGateway.value + 1}, AddressOf(number), kGateway}));
    RETURN_IF_ERROR(on().identities->Attach(tap, Direction::kIngress));
    RETURN_IF_ERROR(on().identities->Attach(tap, Direction::kEgress));
    RETURN_IF_ERROR(on().qdiscs->AddTbf(tap, rates.tbf));
    RETURN_IF_ERROR(Plug(number));
    RETURN_IF_ERROR(on().qdiscs->AddClass(IfbIndex(0), rates.htb));
    return on().qdiscs->SetLeaf(IfbIndex(0), number, rates.leaf);
  }

  UniqueFd file_;
};

// One program, waited for. Its stderr is dropped: `tc` warns of dumps that its neighbours disturb.
Status Run(const std::vector<std::string>& words) {
  std::vector<char*> argv;
  for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  pid_t pid = 0;
  const int error = posix_spawnp(&pid, argv[0], &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) return FromErrno(error, words.front());
  int status = 0;
  if (waitpid(pid, &status, 0) != pid || status != 0) {
    return Unavailable(fmt::format("{} exited with {}", fmt::join(words, " "), status));
  }
  return OkStatus();
}

class Exec final : public Foreign {
 public:
  using Foreign::Foreign;
  std::string name() const override { return "peer"; }

  Status Raise(std::uint32_t count) override {
    SetCount(count);
    return AtOnce(count, [this](std::uint32_t n) { return RaiseOne(n); });
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
    RETURN_IF_ERROR(Run({"tc", "qdisc", "add", "dev", tap, "root", "handle", "7f01:", "tbf", "rate",
                         fmt::format("{}bps", rates.tbf.rate_bytes_per_second), "burst",
                         text(rates.tbf.burst_bytes), "limit", text(rates.tbf.limit_bytes)}));
    RETURN_IF_ERROR(Run({"tc",      "class",
                         "add",     "dev",
                         ifb,       "parent",
                         root,      "classid",
                         handle,    "htb",
                         "rate",    rate,
                         "ceil",    rate,
                         "burst",   text(rates.htb.burst_bytes),
                         "cburst",  text(rates.htb.ceil_burst_bytes),
                         "quantum", text(rates.htb.quantum_bytes)}));
    RETURN_IF_ERROR(Run({"tc", "qdisc", "add", "dev", ifb, "parent", handle, "bfifo", "limit",
                         text(rates.leaf.limit_bytes)}));
    RETURN_IF_ERROR(Run({"tc", "qdisc", "add", "dev", tap, "clsact"}));
    return Run({"tc",  "filter", "add",    "dev",    tap,        "ingress", "protocol",
                "all", "prio",   "1",      "u32",    "match",    "u32",     "0",
                "0",   "action", "mirred", "egress", "redirect", "dev",     ifb});
  }
};

// A host in the namespace of this thread. The ledger only answers the host loop's questions.
Result<std::unique_ptr<Drivers>> OpenHost(const std::string& path) {
  ASSIGN_OR_RETURN(auto on, OpenDrivers());
  ledger::Options options;
  options.path = path;
  ASSIGN_OR_RETURN(const auto ledger,
                   ledger::Ledger::Open(std::move(options), RealClock(), SystemRng()));
  RETURN_IF_ERROR(RaiseHost(*on, *ledger, 0));
  return on;
}

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
