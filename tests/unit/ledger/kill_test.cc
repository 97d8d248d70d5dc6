// Goal: whatever 25 threads ask of the ledger, a SIGKILL right before or right after any commit
// loses nothing that was answered, hands nothing out twice, and leaks nothing for ever.
// Method: a child runs the workers and is killed at a commit; what it said over a pipe is what the
// file must hold (promises.h), and the file's own rules must hold (file_judge.h). Then every owner
// is driven to its end, by a child that is killed on its way too, and all must be free again.
// Ledgers that lie must be found out. The first seed is printed; FORKPLANE_TEST_SEED sets it.
#include <poll.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <thread>

#include "controller/base/unique_fd.h"
#include "tests/unit/ledger/fixture.h"
#include "tests/unit/ledger/lying_ledger.h"
#include "tests/unit/ledger/property_support.h"
#include "tests/unit/ledger/worker.h"

namespace forkplane::ledger {
namespace {

constexpr int kSteps = 40;
constexpr std::uint32_t kUidsToGive = 40;
constexpr std::uint32_t kClassesPerDomain = 6;

struct Kill {
  int commit = 0;  // 0: never
  bool after = false;
  bool slow = false;  // a commit takes as long as on a disk, so that requests gather for the next
};

class LedgerKillTest : public ::testing::Test {
 protected:
  void SetUp() override {
    options_.path = dir_.File("ledger.db");
    options_.boot_id = "boot-1";
    options_.uid_count = kUidsToGive;
    options_.slots_default = 2;
    options_.shaping_domains = 2;
    options_.classes_per_domain = kClassesPerDomain;
    options_.ports_per_bridge = kJudgedPorts;
    void* shared =
        ::mmap(nullptr, sizeof(int), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(shared != MAP_FAILED);
    commits_ = static_cast<int*>(shared);
  }
  void TearDown() override { ::munmap(commits_, sizeof(int)); }

  std::unique_ptr<Ledger> Open(Kill kill = {}) {
    Options options = options_;
    options.commit_hook = [this, kill](int n, bool done) {
      if (done) *commits_ = n;
      if (!done && kill.slow) ::poll(nullptr, 0, 1);
      if (n == kill.commit && done == kill.after) ::kill(::getpid(), SIGKILL);
    };
    auto opened = Ledger::Open(options, clock_, ids_);
    CHECK(opened.ok());
    return std::move(opened).value();
  }

  [[noreturn]] void RunWorkers(std::uint64_t seed, Kill kill, Lie lie, int out) {
    LyingLedger ledger(Open(kill), lie);
    const Worker::World world{ledger, clock_, seed, kSteps, out};
    for (const int n : {0, 1}) Worker(world, 1).ClaimNetwork(n);
    {
      std::vector<std::jthread> threads;
      for (std::uint32_t id = 0; id < kWorkers; ++id) {
        threads.emplace_back([&world, id] { Worker(world, id).Run(); });
      }
    }
    ::_exit(0);
  }

  // Every owner to its end, as the loops of a restarted daemon would: whatever stands is let go.
  static Status DriveToTheEnd(Ledger& ledger, Rng& rng) {
    std::vector<LeaseId> leases;
    for (const VmLease& vm : ledger.ListAll().vms) {
      RETURN_IF_ERROR(ledger.ClearVmm(vm.owner.uid));
      RETURN_IF_ERROR(ledger.Release(vm.owner.uid));
      for (const InterfaceLease& lease : vm.interfaces) leases.push_back(lease.id);
    }
    const bool tap_first = rng.Below(2) == 0;
    RETURN_IF_ERROR(ledger.ConfirmAbsent(leases, tap_first ? Part::kTap : Part::kClass));
    for (const LeaseId lease : leases) {
      RETURN_IF_ERROR(ledger.ConfirmAbsent(lease, tap_first ? Part::kClass : Part::kTap));
    }
    for (const NetworkLease& network : ledger.ListAll().networks) {
      RETURN_IF_ERROR(ledger.BeginReleaseNetwork(network.parameters.uid));
      for (const FurtherBridge& further : network.further) {
        RETURN_IF_ERROR(ledger.BeginReleaseBridge(further.number));
        RETURN_IF_ERROR(ledger.ConfirmBridgeAbsent(further.number));
      }
      RETURN_IF_ERROR(ledger.ConfirmNetworkAbsent(network.parameters.uid));
    }
    return OkStatus();
  }

  // What the child said until it ended. Its own CHECKs must not have ended it.
  std::vector<Record> Said(const std::function<void(int out)>& child, bool& killed) {
    int fds[2];
    CHECK(::pipe(fds) == 0);
    UniqueFd in(fds[0]);
    UniqueFd out(fds[1]);
    const pid_t pid = ::fork();
    if (pid == 0) {
      child(out.get());
      ::_exit(0);
    }
    out.Reset();
    std::string bytes;
    char buffer[65536];
    for (ssize_t n = 0; (n = ::read(in.get(), buffer, sizeof buffer)) > 0;) {
      bytes.append(buffer, static_cast<std::size_t>(n));
    }
    int status = 0;
    CHECK(::waitpid(pid, &status, 0) == pid);
    killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    if (!killed && (!WIFEXITED(status) || WEXITSTATUS(status) != 0)) {
      wrong_.push_back(fmt::format("the process ended with {}", status));
    }
    std::vector<Record> records(bytes.size() / sizeof(Record));
    CHECK(records.size() * sizeof(Record) == bytes.size());
    bytes.copy(reinterpret_cast<char*>(records.data()), bytes.size());
    return records;
  }

  void Collect(const std::vector<std::string>& wrong) {
    wrong_.insert(wrong_.end(), wrong.begin(), wrong.end());
  }

  // One life of a file: workers, a kill, what is left judged; a recovery, a kill, the rest of it.
  // Returns whether the workers were killed.
  bool RunOnce(std::uint64_t seed, Kill kill, Lie lie) {
    wrong_.clear();
    for (const char* suffix : {"", "-wal", "-shm"}) std::filesystem::remove(options_.path + suffix);
    bool killed = false;
    Promises promises(Milliseconds(clock_), {{kSlotPools[0], options_.slots_default},
                                             {kSlotPools[1], options_.slots_default}});
    for (const Record& record : Said([&](int out) { RunWorkers(seed, kill, lie, out); }, killed)) {
      promises.Take(record);
    }
    said_ += promises.taken();
    worker_commits_ = *commits_;
    promises.CheckFile(FileJudge(options_.path));
    Collect(promises.wrong());
    clock_.Advance(std::chrono::milliseconds(promises.clock_ms() - Milliseconds(clock_)));
    if (wrong_.empty()) Recover(seed, lie, promises);
    return killed;
  }

  void Recover(std::uint64_t seed, Lie lie, const Promises& promises) {
    SeededRng rng(seed);
    const Kill kill{static_cast<int>(1 + rng.Below(60)), rng.Below(2) == 0};
    bool killed = false;
    Said(
        [&](int) {
          LyingLedger ledger(Open(kill), lie);
          if (!DriveToTheEnd(ledger, rng).ok()) ::_exit(1);
        },
        killed);
    Collect(FileJudge(options_.path).Wrong(promises.totals()));
    if (!wrong_.empty()) return;
    if (rng.Below(2) == 0) options_.boot_id += "+";
    {
      LyingLedger ledger(Open(), lie);
      const Status done = DriveToTheEnd(ledger, rng);
      if (!done.ok()) wrong_.push_back("recovery: " + done.error().message);
      clock_.Advance(NetworkOf(0).address_rest);
      CHECK(ledger.GrantSlots(kSlotPools[0], 1).ok());  // any commit ends the rests that are over
    }
    for (const auto& [table, rows] : FileJudge(options_.path).Left()) {
      if (rows > 0) wrong_.push_back(fmt::format("{} {} are held for ever", rows, table));
    }
    if (wrong_.empty()) ExpectAllToGive(promises);
  }

  // What a new ledger would hand out, this one hands out too.
  void ExpectAllToGive(const Promises& promises) {
    const auto ledger = Open();
    const auto network = ledger->ClaimNetwork(NetworkOf(1));
    if (!network.ok() || network->bridge != 0) wrong_.push_back("bridge 0 is not free");
    const std::uint32_t hosts = 16 - 4;
    for (std::uint32_t i = 0; i <= hosts; ++i) {
      VmClaim claim = ClaimOf(fmt::format("new-{}", i), 1, NetworkOf(1).uid);
      const auto vm = ledger->Claim(claim);
      if (vm.ok() != (i < hosts)) wrong_.push_back(fmt::format("claim {} of {}", i, hosts));
      if (!vm.ok() || vm->interfaces.empty()) continue;
      const InterfaceLease& lease = vm->interfaces[0];
      const bool lowest =
          vm->vmm_uid == options_.uid_first + i &&
          lease.number == MakeNumber(i / kClassesPerDomain, 1 + i % kClassesPerDomain) &&
          lease.bridge == i / kJudgedPorts && lease.address == NetworkOf(1).cidr.At(3 + i);
      if (!lowest) wrong_.push_back(fmt::format("claim {} is not given the lowest", i));
      if (lease.id <= promises.highest_lease()) wrong_.push_back("a lease id is used twice");
    }
  }

  static std::int64_t Milliseconds(const Clock& clock) {
    return std::chrono::duration_cast<std::chrono::milliseconds>(clock.Now().time_since_epoch())
        .count();
  }

  MemoryDir dir_;  // a killed process takes nothing from the page cache
  ManualClock clock_;
  SeededRng ids_{1};
  Options options_;
  int* commits_ = nullptr;  // of the last child, also when it was killed
  int worker_commits_ = 0;
  std::size_t said_ = 0;
  std::vector<std::string> wrong_;
};

TEST_F(LedgerKillTest, AtAnyCommitKeepsEveryPromiseAndLeaksNothing) {
  fmt::print("FORKPLANE_TEST_SEED={}\n", FirstSeed());
  std::fflush(stdout);  // not once more by each child
  std::uint64_t seed = FirstSeed();
  int runs = 0;
  int kills = 0;
  for (const bool slow : {false, true}) {
    ASSERT_FALSE(RunOnce(seed, {.slow = slow}, Lie::kNone));
    const int commits = worker_commits_;
    const int points = Depth() == 0 ? 2 : (Depth() == 1 ? 32 : 2 * commits);
    for (int i = 0; i < points; ++i) {
      // The threads take other turns each time: a run may end before the commit it was to die at.
      const Kill kill{1 + i * commits / points, i % 2 == 0, slow};
      ++runs;
      kills += RunOnce(++seed, kill, Lie::kNone) ? 1 : 0;
      for (const std::string& text : wrong_) {
        ADD_FAILURE() << text << "; killed " << (kill.after ? "after" : "before") << " commit "
                      << kill.commit << " of seed " << seed << (slow ? ", slow" : "");
      }
      if (!wrong_.empty()) return;
    }
  }
  fmt::print("{} kills in {} runs, {} records\n", kills, runs, said_);
  EXPECT_GE(kills, runs / 2) << "most runs must be killed on their way";
}

TEST_F(LedgerKillTest, EveryLieIsFoundOut) {
  for (const NamedLie& lie : kLies) {
    for (int i = 0; i < 12 && wrong_.empty(); ++i) {
      RunOnce(FirstSeed() + static_cast<std::uint64_t>(i), {15 + 10 * i, i % 2 == 0, i % 4 < 2},
              lie.lie);
    }
    EXPECT_FALSE(wrong_.empty()) << "survived: " << lie.name;
    if (!wrong_.empty()) fmt::print("killed   {}: {}\n", lie.name, wrong_.front());
    wrong_.clear();
  }
}

}  // namespace
}  // namespace forkplane::ledger
