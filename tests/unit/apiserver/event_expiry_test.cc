// Goal: an Event goes once nothing was written to it for the time set, whoever made it, also after
// a restart; one that was counted meanwhile stays. Method: a store in memory and a clock of our
// own.
#include "controller/apiserver/loops/event_expiry.h"

#include <gtest/gtest.h>

#include "tests/support/store_world.h"

namespace forkplane::apiserver {
namespace {

using forkplane::testing::StoreWorld;
using forkplane::testing::With;
using std::chrono::minutes;

class EventExpiryTest : public ::testing::Test {
 protected:
  store::ObjectPtr Make(const std::string& name, const std::string& times) {
    const auto made = world_.store->Create(
        EventExpiry::Resource(), "default",
        fmt::format(R"({{"apiVersion":"v1","kind":"Event","metadata":{{"name":"{}"}},)"
                    R"("involvedObject":{{"namespace":"default"}}{}}})",
                    name, times));
    EXPECT_TRUE(made.ok());
    return made.ok() ? made->object : nullptr;
  }
  bool Has(const std::string& name) {
    return *world_.store->Get({EventExpiry::Resource(), "default", name}) != nullptr;
  }
  std::string Now() { return '"' + FormatTime(world_.clock.WallNow()) + '"'; }

  StoreWorld world_;
  EventExpiry expiry_{*world_.store, std::chrono::hours(1), world_.clock, world_.registry};
};

TEST_F(EventExpiryTest, GoesAnHourAfterItsLastWrite) {
  expiry_.Changed(Make("a", ""));
  world_.clock.Advance(minutes(59));
  ASSERT_TRUE(expiry_.Collect().ok());
  EXPECT_TRUE(Has("a"));
  world_.clock.Advance(minutes(2));
  EXPECT_LE(*expiry_.NextDue(), world_.clock.WallNow());
  ASSERT_TRUE(expiry_.Collect().ok());
  EXPECT_FALSE(Has("a"));
  EXPECT_FALSE(expiry_.NextDue());
  EXPECT_NE(world_.registry.Serialize().find("forkplane_events_expired_total 1"),
            std::string::npos);
}

TEST_F(EventExpiryTest, OneThatWasCountedAgainStays) {
  const store::ObjectPtr first = Make("a", "");
  expiry_.Changed(first);
  world_.clock.Advance(minutes(50));
  const auto counted = world_.store->Update({EventExpiry::Resource(), "default", "a"},
                                            With(first->text, "/lastTimestamp", Now()));
  ASSERT_TRUE(counted.ok()) << counted.error().message;
  world_.clock.Advance(minutes(20));
  ASSERT_TRUE(expiry_.Collect().ok()) << "before the write was seen";
  EXPECT_TRUE(Has("a"));
  expiry_.Changed(counted->object);
  ASSERT_TRUE(expiry_.Collect().ok());
  EXPECT_TRUE(Has("a"));
  world_.clock.Advance(minutes(41));
  ASSERT_TRUE(expiry_.Collect().ok());
  EXPECT_FALSE(Has("a"));
}

TEST_F(EventExpiryTest, ATimeInTheFutureKeepsNothing) {
  expiry_.Changed(Make("a", R"(,"lastTimestamp":"2999-01-01T00:00:00Z")"));
  world_.clock.Advance(minutes(61));
  ASSERT_TRUE(expiry_.Collect().ok());
  EXPECT_FALSE(Has("a"));
}

TEST_F(EventExpiryTest, ARestartGoesByTheTimesOfTheEvent) {
  const store::ObjectPtr event = Make("a", "");
  world_.clock.Advance(minutes(61));
  EventExpiry restarted{*world_.store, std::chrono::hours(1), world_.clock, world_.registry};
  restarted.Changed(event);
  ASSERT_TRUE(restarted.Collect().ok());
  EXPECT_FALSE(Has("a"));
}

}  // namespace
}  // namespace forkplane::apiserver
