// Goal: after Stop nobody is called back any more, so that what a callback reaches may be
// destroyed.
#include "reconcilers/tap/deletion_pool.h"

#include <gtest/gtest.h>

#include <atomic>
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

}  // namespace
}  // namespace forkplane::tap
