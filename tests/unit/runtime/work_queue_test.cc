// Goal: the queue's promises (see work_queue.h), also in a storm. Method: by hand with a clock that
// stands still, then with real threads.
#include "controller/runtime/work_queue.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace forkplane::runtime {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class WorkQueueTest : public ::testing::Test {
 protected:
  std::string Take() { return queue_.TryGet().value_or(""); }

  ManualClock clock_;
  SeededRng rng_{1};
  metrics::Registry registry_;
  WorkQueue queue_{"test", clock_, rng_, registry_};
};

TEST_F(WorkQueueTest, AKeyWaitsOnce) {  // W4
  queue_.Add("a");
  queue_.Add("b");
  queue_.Add("a");
  EXPECT_EQ(queue_.size(), 2U);
  EXPECT_EQ(Take(), "a");
  EXPECT_EQ(Take(), "b");
  EXPECT_EQ(Take(), "");
}

// W4: what nobody waits for does not hold up what somebody does, and is not forgotten either.
TEST_F(WorkQueueTest, WhatMayStandBehindDoesAndHasItsTurn) {
  WorkQueue queue("behind", clock_, rng_, registry_,
                  [](const std::string& key) { return key.front() == 'z'; });
  for (int i = 0; i < 3; ++i) queue.Add(fmt::format("z{}", i));
  for (int i = 0; i < 10; ++i) queue.Add(fmt::format("a{}", i));
  EXPECT_EQ(queue.size(), 13U);
  std::vector<std::string> taken;
  while (const auto key = queue.TryGet()) taken.push_back(*key);
  EXPECT_THAT(taken, ::testing::ElementsAre("a0", "a1", "a2", "a3", "a4", "a5", "a6", "z0", "a7",
                                            "a8", "a9", "z1", "z2"));
  queue.Add("z3");
  EXPECT_EQ(queue.TryGet(), "z3");
  queue.Add("z0");  // in work: it gets in line when it is done
  queue.Done("z0");
  queue.Add("b");
  EXPECT_EQ(queue.TryGet(), "b");
  EXPECT_EQ(queue.TryGet(), "z0");
  EXPECT_EQ(queue.TryGet(), std::nullopt);
}

TEST_F(WorkQueueTest, AKeyAddedWhileInWorkComesBackAfterDone) {
  queue_.Add("a");
  EXPECT_EQ(Take(), "a");
  queue_.Add("a");
  queue_.Add("a");
  EXPECT_EQ(Take(), "");
  queue_.Done("a");
  EXPECT_EQ(Take(), "a");
  queue_.Done("a");
  EXPECT_EQ(Take(), "");
}

TEST_F(WorkQueueTest, ABusyKeyDoesNotStarveTheOthers) {
  queue_.Add("busy");
  queue_.Add("b");
  EXPECT_EQ(Take(), "busy");
  queue_.Add("busy");
  queue_.Done("busy");
  EXPECT_EQ(Take(), "b");
  EXPECT_EQ(Take(), "busy");
}

TEST_F(WorkQueueTest, ADelayedKeyComesWhenItIsDue) {
  queue_.AddAfter("a", seconds(5));
  EXPECT_EQ(Take(), "");
  clock_.Advance(milliseconds(4999));
  EXPECT_EQ(Take(), "");
  clock_.Advance(milliseconds(1));
  EXPECT_EQ(Take(), "a");
}

TEST_F(WorkQueueTest, TheEarlierOfTwoDelaysCounts) {
  queue_.AddAfter("a", seconds(5));
  queue_.AddAfter("a", seconds(9));
  queue_.AddAfter("b", seconds(9));
  queue_.AddAfter("b", seconds(1));
  clock_.Advance(seconds(1));
  EXPECT_EQ(Take(), "b");
  queue_.Done("b");
  clock_.Advance(seconds(4));
  EXPECT_EQ(Take(), "a");
  queue_.Done("a");
  clock_.Advance(seconds(60));
  EXPECT_EQ(Take(), "");
}

TEST_F(WorkQueueTest, WhatIsMergedComesOnceWhenTheWindowEnds) {
  queue_.AddMerged("a", milliseconds(50));
  clock_.Advance(milliseconds(40));
  queue_.AddMerged("a", milliseconds(50));
  EXPECT_EQ(Take(), "");
  EXPECT_EQ(*queue_.NextDue(), clock_.Now() + milliseconds(10));
  clock_.Advance(milliseconds(10));
  EXPECT_EQ(Take(), "a");
  queue_.Done("a");
  clock_.Advance(seconds(60));
  EXPECT_EQ(Take(), "");
}

TEST_F(WorkQueueTest, APassThatBeginsAnswersWhatWasMerged) {
  queue_.AddMerged("a", milliseconds(50));
  queue_.Add("a");
  queue_.AddMerged("a", milliseconds(50));  // waits already, and not for a window
  EXPECT_EQ(Take(), "a");
  queue_.Done("a");
  clock_.Advance(seconds(60));
  EXPECT_EQ(Take(), "");
}

TEST_F(WorkQueueTest, FailuresDoubleTheWaitUntilForgotten) {
  milliseconds expected = milliseconds(5);
  for (int i = 0; i < 25; ++i) {
    queue_.AddRateLimited("a");
    const auto wait = *queue_.NextDue() - clock_.Now();
    EXPECT_GE(wait, expected * 8 / 10 - milliseconds(1));
    EXPECT_LE(wait, expected * 12 / 10);
    clock_.Advance(wait);
    EXPECT_EQ(Take(), "a");
    queue_.Done("a");
    expected = std::min(expected * 2, milliseconds(1'000'000));
  }
  EXPECT_EQ(queue_.Failures("a"), 25);
  queue_.Forget("a");
  EXPECT_EQ(queue_.Failures("a"), 0);
  queue_.AddRateLimited("a");
  EXPECT_LE(*queue_.NextDue() - clock_.Now(), milliseconds(6));
}

TEST_F(WorkQueueTest, NothingComesAfterShutDown) {
  queue_.Add("a");
  queue_.ShutDown();
  queue_.Add("b");
  queue_.AddAfter("c", seconds(0));
  queue_.AddMerged("d", seconds(0));
  EXPECT_EQ(Take(), "");
  EXPECT_EQ(queue_.Get(std::stop_token{}), std::nullopt);
}

TEST_F(WorkQueueTest, TheMetricsAreThereFromTheStart) {
  const std::string text = registry_.Serialize();
  for (const char* name :
       {"workqueue_depth", "workqueue_adds_total", "workqueue_retries_total",
        "workqueue_queue_duration_seconds_count", "workqueue_work_duration_seconds_count",
        "workqueue_unfinished_work_seconds", "workqueue_longest_running_processor_seconds"}) {
    EXPECT_NE(text.find(std::string(name) + "{name=\"test\"} 0"), std::string::npos) << name;
  }
  queue_.Add("a");
  EXPECT_EQ(Take(), "a");
  clock_.Advance(seconds(3));
  queue_.RefreshMetrics();
  EXPECT_NE(registry_.Serialize().find("workqueue_unfinished_work_seconds{name=\"test\"} 3"),
            std::string::npos);
}

TEST(WorkQueueThreadsTest, AStopWakesWhoWaits) {
  SeededRng rng(1);
  metrics::Registry registry;
  WorkQueue queue("test", RealClock(), rng, registry);
  std::atomic<bool> ended = false;
  std::jthread waiter([&](const std::stop_token& stop) {
    EXPECT_EQ(queue.Get(stop), std::nullopt);
    ended = true;
  });
  waiter.request_stop();
  waiter.join();
  EXPECT_TRUE(ended);
}

TEST(WorkQueueThreadsTest, ADelayWakesWhoWaits) {
  SeededRng rng(1);
  metrics::Registry registry;
  WorkQueue queue("test", RealClock(), rng, registry);
  std::optional<std::string> got;
  std::jthread waiter([&](const std::stop_token& stop) { got = queue.Get(stop); });
  queue.AddAfter("late", seconds(50));
  queue.AddAfter("soon", milliseconds(20));
  waiter.join();
  EXPECT_EQ(got, "soon");
}

// No key in two hands at once, no add without a pass that began after it.
TEST(WorkQueueThreadsTest, AStormOfAddsLosesNothingAndSharesNothing) {
  constexpr int kKeys = 20;
  constexpr int kAdds = 20000;
  constexpr int kWorkers = 4;
  SeededRng rng(1);
  metrics::Registry registry;
  WorkQueue queue("test", RealClock(), rng, registry);
  std::array<std::atomic<int>, kKeys> wanted = {};
  std::array<std::atomic<int>, kKeys> seen = {};
  std::array<std::atomic<int>, kKeys> hands = {};
  std::atomic<bool> shared = false;
  {
    std::vector<std::jthread> workers;
    workers.reserve(kWorkers);
    for (int i = 0; i < kWorkers; ++i) {
      workers.emplace_back([&](const std::stop_token& stop) {
        while (const auto key = queue.Get(stop)) {
          const auto k = static_cast<std::size_t>(std::stoi(*key));
          if (++hands[k] != 1) shared = true;
          seen[k] = wanted[k].load();
          --hands[k];
          queue.Done(*key);
        }
      });
    }
    std::vector<std::jthread> producers;
    producers.reserve(4);
    for (int p = 0; p < 4; ++p) {
      producers.emplace_back([&, p] {
        for (int i = p; i < kAdds; i += 4) {
          ++wanted[static_cast<std::size_t>(i % kKeys)];
          queue.Add(std::to_string(i % kKeys));
        }
      });
    }
    producers.clear();
    const auto deadline = RealClock().Now() + seconds(30);
    const auto settled = [&] {
      for (std::size_t k = 0; k < kKeys; ++k) {
        if (seen[k] != wanted[k]) return false;
      }
      return true;
    };
    while (!settled() && RealClock().Now() < deadline) std::this_thread::yield();
    EXPECT_TRUE(settled());
  }
  EXPECT_FALSE(shared);
}

}  // namespace
}  // namespace forkplane::runtime
