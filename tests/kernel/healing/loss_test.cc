// Goal: what was deleted while the event socket overflowed, so that nobody was told, comes back.
// Method: the reader stands still in front of a small buffer until more has happened than it takes;
// then a class of a VM is deleted.
#include <gtest/gtest.h>

#include <algorithm>

#include "controller/base/network_names.h"
#include "tests/kernel/healing/commands.h"
#include "tests/kernel/healing/world.h"

namespace forkplane::healing {
namespace {

constexpr int kSmallBufferBytes = 32 * 1024;
constexpr int kFlood = 200;

TEST(LossTest, WhatWasDeletedUnheardComesBack) {
  InWorld({.event_buffer_bytes = kSmallBufferBytes}, [](World& world) {
    using drivers::LinkEventKind;
    const drivers::LinkEvent deletion = {LinkEventKind::kClass, IfbIndex(0), kHtbHandle | 1};
    Gate& gate = world.gate();
    gate.Gathered(false);
    ASSERT_TRUE(world.WaitUntilIdle());
    gate.Hold();
    gate.Gathered(true);
    const std::size_t before = gate.History().size();
    gate.Stall(true);
    for (int i = 0; i < kFlood; ++i) {
      ASSERT_TRUE(world.drivers().links->SetAlias(BridgeIndex(0), fmt::format("{}", i)).ok());
    }
    const auto done = RunLine("tc class del dev fkifb0 classid 7f00:1");
    ASSERT_TRUE(done.ok()) << done.error().message;
    EXPECT_FALSE(world.IsWhole(Part::kClasses));
    gate.Stall(false);
    // Held, so nobody repairs and no event comes but those of what was done.
    ASSERT_TRUE(World::Eventually([&] {
      const auto events = gate.History();
      return std::count(events.begin(), events.end(), drivers::LinkEvent{LinkEventKind::kLost}) >=
             2;
    }));
    const auto events = gate.History();
    EXPECT_EQ(
        std::count(events.begin() + static_cast<std::ptrdiff_t>(before), events.end(), deletion), 0)
        << "it was heard: the test shows nothing";
    gate.Release();
    EXPECT_TRUE(world.WaitUntilWhole(Part::kClasses));
    EXPECT_TRUE(world.WaitUntilWhole(Part::kLinks));
    // And the events go on.
    ASSERT_TRUE(world.WaitUntilIdle());
    ASSERT_TRUE(RunLine("tc class del dev fkifb0 classid 7f00:1").ok());
    EXPECT_TRUE(world.WaitUntilWhole(Part::kClasses));
  });
}

}  // namespace
}  // namespace forkplane::healing
