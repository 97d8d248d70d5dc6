// Goal: whatever happens to an object, it has a bounded number of Events, and the newest message is
// among them. Method: a real store in memory; the recorder is stepped by hand.
#include "controller/runtime/event_recorder.h"

#include <gtest/gtest.h>

#include <map>

#include "tests/support/store_world.h"

namespace forkplane::runtime {
namespace {

using testing::At;
using testing::StoreWorld;

class EventSeriesTest : public ::testing::Test {
 protected:
  void Record(const std::string& reason, const std::string& message) {
    events_.Record(ReferenceTo(*thing_), EventType::kWarning, reason, message);
    while (events_.ProcessOne()) {
    }
  }
  // message -> count
  std::map<std::string, std::string> Told() {
    std::map<std::string, std::string> told;
    const auto events = world_.store->List({"", "events"}, {});
    for (const auto& event : events->items) {
      told[At(event->text, "/message")] = At(event->text, "/count");
    }
    return told;
  }

  StoreWorld world_;
  store::ObjectPtr thing_ = world_.Create("a");
  EventRecorder events_{*world_.store, "test", "host-1", world_.clock, world_.rng, world_.registry};
};

TEST_F(EventSeriesTest, ManyMessagesOfOneReasonShareAnEvent) {
  for (int i = 0; i < 100; ++i) Record("Exited", fmt::format("console line {}", i));
  const auto told = Told();
  EXPECT_EQ(told.size(), kSimilarEventsMax + 1);
  const auto combined = told.find("\"(combined from similar events): console line 99\"");
  ASSERT_NE(combined, told.end());
  EXPECT_EQ(combined->second, std::to_string(100 - kSimilarEventsMax));
  EXPECT_EQ(told.at("\"console line 0\""), "1");
}

TEST_F(EventSeriesTest, OtherReasonsAreNotCombined) {
  for (int i = 0; i < 20; ++i) Record("Exited", fmt::format("console line {}", i));
  Record("StartFailed", "no kernel");
  EXPECT_EQ(Told().at("\"no kernel\""), "1");
}

// After it expired, the same thing is told anew.
TEST_F(EventSeriesTest, AnEventThatIsGoneIsMadeAnew) {
  Record("Exited", "again");
  const auto events = world_.store->List({"", "events"}, {});
  for (const auto& event : events->items) {
    ASSERT_TRUE(world_.store->Delete({{"", "events"}, "default", event->meta.name}).ok());
  }
  Record("Exited", "again");
  EXPECT_EQ(Told().at("\"again\""), "1");
}

}  // namespace
}  // namespace forkplane::runtime
