// Goal: who ends its listening may go at once: no call is under way then, and none begins. Method:
// a call that is held inside the listener while the handle is destroyed; memory that is plain on
// purpose, so that TSan speaks up where nothing orders the accesses; and a storm of calls during
// which listeners come and go.
#include "drivers/vmm/exit_hook.h"

#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <thread>
#include <vector>

namespace forkplane::vmm {
namespace {

TEST(ExitHookTest, EndingWaitsForTheCallUnderWay) {
  const auto hook = std::make_shared<ExitHook>();
  std::latch inside(1);
  std::atomic<bool> ending{false};
  bool returned = false;
  std::shared_ptr<void> listening = hook->Listen([&](const std::string&) {
    inside.count_down();
    while (!ending.load()) std::this_thread::yield();
    // Time in which a handle that does not wait is gone long since.
    for (int n = 0; n < 1000; ++n) std::this_thread::yield();
    returned = true;
  });
  std::jthread caller([&] { hook->Call("vm"); });
  inside.wait();
  ending.store(true);
  listening.reset();
  EXPECT_TRUE(returned) << "the handle is gone and its listener still runs";
}

TEST(ExitHookTest, NothingIsHeardAfterTheEnd) {
  const auto hook = std::make_shared<ExitHook>();
  int heard = 0;
  std::shared_ptr<void> listening = hook->Listen([&](const std::string&) { ++heard; });
  hook->Call("vm");
  listening.reset();
  hook->Call("vm");
  EXPECT_EQ(heard, 1);
}

TEST(ExitHookTest, ALaterListenerStaysWhenAnEarlierOneEnds) {
  const auto hook = std::make_shared<ExitHook>();
  std::vector<std::string> heard;
  std::shared_ptr<void> first = hook->Listen([&](const std::string&) { heard.push_back("first"); });
  const std::shared_ptr<void> second =
      hook->Listen([&](const std::string&) { heard.push_back("second"); });
  first.reset();
  hook->Call("vm");
  EXPECT_EQ(heard, std::vector<std::string>{"second"});
}

TEST(ExitHookTest, ListenersComeAndGoUnderCalls) {
  const auto hook = std::make_shared<ExitHook>();
  std::atomic<bool> done{false};
  std::vector<std::jthread> callers;
  callers.reserve(4);
  for (int n = 0; n < 4; ++n) {
    callers.emplace_back([&] {
      while (!done.load()) hook->Call("vm");
    });
  }
  for (int round = 0; round < 500; ++round) {
    // Gone with each round, as loops and their queues are with a daemon.
    auto alive = std::make_unique<std::atomic<int>>(1);
    const std::shared_ptr<void> listening =
        hook->Listen([heard = alive.get()](const std::string&) { heard->fetch_add(1); });
  }
  done.store(true);
}

}  // namespace
}  // namespace forkplane::vmm
