// Goal: 25 threads that claim and let go at the same time never hold the same thing, and share
// commits. Method: each thread walks its own random path by a printed seed; whoever holds a number
// or an address marks it in a table of atomics that must have been unmarked.
#include <semaphore>
#include <thread>

#include "tests/unit/ledger/fixture.h"

namespace forkplane::ledger {
namespace {

constexpr int kThreads = 25;
constexpr int kRounds = 12;

class BurstTest : public LedgerTest {
 protected:
  void Walk(int thread) {
    SeededRng rng(static_cast<std::uint64_t>(thread) + 1);
    for (int round = 0; round < kRounds; ++round) {
      VmClaim claim = ClaimOf(fmt::format("vm{}-{}", thread, round),
                              static_cast<std::uint32_t>(1 + rng.Below(2)));
      claim.slot_pool = "qemu";
      const auto vm = ledger_->Claim(claim);
      ASSERT_TRUE(vm.ok()) << vm.error().message;
      Mark(*vm, 1);
      if (rng.Below(2) == 0) {
        const auto again = ledger_->Claim(claim);
        ASSERT_TRUE(again.ok());
        EXPECT_EQ(again->interfaces, vm->interfaces);
      }
      if (rng.Below(3) != 0) continue;  // some stay
      Mark(*vm, -1);
      LetGo(claim.owner.name);
    }
  }

  void Mark(const VmLease& vm, int by) {
    for (const auto& lease : vm.interfaces) {
      EXPECT_EQ(numbers_.at(lease.number).fetch_add(by), by > 0 ? 0 : 1) << lease.number;
      EXPECT_EQ(addresses_.at(lease.address.value & 0xffff).fetch_add(by), by > 0 ? 0 : 1);
    }
    EXPECT_EQ(uids_.at(vm.vmm_uid - options_.uid_first).fetch_add(by), by > 0 ? 0 : 1);
  }

  std::vector<std::atomic<int>> numbers_ = std::vector<std::atomic<int>>(65536);
  std::vector<std::atomic<int>> addresses_ = std::vector<std::atomic<int>>(65536);
  std::vector<std::atomic<int>> uids_ = std::vector<std::atomic<int>>(65536);
};

TEST_F(BurstTest, NothingIsHeldTwiceAndTheSlotTotalIsKept) {
  NetworkParameters network = SmallNetwork("net-1", "default", "10.0.0.0/16");
  network.address_rest = std::chrono::milliseconds(0);
  AddNetwork(network);
  ASSERT_TRUE(ledger_->GrantSlots("qemu", 7).ok());
  {
    std::vector<std::jthread> threads;
    threads.reserve(kThreads);
    for (int i = 0; i < kThreads; ++i) threads.emplace_back([this, i] { Walk(i); });
  }
  const Listing all = ledger_->ListAll();
  std::size_t interfaces = 0;
  for (const auto& vm : all.vms) interfaces += vm.interfaces.size();
  const auto marked = std::count_if(numbers_.begin(), numbers_.end(),
                                    [](const std::atomic<int>& n) { return n.load() == 1; });
  EXPECT_EQ(static_cast<std::size_t>(marked), interfaces);
  EXPECT_EQ(all.pools.at(0).granted, 7u);
  EXPECT_EQ(all.pools.at(0).granted + all.pools.at(0).waiting.size(), all.vms.size());
  Reopen();
  EXPECT_EQ(ledger_->ListAll().vms.size(), all.vms.size());
}

TEST_F(BurstTest, ABurstSharesCommits) {
  std::atomic<int> commits = 0;
  std::atomic<int> started = 0;
  // A commit is held until every thread is on its way into Claim.
  options_.commit_hook = [&](int n, bool done) {
    commits += done ? 1 : 0;
    while (n > 1 && !done && started.load() < kThreads) std::this_thread::yield();
  };
  Reopen();
  AddNetwork(SmallNetwork("net-1", "default", "10.0.0.0/16"));
  {
    std::vector<std::jthread> threads;
    threads.reserve(kThreads);
    for (int i = 0; i < kThreads; ++i) {
      threads.emplace_back([this, i, &started] {
        ++started;
        EXPECT_TRUE(ledger_->Claim(ClaimOf(fmt::format("vm{}", i))).ok());
      });
    }
  }
  EXPECT_EQ(ledger_->ListAll().vms.size(), static_cast<std::size_t>(kThreads));
  EXPECT_LT(commits.load() - 1, kThreads);
}

// A subscriber that takes its time holds up whoever asked for that commit, and nobody else.
TEST_F(BurstTest, OthersCommitWhileASubscriberHears) {
  AddNetwork(SmallNetwork("net-1", "default", "10.0.0.0/16"));
  std::binary_semaphore hears(0);
  std::binary_semaphore go_on(0);
  std::atomic<bool> answered = false;
  const auto handle = ledger_->Subscribe([&](const Change& change) {
    if (change.owner_uid != "uid-slow" || change.kind != Change::Kind::kVm) return;
    hears.release();
    go_on.acquire();
  });
  std::jthread slow([&] {
    EXPECT_TRUE(ledger_->Claim(ClaimOf("slow")).ok());
    answered = true;
  });
  hears.acquire();
  EXPECT_TRUE(ledger_->GetVm("uid-slow").has_value()) << "it is committed";
  EXPECT_TRUE(ledger_->Claim(ClaimOf("other")).ok());
  EXPECT_FALSE(answered.load()) << "who asked is answered after the subscribers have heard";
  go_on.release();
}

}  // namespace
}  // namespace forkplane::ledger
