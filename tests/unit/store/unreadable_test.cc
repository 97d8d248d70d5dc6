// Goal: a record that cannot be read keeps the daemon neither from starting nor from saying so, and
// what it stood for is not taken for absent. Method: a log with such records.
#include <gtest/gtest.h>

#include "tests/support/store_world.h"

namespace forkplane::store {
namespace {

using testing::kThings;
using testing::ThingText;

class UnreadableTest : public ::testing::Test {
 protected:
  UnreadableTest() {
    auto log = NewMemoryLog(world_rng_);
    const ObjectKey bad{kThings, "default", "bad"};
    const ObjectKey healed{kThings, "default", "healed"};
    const std::string good =
        testing::With(testing::With(ThingText("healed"), "/metadata/namespace", "\"default\""),
                      "/metadata/resourceVersion", "\"9\"");
    const std::vector<LogRecord> records = {
        {.revision = 7, .key = bad, .text = "{\"metadata\""},
        {.revision = 8, .key = healed, .text = "[]"},
        {.revision = 9, .previous = 8, .key = healed, .text = good}};
    CHECK(log->Append(records).ok());
    world_ = std::make_unique<testing::StoreWorld>(std::move(log));
  }
  std::string Metric() const {
    const std::string text = world_->registry.Serialize();
    const std::string name = "\nforkplane_store_unreadable_records ";
    return text.substr(text.find(name) + name.size(), 1);
  }

  SeededRng world_rng_{1};
  std::unique_ptr<testing::StoreWorld> world_;
};

TEST_F(UnreadableTest, TheStoreServesTheRestAndNamesIt) {
  EXPECT_NE(world_->Get("healed"), nullptr);
  EXPECT_NE(world_->Create("new"), nullptr);
  const auto got = world_->store->Get(world_->Key("bad"));
  ASSERT_FALSE(got.ok());
  EXPECT_EQ(got.error().code, Code::kInternal);
  EXPECT_NE(
      got.error().message.find("things.test.dev \"bad\" cannot be read: record 7 of the store"),
      std::string::npos)
      << got.error().message;
  EXPECT_EQ(Metric(), "1");
  EXPECT_NE(world_->store->Health().error().message.find("1 objects cannot be read"),
            std::string::npos);
  EXPECT_EQ(world_->store->List(kThings, {})->items.size(), 2U);
}

TEST_F(UnreadableTest, ItsNameStaysTakenUntilItIsTakenAwayOnPurpose) {
  const ObjectKey key = world_->Key("bad");
  EXPECT_FALSE(world_->store->Create(kThings, "default", ThingText("bad")).ok());
  EXPECT_FALSE(world_->store->Update(key, ThingText("bad")).ok());
  EXPECT_FALSE(world_->store->Delete(key).ok());
  EXPECT_FALSE(world_->store->Health().ok());
  ASSERT_TRUE(world_->store->Delete(key, {.ignore_unreadable = true, .dry_run = true}).ok());
  EXPECT_FALSE(world_->store->Health().ok());

  const auto deleted = world_->store->Delete(key, {.ignore_unreadable = true});
  ASSERT_TRUE(deleted.ok()) << deleted.error().message;
  EXPECT_TRUE(deleted->removed);
  EXPECT_EQ(Metric(), "0");
  EXPECT_TRUE(world_->store->Health().ok());
  EXPECT_EQ(world_->Get("bad"), nullptr);
  EXPECT_NE(world_->Create("bad"), nullptr);
}

// It is an option for what cannot be read, not a way around finalizers.
TEST_F(UnreadableTest, AReadableObjectIsDeletedAsEver) {
  world_->Create("held", "", R"("finalizers":["test.dev/hold"])");
  const auto deleted = world_->store->Delete(world_->Key("held"), {.ignore_unreadable = true});
  ASSERT_TRUE(deleted.ok());
  EXPECT_FALSE(deleted->removed);
  EXPECT_NE(world_->Get("held"), nullptr);
}

}  // namespace
}  // namespace forkplane::store
