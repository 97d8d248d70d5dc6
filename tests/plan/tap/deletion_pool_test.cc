// Goal: after Stop nobody is called back any more, so that what a callback reaches may be
// destroyed; deletions stand behind creations, and are done all the same.
#include "reconcilers/tap/deletion_pool.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>

namespace forkplane::tap {
namespace {

TEST(DeletionPoolTest, StopWaitsForWhatHasBegun) {
  std::atomic<bool> begun = false;
  std::atomic<bool> go_on = false;
  std::atomic<int> done = 0;
  DeletionPool pool(1, [&done](const std::string&, const Status&) { ++done; });
  EXPECT_TRUE(pool.Submit("first", [&]() -> Status {
    begun = true;
    begun.notify_all();
    go_on.wait(false);
    return OkStatus();
  }));
  begun.wait(false);
  std::atomic<int> done_at_stop = -1;
  {
    const std::jthread stopper([&] {
      pool.Stop();
      done_at_stop = done.load();
    });
    EXPECT_EQ(done_at_stop, -1) << "Stop did not wait for the work under way";
    go_on = true;
    go_on.notify_all();
  }
  EXPECT_EQ(done_at_stop, 1) << "Stop returned before the callback";
  EXPECT_TRUE(pool.Submit("late", [] { return OkStatus(); }));
  EXPECT_TRUE(pool.IsPending("late")) << "nobody is there to run it";
  EXPECT_EQ(done, 1);
}

// Waits for what a thread of the pool sets.
void Await(const std::atomic<int>& value, int wanted) {
  for (int seen = value; seen != wanted; seen = value) value.wait(seen);
}

TEST(DeletionPoolTest, NoWorkBeginsWhileSomethingIsCreated) {
  std::atomic<int> begun = 0;
  DeletionPool pool(2, [](const std::string&, const Status&) {});
  const auto work = [&begun]() -> Status {
    ++begun;
    begun.notify_all();
    return OkStatus();
  };
  const auto started = std::chrono::steady_clock::now();
  auto one = std::make_unique<DeletionPool::Creation>(pool);
  pool.Submit("a", work);
  { const DeletionPool::Creation another(pool); }
  std::this_thread::sleep_for(DeletionPool::kYieldMax / 5);
  const int seen = begun;
  const bool soon = std::chrono::steady_clock::now() - started < DeletionPool::kYieldMax / 2;
  EXPECT_TRUE(seen == 0 || !soon);  // not soon: this thread was held up, and nothing is shown
  one.reset();
  Await(begun, 1);
  pool.Submit("b", work);
  Await(begun, 2);
}

TEST(DeletionPoolTest, AHostThatCreatesWithoutPauseDeletesAllTheSame) {
  std::atomic<int> begun = 0;
  DeletionPool pool(1, [](const std::string&, const Status&) {});
  std::jthread creating([&pool](const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      const DeletionPool::Creation one(pool);
      std::this_thread::sleep_for(DeletionPool::kYieldMax / 10);
      const DeletionPool::Creation the_next(pool);
    }
  });
  for (const char* key : {"a", "b"}) {
    pool.Submit(key, [&begun]() -> Status {
      ++begun;
      begun.notify_all();
      return OkStatus();
    });
  }
  Await(begun, 2);
}

TEST(DeletionPoolTest, StopDoesNotWaitForACreation) {
  DeletionPool pool(1, [](const std::string&, const Status&) {});
  const DeletionPool::Creation creation(pool);
  pool.Submit("a", [] { return OkStatus(); });
  pool.Stop();
}

}  // namespace
}  // namespace forkplane::tap
