// Goal: what the status writer promises about merging (status_writer.h). Method: a real store
// watched for what was written, a clock that stands still, writes by hand.
#include "controller/runtime/status_writer.h"

#include <gtest/gtest.h>

#include "controller/runtime/event_recorder.h"
#include "tests/support/store_world.h"

namespace forkplane::runtime {
namespace {

using std::chrono::milliseconds;
using testing::At;
using testing::kThings;
using testing::With;

class StatusWriterTest : public ::testing::Test {
 protected:
  StatusWriterTest() {
    thing_ = world_.Create("a");
    watch_ = world_.store->OpenWatch(kThings, {.after = thing_->meta.revision}).value();
  }
  static std::string Ready(const std::string& status, int observed = 0) {
    return fmt::format(
        R"({{"observed":{},"conditions":[{{"type":"Ready","status":"{}","reason":"R"}}]}})",
        observed, status);
  }
  void Want(const std::string& status) { writer_.Want(world_.Key("a"), thing_->meta.uid, status); }
  // Writes everything that is due and says what came: "True1 False2" (status and observed).
  std::string Written() {
    while (writer_.ProcessDue()) {
    }
    std::string seen;
    while (const auto event = watch_->TryNext()) {
      const std::string status = At(event->object->text, "/status/conditions/0/status");
      if (status.empty()) continue;
      seen += (seen.empty() ? "" : " ") + status.substr(1, status.size() - 2) +
              At(event->object->text, "/status/observed");
    }
    return seen;
  }

  testing::StoreWorld world_;
  store::ObjectPtr thing_;
  std::unique_ptr<store::Watch> watch_;
  StatusWriter writer_{*world_.store, world_.clock, world_.registry, {}};
};

TEST_F(StatusWriterTest, TheFirstIsWrittenAtOnce) {
  Want(Ready("False", 1));
  EXPECT_EQ(Written(), "False1");
  EXPECT_EQ(Written(), "");
}

TEST_F(StatusWriterTest, WhatFollowsIsMergedForTheWindow) {
  Want(Ready("False", 1));
  EXPECT_EQ(Written(), "False1");
  for (int i = 2; i <= 9; ++i) Want(Ready("False", i));
  EXPECT_EQ(Written(), "");
  world_.clock.Advance(milliseconds(49));
  EXPECT_EQ(Written(), "");
  world_.clock.Advance(milliseconds(1));
  EXPECT_EQ(Written(), "False9");
}

TEST_F(StatusWriterTest, AWishIsNeverPutOffByLaterOnes) {
  Want(Ready("False", 0));
  Written();
  for (int i = 1; i <= 10; ++i) {
    Want(Ready("False", i));
    world_.clock.Advance(milliseconds(10));
  }
  EXPECT_EQ(Written(), "False10");
}

TEST_F(StatusWriterTest, TheFirstFlipOfAConditionIsHurriedASecondOneMerged) {
  Want(Ready("False", 1));
  EXPECT_EQ(Written(), "False1");
  world_.clock.Advance(milliseconds(20));
  // Ready flipped 20 ms ago (it appeared): this one waits for the window.
  Want(Ready("True", 2));
  EXPECT_EQ(Written(), "");
  // Another condition's first flip takes everything with it.
  Want(R"({"observed":3,"conditions":[{"type":"Ready","status":"True"},)"
       R"({"type":"Restored","status":"True"}]})");
  EXPECT_EQ(Written(), "True3");
  world_.clock.Advance(milliseconds(200));
  EXPECT_EQ(Written(), "");
  Want(Ready("False", 4));
  EXPECT_EQ(Written(), "False4");
}

// Goal: a status that could not be written is written once it can be, although its loop has nothing
// new to say; a newer one does not wait for that.
TEST_F(StatusWriterTest, ARefusedOneIsTriedAgain) {
  const auto refused = [this] {
    const std::string text = world_.registry.Serialize();
    const std::string name = R"(forkplane_status_writes_total{code="Invalid"} )";
    return text.substr(text.find(name) + name.size(), 1);
  };
  Want(R"({"phase":5})");
  EXPECT_EQ(Written(), "");
  EXPECT_EQ(refused(), "1");
  world_.clock.Advance(kStatusRefusedRetry - milliseconds(1));
  EXPECT_EQ(Written(), "");
  EXPECT_EQ(refused(), "1");
  world_.clock.Advance(milliseconds(1));
  EXPECT_EQ(Written(), "");
  EXPECT_EQ(refused(), "2");
  Want(Ready("True", 1));
  world_.clock.Advance(milliseconds(50));
  EXPECT_EQ(Written(), "True1");
  world_.clock.Advance(2 * kStatusRefusedRetry);
  EXPECT_EQ(Written(), "");
  EXPECT_EQ(refused(), "2") << "the newer one took its place";
}

TEST_F(StatusWriterTest, AFalseBetweenTwoTruesIsNeverSwallowed) {
  Want(Ready("True", 1));
  EXPECT_EQ(Written(), "True1");
  Want(Ready("False", 2));
  Want(Ready("True", 3));
  Want(Ready("True", 4));
  Want(Ready("False", 5));
  Want(Ready("True", 6));
  world_.clock.Advance(milliseconds(50));
  EXPECT_EQ(Written(), "False2 True6");
}

TEST_F(StatusWriterTest, ManyFlipsStayBounded) {
  Want(Ready("True", 0));
  Written();
  for (int i = 1; i <= 1000; ++i) Want(Ready(i % 2 == 0 ? "True" : "False", i));
  world_.clock.Advance(milliseconds(50));
  const std::string seen = Written();
  EXPECT_NE(seen.find("False"), std::string::npos);
  EXPECT_EQ(seen.substr(seen.size() - 8), "True1000");
  EXPECT_LE(seen.size(), 9 * kStatusPendingMax);
}

TEST_F(StatusWriterTest, TransitionTimesFollowTheStatusAlone) {
  const auto time = [this] {
    return At(world_.Get("a")->text, "/status/conditions/0/lastTransitionTime");
  };
  Want(Ready("False", 1));
  Written();
  const std::string first = time();
  EXPECT_FALSE(first.empty());
  world_.clock.Advance(std::chrono::seconds(5));
  Want(Ready("False", 2));
  EXPECT_EQ(Written(), "False2");
  EXPECT_EQ(time(), first);
  world_.clock.Advance(std::chrono::seconds(5));
  Want(Ready("True", 3));
  EXPECT_EQ(Written(), "True3");
  EXPECT_NE(time(), first);
}

TEST_F(StatusWriterTest, TheRestOfTheObjectIsLeftAlone) {
  const auto changed =
      world_.store->Update(world_.Key("a"), With(thing_->text, "/spec/size", "42"));
  ASSERT_TRUE(changed.ok());
  Want(Ready("True", 1));
  EXPECT_EQ(Written(), "True1");
  EXPECT_EQ(At(world_.Get("a")->text, "/spec/size"), "42");
}

TEST_F(StatusWriterTest, AnotherObjectOfTheSameNameIsLeftAlone) {
  ASSERT_TRUE(world_.store->Delete(world_.Key("a")).ok());
  Want(Ready("True", 1));
  EXPECT_EQ(Written(), "");
  world_.Create("a");
  Want(Ready("True", 2));
  world_.clock.Advance(milliseconds(50));
  EXPECT_EQ(Written(), "");
  EXPECT_EQ(At(world_.Get("a")->text, "/status"), "");
}

TEST_F(StatusWriterTest, ThreadsWriteManyObjectsAndStopFlushes) {
  std::vector<store::ObjectPtr> things;
  things.reserve(50);
  for (int i = 0; i < 50; ++i) things.push_back(world_.Create("t" + std::to_string(i)));
  metrics::Registry registry;
  StatusWriter writer(*world_.store, RealClock(), registry, {});
  writer.Start();
  for (int round = 0; round < 20; ++round) {
    for (const auto& thing : things) {
      writer.Want(world_.Key(thing->meta.name), thing->meta.uid, Ready("True", round));
    }
  }
  writer.Stop(std::chrono::seconds(20));
  for (const auto& thing : things) {
    EXPECT_EQ(At(world_.Get(thing->meta.name)->text, "/status/observed"), "19");
  }
}

TEST(EventRecorderTest, ARepetitionRaisesTheCount) {
  testing::StoreWorld world;
  const store::ObjectPtr thing = world.Create("a");
  EventRecorder recorder(*world.store, "forkplane", "host-1", world.clock, world.rng,
                         world.registry);
  const ObjectReference about = ReferenceTo(*thing);
  for (int i = 0; i < 3; ++i) {
    recorder.Record(about, EventType::kWarning, "StartFailed", "no image");
    world.clock.Advance(std::chrono::seconds(10));
  }
  recorder.Record(about, EventType::kNormal, "Started", "runs");
  while (recorder.ProcessOne()) {
  }
  const auto events = world.store->List({"", "events"}, {.ns = "default"});
  ASSERT_TRUE(events.ok());
  ASSERT_EQ(events->items.size(), 2U);
  for (const store::ObjectPtr& event : events->items) {
    EXPECT_EQ(At(event->text, "/involvedObject/uid"), '"' + thing->meta.uid + '"');
    EXPECT_EQ(At(event->text, "/source/host"), "\"host-1\"");
    const bool warning = At(event->text, "/type") == "\"Warning\"";
    EXPECT_EQ(At(event->text, "/count"), warning ? "3" : "1");
    EXPECT_EQ(At(event->text, "/firstTimestamp") == At(event->text, "/lastTimestamp"), !warning);
  }
  // Somebody deletes the Event: the next repetition makes a new one.
  for (const store::ObjectPtr& event : events->items) {
    ASSERT_TRUE(world.store->Delete({{"", "events"}, "default", event->meta.name}).ok());
  }
  recorder.Record(about, EventType::kWarning, "StartFailed", "no image");
  EXPECT_TRUE(recorder.ProcessOne());
  EXPECT_EQ(world.store->List({"", "events"}, {})->items.size(), 1U);
}

TEST(EventRecorderTest, ALongMessageIsCutBetweenCharacters) {
  testing::StoreWorld world;
  const ObjectReference about = ReferenceTo(*world.Create("a"));
  EventRecorder recorder(*world.store, "forkplane", "host-1", world.clock, world.rng,
                         world.registry);
  const std::string start(kEventMessageBytesMax - 1, 'x');
  recorder.Record(about, EventType::kNormal, "Started", start + "\u00fc and more");
  EXPECT_TRUE(recorder.ProcessOne());
  const auto events = world.store->List({"", "events"}, {.ns = "default"});
  ASSERT_TRUE(events.ok());
  ASSERT_EQ(events->items.size(), 1U);
  EXPECT_EQ(At(events->items[0]->text, "/message"), '"' + start + '"');
}

TEST(EventRecorderTest, TooManyAreDroppedAndCounted) {
  testing::StoreWorld world;
  const ObjectReference about = ReferenceTo(*world.Create("a"));
  EventRecorder recorder(*world.store, "forkplane", "host-1", world.clock, world.rng,
                         world.registry);
  for (std::size_t i = 0; i < kEventQueueMax + 5; ++i) {
    recorder.Record(about, EventType::kNormal, "Started", "runs");
  }
  EXPECT_NE(world.registry.Serialize().find("forkplane_events_dropped_total 5"), std::string::npos);
}

}  // namespace
}  // namespace forkplane::runtime
