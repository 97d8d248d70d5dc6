// Goal: what the deletion pool could not do is the error of the next pass, so that it backs off,
// and a released address is free only after its flows were flushed. Method: an in-memory host whose
// flows cannot be flushed at first; passes are called by hand, the pool runs.
#include <gtest/gtest.h>

#include "controller/base/rng.h"
#include "reconcilers/tap/reconciler.h"
#include "tests/support/fake_drivers.h"
#include "tests/support/memory_ledger.h"

namespace forkplane::tap {
namespace {

constexpr Ipv4 kPeer{0x08080808};

class Flows final : public drivers::FlowDriver {
 public:
  explicit Flows(fake::FakeKernel& kernel) : inner_(kernel) {}
  Result<std::size_t> FlushAddress(Ipv4 address) override {
    ++calls;
    if (broken) return Unavailable("flush: no answer");
    return inner_.FlushAddress(address);
  }
  Result<std::size_t> FlushIf(const std::function<bool(const drivers::Flow&)>& ends) override {
    return inner_.FlushIf(ends);
  }
  std::atomic<bool> broken = true;
  std::atomic<int> calls = 0;

 private:
  fake::FakeFlowDriver inner_;
};

class ReleaseTest : public ::testing::Test {
 protected:
  ReleaseTest() {
    ledger_ = testing::MemoryLedgerWith(testing::NetworkOf(), RealClock(), rng_);
    lease_ = testing::ClaimOne(*ledger_, "uid-a", "a");
    kernel_.Change([&](fake::State& state) {
      state.flows.push_back({lease_.address, kPeer, kPeer, kPeer});
      return true;
    });
    Options loop_options;
    loop_options.deletion_threads = 2;
    loop_options.requeue = [this](const std::string&) {
      const MutexLock lock(mutex_);
      ++requeued_;
      changed_.NotifyAll();
    };
    loop_ = std::make_unique<TapReconciler>(
        *ledger_,
        Drivers{drivers_.links, drivers_.taps, drivers_.qdiscs, drivers_.identities,
                drivers_.routes, drivers_.sysctls, flows_},
        facts_, vmms_, loop_options);
  }

  Result<runtime::Next> Pass() { return loop_->Reconcile(ledger::KeyOf(lease_.id), {}); }
  bool WaitForThePool(int times) {
    const MutexLock lock(mutex_);
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    return changed_.WaitUntil(mutex_, {}, deadline,
                              [&]() NO_THREAD_SAFETY_ANALYSIS { return requeued_ == times; });
  }

  SeededRng rng_{1};
  std::unique_ptr<ledger::Ledger> ledger_;
  ledger::InterfaceLease lease_;
  fake::FakeKernel kernel_;
  testing::FakeDrivers drivers_{kernel_};
  Flows flows_{kernel_};
  runtime::InterfaceFactBoard facts_;
  runtime::VmmFactBoard vmms_;
  Mutex mutex_;
  CondVar changed_;
  int requeued_ GUARDED_BY(mutex_) = 0;
  std::unique_ptr<TapReconciler> loop_;  // last: its pool uses the rest
};

TEST_F(ReleaseTest, AFlushThatFailsIsTheErrorOfTheNextPassAndIsDoneAgain) {
  ASSERT_TRUE(ledger_->Release("uid-a").ok());
  ASSERT_TRUE(Pass().ok()) << "handed to the pool";
  ASSERT_TRUE(WaitForThePool(1));
  EXPECT_FALSE(ledger_->GetInterface(lease_.id)->tap_absent);
  EXPECT_EQ(flows_.calls, 1);
  const auto failed = Pass();
  ASSERT_FALSE(failed.ok());
  EXPECT_NE(failed.error().message.find("flush: no answer"), std::string::npos)
      << failed.error().message;
  EXPECT_EQ(flows_.calls, 1) << "not before the backoff is over";
  flows_.broken = false;
  ASSERT_TRUE(Pass().ok());
  ASSERT_TRUE(WaitForThePool(2));
  EXPECT_TRUE(ledger_->GetInterface(lease_.id)->tap_absent);
  EXPECT_TRUE(kernel_.Change([](fake::State& state) { return state.flows.empty(); }));
  ASSERT_TRUE(Pass().ok());
  EXPECT_EQ(flows_.calls, 2) << "once per lease";
}

TEST_F(ReleaseTest, NothingIsFlushedWhileTheLeaseIsActive) {
  ASSERT_TRUE(Pass().ok());
  EXPECT_EQ(flows_.calls, 0);
}

}  // namespace
}  // namespace forkplane::tap
