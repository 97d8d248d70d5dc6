// Goal: an informer's cache is the store's content, whatever happens between them. Method: stepped
// by hand over a real store; once with its thread.
#include "controller/runtime/informer.h"

#include <gtest/gtest.h>

#include "controller/store/limits.h"
#include "tests/support/forwarding_store.h"
#include "tests/support/store_world.h"

namespace forkplane::runtime {
namespace {

using testing::At;
using testing::kThings;
using testing::With;

struct Thing {
  std::string name;
  int size = 0;
};

Result<Thing> Decode(const store::Object& object) {
  const std::string size = At(object.text, "/spec/size");
  if (size == "666") return Invalid("cannot be decoded");
  return Thing{object.meta.name, std::stoi(size)};
}

class InformerTest : public ::testing::Test {
 protected:
  InformerTest() {
    informer_.AddHandler([this](const Informer<Thing>::Change& change) {
      heard_ += fmt::format("{}:{}>{} ", change.key, change.before ? change.before->size : -1,
                            change.after ? change.after->size : -1);
    });
  }
  std::string Heard() { return std::exchange(heard_, {}); }
  void Set(const std::string& name, int size) {
    ASSERT_TRUE(world_.store
                    ->Update(world_.Key(name),
                             With(world_.Get(name)->text, "/spec/size", std::to_string(size)))
                    .ok());
  }

  testing::StoreWorld world_;
  std::string heard_;
  Informer<Thing> informer_{*world_.store, {.resource = kThings}, Decode};
};

TEST_F(InformerTest, FollowsTheStore) {
  const auto a = world_.Create("a");
  EXPECT_FALSE(informer_.HasSynced());
  ASSERT_TRUE(informer_.Step().ok());
  EXPECT_TRUE(informer_.HasSynced());
  EXPECT_EQ(Heard(), "default/a:-1>1 ");
  EXPECT_EQ(informer_.Get("default/a")->size, 1);
  EXPECT_EQ(informer_.GetByUid(a->meta.uid)->name, "a");

  Set("a", 5);
  world_.Create("b", "", "", "other");
  ASSERT_TRUE(informer_.Step().ok());
  EXPECT_EQ(Heard(), "default/a:1>5 other/b:-1>1 ");
  EXPECT_EQ(informer_.List().size(), 2U);
  EXPECT_EQ(informer_.ListIn("other").size(), 1U);
  EXPECT_EQ(informer_.Find("default/a").object->text, world_.Get("a")->text);

  ASSERT_TRUE(world_.store->Delete(world_.Key("a")).ok());
  ASSERT_TRUE(informer_.Step().ok());
  EXPECT_EQ(Heard(), "default/a:5>-1 ");
  EXPECT_EQ(informer_.Get("default/a"), nullptr);
  EXPECT_FALSE(informer_.KnowsUid(a->meta.uid));
}

TEST_F(InformerTest, FindsByOwner) {
  world_.Create("a", "",
                R"("ownerReferences":[{"apiVersion":"v1","kind":"X","name":"x","uid":"u-1"}])");
  world_.Create("b");
  ASSERT_TRUE(informer_.Step().ok());
  ASSERT_EQ(informer_.ListOwnedBy("u-1").size(), 1U);
  EXPECT_EQ(informer_.ListOwnedBy("u-1")[0]->name, "a");
}

TEST_F(InformerTest, DeletedAndMadeAgainIsTwoChanges) {
  world_.Create("a");
  ASSERT_TRUE(informer_.Step().ok());
  Heard();
  ASSERT_TRUE(world_.store->Delete(world_.Key("a")).ok());
  world_.Create("a", R"("size":9)");
  ASSERT_TRUE(informer_.Step().ok());
  EXPECT_EQ(Heard(), "default/a:1>-1 default/a:-1>9 ");
}

// What cannot be decoded must never look deleted: a loop would tear down what runs.
TEST_F(InformerTest, AnObjectThatCannotBeDecodedKeepsItsLastGoodState) {
  const auto a = world_.Create("a");
  ASSERT_TRUE(informer_.Step().ok());
  Heard();
  Set("a", 666);
  const auto b = world_.Create("b", R"("size":666)");
  ASSERT_TRUE(informer_.Step().ok());
  EXPECT_EQ(Heard(), "default/a:1>1 ");
  EXPECT_EQ(informer_.Get("default/a")->size, 1);
  EXPECT_EQ(informer_.Get("default/b"), nullptr);
  EXPECT_TRUE(informer_.KnowsUid(b->meta.uid));
  Set("b", 7);
  ASSERT_TRUE(informer_.Step().ok());
  EXPECT_EQ(Heard(), "default/b:-1>7 ");
}

// Gives watches that end after a few events, and says Expired when told to.
class Flaky final : public testing::ForwardingStore {
 public:
  using ForwardingStore::ForwardingStore;
  Result<store::ListResult> List(const store::GroupResource& resource,
                                 const store::ListOptions& options) override {
    ++lists;
    if (down) return Unavailable("down");
    return ForwardingStore::List(resource, options);
  }
  Result<std::unique_ptr<store::Watch>> OpenWatch(const store::GroupResource& resource,
                                                  const store::WatchOptions& options) override {
    ++watches;
    if (down) return Unavailable("down");
    store::WatchOptions small = options;
    small.queue_events_max = 2;
    return ForwardingStore::OpenWatch(resource, small);
  }

  int lists = 0;
  int watches = 0;
  bool down = false;
};

TEST_F(InformerTest, AClosedWatchIsResumedWithoutAList) {
  Flaky flaky(*world_.store);
  Informer<Thing> informer(flaky, {.resource = kThings}, Decode);
  ASSERT_TRUE(informer.Step().ok());
  for (int i = 0; i < 20; ++i) world_.Create("o" + std::to_string(i));
  ASSERT_TRUE(informer.Step().ok());
  EXPECT_EQ(informer.List().size(), 20U);
  EXPECT_EQ(flaky.lists, 1);
  EXPECT_GT(flaky.watches, 1);
}

TEST_F(InformerTest, ExpiredHistoryIsListedAndTheDifferenceTold) {
  Flaky flaky(*world_.store);
  std::string heard;
  Informer<Thing> informer(flaky, {.resource = kThings}, Decode);
  informer.AddHandler([&heard](const Informer<Thing>::Change& change) {
    heard += change.key + (change.after ? "+ " : "- ");
  });
  world_.Create("a");
  world_.Create("b");
  world_.Create("busy");
  ASSERT_TRUE(informer.Step().ok());
  heard.clear();
  // Far more than the watch holds and than history keeps.
  ASSERT_TRUE(world_.store->Delete(world_.Key("a")).ok());
  world_.Create("c");
  for (std::size_t i = 0; i < store::kHistoryEventsMin + 10; ++i) {
    Set("busy", static_cast<int>(i % 600) + 2);
  }
  world_.clock.Advance(store::kHistoryWindow * 2);
  Set("busy", 601);
  ASSERT_TRUE(informer.Step().ok());
  EXPECT_EQ(flaky.lists, 2);
  // Two events were still queued (a's deletion, c); the rest is the list's difference.
  EXPECT_EQ(heard, "default/a- default/c+ default/busy+ ");
  EXPECT_EQ(informer.List().size(), 3U);
  EXPECT_EQ(informer.Get("default/busy")->size, 601);
}

TEST_F(InformerTest, AStoreThatIsDownIsAnErrorAndTheCacheStays) {
  Flaky flaky(*world_.store);
  Informer<Thing> informer(flaky, {.resource = kThings}, Decode);
  flaky.down = true;
  EXPECT_FALSE(informer.Step().ok());
  EXPECT_FALSE(informer.HasSynced());
  flaky.down = false;
  world_.Create("a");
  EXPECT_TRUE(informer.Step().ok());
  EXPECT_EQ(informer.List().size(), 1U);
}

TEST_F(InformerTest, ItsThreadFollowsByItself) {
  world_.Create("a");
  informer_.Start();
  const auto deadline = RealClock().Now() + std::chrono::seconds(20);
  ASSERT_TRUE(informer_.WaitForSync(std::stop_token{}, deadline));
  const auto b = world_.Create("b");
  ASSERT_TRUE(informer_.WaitFor(b->meta.revision, std::stop_token{}, deadline));
  EXPECT_NE(informer_.Get("default/b"), nullptr);
  informer_.Stop();
}

}  // namespace
}  // namespace forkplane::runtime
