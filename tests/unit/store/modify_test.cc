// Goal: Modify is the one way to read, change and write; no writer loses what another one wrote,
// and nobody outside needs a loop. Method: a real store on a memory log. A writer that comes
// between is made by writing from within the edit, so that each race is there every time.
#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <nlohmann/json.hpp>
#include <thread>

#include "controller/store/edits.h"
#include "controller/store/errors.h"
#include "controller/store/limits.h"
#include "tests/support/store_world.h"

namespace forkplane::store {
namespace {

using crd::Json;
using testing::At;

class ModifyTest : public ::testing::Test {
 protected:
  ModifyTest() { world_.Create("a"); }
  // Another writer: raises spec.size by 100.
  void Interfere() {
    const std::string text = world_.Get("a")->text;
    const int size = std::stoi(At(text, "/spec/size")) + 100;
    ASSERT_TRUE(
        world_.store->Update(Key(), testing::With(text, "/spec/size", std::to_string(size))).ok());
  }
  ObjectKey Key() { return world_.Key("a"); }
  std::string Size() { return At(world_.Get("a")->text, "/spec/size"); }

  testing::StoreWorld world_;
};

Result<bool> AddOne(Json& object) {
  object["spec"]["size"] = object["spec"]["size"].get<int>() + 1;
  return true;
}

TEST_F(ModifyTest, ChangesWhatIsStored) {
  const auto written = world_.store->Modify(Key(), AddOne);
  ASSERT_TRUE(written.ok()) << written.error().message;
  EXPECT_TRUE(written->changed);
  EXPECT_EQ(Size(), "2");
  EXPECT_EQ(written->object->meta.generation, 2);
}

TEST_F(ModifyTest, RunsAgainOnTheNewestStateWhenAnotherWriterWasFaster) {
  int runs = 0;
  const auto written = world_.store->Modify(Key(), [&](Json& object) {
    if (++runs <= 3) Interfere();
    return AddOne(object);
  });
  ASSERT_TRUE(written.ok()) << written.error().message;
  EXPECT_EQ(runs, 4);
  EXPECT_EQ(Size(), "302");  // nothing of anybody is lost, and the edit counts once
}

TEST_F(ModifyTest, GivesUpOnAnObjectThatNeverHoldsStill) {
  int runs = 0;
  const auto written = world_.store->Modify(Key(), [&](Json& object) {
    ++runs;
    Interfere();
    return AddOne(object);
  });
  ASSERT_FALSE(written.ok());
  EXPECT_EQ(written.error().code, Code::kUnavailable);
  EXPECT_EQ(runs, kWriteAttemptsMax);
}

TEST_F(ModifyTest, ARevisionThatTheEditAsksForIsNotTriedTwice) {
  int runs = 0;
  const auto written = world_.store->Modify(Key(), [&](Json& object) {
    ++runs;
    object["metadata"]["resourceVersion"] = "1";
    return AddOne(object);
  });
  ASSERT_FALSE(written.ok());
  EXPECT_EQ(written.error().code, Code::kConflict);
  EXPECT_EQ(runs, 1);
  EXPECT_EQ(Size(), "1");
}

TEST_F(ModifyTest, FalseLeavesTheObjectAsItIs) {
  const Revision before = world_.store->CurrentRevision().value();
  const auto left = world_.store->Modify(Key(), [](Json& object) -> Result<bool> {
    object["spec"]["size"] = 9;
    return false;
  });
  ASSERT_TRUE(left.ok());
  EXPECT_FALSE(left->changed);
  EXPECT_EQ(Size(), "1");
  // Neither does an edit that changes nothing.
  ASSERT_TRUE(world_.store->Modify(Key(), [](Json&) -> Result<bool> { return true; }).ok());
  EXPECT_EQ(world_.store->CurrentRevision().value(), before);
}

TEST_F(ModifyTest, AnEditsRefusalIsTheAnswer) {
  const auto refused =
      world_.store->Modify(Key(), [](Json&) -> Result<bool> { return Exhausted("no room"); });
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().message, "no room");
  const auto absent = world_.store->Modify(world_.Key("nope"), AddOne);
  EXPECT_EQ(absent.error().code, Code::kNotFound);
  const auto no_object = world_.store->Modify(Key(), [](Json& object) -> Result<bool> {
    object = Json::array();
    return true;
  });
  EXPECT_EQ(StatusReason(no_object.error()), "BadRequest");
  const auto invalid = world_.store->Modify(Key(), [](Json& object) -> Result<bool> {
    object["spec"]["size"] = -1;
    return true;
  });
  EXPECT_EQ(StatusReason(invalid.error()), "Invalid");
  EXPECT_EQ(Size(), "1");
}

TEST_F(ModifyTest, WritesOnlyThePartAndHonoursADryRun) {
  const auto both = [](Json& object) -> Result<bool> {
    object["spec"]["size"] = 7;
    object["status"] = {{"phase", "Up"}};
    return true;
  };
  const auto dry = world_.store->Modify(Key(), both, {.part = Part::kMain, .dry_run = true});
  EXPECT_EQ(At(dry->object->text, "/spec/size"), "7");
  EXPECT_EQ(Size(), "1");
  ASSERT_TRUE(world_.store->Modify(Key(), both, {.part = Part::kStatus}).ok());
  EXPECT_EQ(Size(), "1");
  EXPECT_EQ(At(world_.Get("a")->text, "/status/phase"), "\"Up\"");
}

TEST_F(ModifyTest, TheLastFinalizerOfATerminatingObjectTakesItAway) {
  world_.Create("b", "", R"("finalizers":["x.dev/y"])");
  const ObjectKey key = world_.Key("b");
  const std::string uid = world_.Get("b")->meta.uid;
  ASSERT_TRUE(world_.store->Delete(key).ok());
  const auto drop = [](Json& object) { return DropFinalizer(object, "x.dev/y"); };
  EXPECT_TRUE(EditObject(*world_.store, key, "another uid", Part::kMain, drop).ok());
  EXPECT_NE(world_.Get("b"), nullptr);
  EXPECT_TRUE(EditObject(*world_.store, key, uid, Part::kMain, drop).ok());
  EXPECT_EQ(world_.Get("b"), nullptr);
  // What is gone needs no edit.
  EXPECT_TRUE(EditObject(*world_.store, key, uid, Part::kMain, drop).ok());
}

TEST_F(ModifyTest, ManyWritersAtOnceAllCount) {
  constexpr int kThreads = 8, kEach = 50;
  std::latch start(kThreads);
  std::atomic<int> refused = 0;
  {
    std::vector<std::jthread> threads;
    threads.reserve(kThreads);
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&] {
        start.arrive_and_wait();
        for (int i = 0; i < kEach; ++i) {
          if (!world_.store->Modify(Key(), AddOne).ok()) ++refused;
        }
      });
    }
  }
  EXPECT_EQ(refused, 0);
  EXPECT_EQ(Size(), std::to_string(1 + kThreads * kEach));
}

}  // namespace
}  // namespace forkplane::store
