// Goal: every call is made once, at most so many at a time, and all have returned in the end.
// Method: calls that wait for one another, so that fewer at once than promised would never end.
#include "controller/runtime/parallel.h"

#include <gtest/gtest.h>

#include <barrier>
#include <set>
#include <thread>

namespace forkplane::runtime {
namespace {

TEST(ParallelTest, SoManyAreUnderWayAtOnceAndNeverMore) {
  constexpr std::size_t kAtOnce = 4;
  constexpr std::size_t kCalls = 3 * kAtOnce;
  std::barrier<> all_there(kAtOnce);
  std::atomic<int> inside{0};
  std::atomic<int> most{0};
  std::vector<int> made(kCalls, 0);
  ForEachParallel(kCalls, kAtOnce, [&](std::size_t n) {
    const int now = ++inside;
    for (int seen = most.load(); seen < now && !most.compare_exchange_weak(seen, now);) {
    }
    all_there.arrive_and_wait();
    made[n] += 1;
    --inside;
  });
  EXPECT_EQ(most.load(), static_cast<int>(kAtOnce));
  EXPECT_EQ(made, std::vector<int>(kCalls, 1));
}

TEST(ParallelTest, OneAtATimeIsTheCallersThreadAndInOrder) {
  std::vector<std::size_t> order;
  std::set<std::thread::id> threads;
  ForEachParallel(5, 1, [&](std::size_t n) {
    order.push_back(n);
    threads.insert(std::this_thread::get_id());
  });
  EXPECT_EQ(order, (std::vector<std::size_t>{0, 1, 2, 3, 4}));
  EXPECT_EQ(threads, std::set<std::thread::id>{std::this_thread::get_id()});
}

TEST(ParallelTest, NothingIsNothing) {
  ForEachParallel(0, 4, [](std::size_t) { FAIL(); });
  ForEachParallel(1, 0, [](std::size_t n) { EXPECT_EQ(n, 0U); });
}

}  // namespace
}  // namespace forkplane::runtime
