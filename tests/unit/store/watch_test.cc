// Goal: every watch sees every event once, in order, and never costs more than its bound; lists are
// snapshots. Method: through the store on a memory log; a storm of writers for the order.
#include <gtest/gtest.h>
#include <poll.h>

#include <set>
#include <thread>
#include <utility>

#include "controller/store/errors.h"
#include "controller/store/limits.h"
#include "tests/support/store_world.h"

namespace forkplane::store {
namespace {

using testing::kThings;
using testing::ThingText;
using testing::With;

class WatchTest : public ::testing::Test {
 protected:
  std::unique_ptr<Watch> Open(WatchOptions options) {
    auto watch = world_.store->OpenWatch(kThings, options);
    EXPECT_TRUE(watch.ok());
    return std::move(watch).value();
  }
  Revision Now() { return world_.store->CurrentRevision().value(); }
  // "ADDED a", or "" when there is none.
  static std::string Take(Watch& watch) {
    const auto event = watch.TryNext();
    if (!event) return "";
    if (!event->object) return std::string(ToString(event->type));
    return std::string(ToString(event->type)) + " " + event->object->meta.name;
  }
  static bool Readable(const Watch& watch) {
    pollfd fd{.fd = watch.event_fd(), .events = POLLIN, .revents = 0};
    return ::poll(&fd, 1, 0) == 1;
  }
  void Set(const std::string& name, const std::string& pointer, const std::string& value) {
    const auto updated =
        world_.store->Update(world_.Key(name), With(world_.Get(name)->text, pointer, value));
    ASSERT_TRUE(updated.ok()) << updated.error().message;
  }

  testing::StoreWorld world_;
};

TEST_F(WatchTest, FromNothingGivesTheStateThenWhatHappens) {
  world_.Create("a");
  world_.Create("b");
  auto watch = Open({.initial_events_end = true});
  EXPECT_TRUE(Readable(*watch));
  EXPECT_EQ(watch->SentThrough(), 0U);
  EXPECT_EQ(Take(*watch), "ADDED a");
  EXPECT_EQ(Take(*watch), "ADDED b");
  const auto bookmark = watch->TryNext();
  ASSERT_TRUE(bookmark.has_value());
  EXPECT_TRUE(bookmark->initial_events_end);
  EXPECT_EQ(bookmark->revision, Now());
  EXPECT_FALSE(Readable(*watch));
  EXPECT_EQ(watch->SentThrough(), Now());

  Set("a", "/spec/size", "2");
  ASSERT_TRUE(world_.store->Delete(world_.Key("b")).ok());
  EXPECT_TRUE(Readable(*watch));
  EXPECT_EQ(Take(*watch), "MODIFIED a");
  EXPECT_TRUE(Readable(*watch));
  EXPECT_EQ(Take(*watch), "DELETED b");
  EXPECT_FALSE(Readable(*watch));
}

TEST_F(WatchTest, ResumesAfterARevisionWithoutLossOrRepetition) {
  world_.Create("a");
  const Revision start = Now();
  world_.Create("b");
  Set("b", "/spec/size", "5");
  ASSERT_TRUE(world_.store->Delete(world_.Key("a")).ok());
  auto watch = Open({.after = start});
  EXPECT_EQ(Take(*watch), "ADDED b");
  EXPECT_EQ(Take(*watch), "MODIFIED b");
  const auto deleted = watch->TryNext();
  EXPECT_EQ(deleted->type, EventType::kDeleted);
  EXPECT_EQ(deleted->revision, Now());
  EXPECT_EQ(testing::At(deleted->object->text, "/metadata/resourceVersion"),
            '"' + std::to_string(Now()) + '"');
  EXPECT_EQ(Take(*watch), "");
}

TEST_F(WatchTest, ARevisionThatWasNotGivenOutYetIsRefused) {
  const auto watch = world_.store->OpenWatch(kThings, {.after = Now() + 1});
  ASSERT_FALSE(watch.ok());
  EXPECT_EQ(StatusReason(watch.error()), "Timeout");
  EXPECT_EQ(watch.error().message,
            fmt::format("Timeout: Too large resource version: {}, current: {}", Now() + 1, Now()));
  EXPECT_EQ(VisibleCauses(watch.error())[0].reason, "ResourceVersionTooLarge");
}

TEST_F(WatchTest, EnteringAndLeavingASelector) {
  world_.Create("a", "", R"("labels":{"on":"1"})");
  auto watch = Open({.labels = *ParseLabelSelector("on=1"), .after = Now()});
  Set("a", "/spec/size", "2");
  EXPECT_EQ(Take(*watch), "MODIFIED a");
  Set("a", "/metadata/labels", R"({"on":"0"})");
  const auto left = watch->TryNext();
  ASSERT_TRUE(left.has_value());
  EXPECT_EQ(left->type, EventType::kDeleted);
  EXPECT_EQ(left->object->meta.labels.at("on"), "1");  // the last state that matched
  EXPECT_EQ(left->object->meta.revision, Now());       // at the revision it left
  Set("a", "/spec/size", "3");
  EXPECT_EQ(Take(*watch), "");
  Set("a", "/metadata/labels", R"({"on":"1"})");
  EXPECT_EQ(Take(*watch), "ADDED a");
  ASSERT_TRUE(world_.store->Delete(world_.Key("a")).ok());
  EXPECT_EQ(Take(*watch), "DELETED a");
}

TEST_F(WatchTest, NamespaceAndFieldSelectors) {
  auto by_ns = Open({.ns = "other", .after = Now()});
  auto by_name = Open({.fields = *ParseFieldSelector("metadata.name=b"), .after = Now()});
  auto by_phase = Open({.fields = *ParseFieldSelector("status.phase=Up"), .after = Now()});
  const ObjectPtr a = world_.Create("a");
  world_.Create("b", "", "", "other");
  EXPECT_EQ(Take(*by_ns), "ADDED b");
  EXPECT_EQ(Take(*by_name), "ADDED b");
  EXPECT_EQ(Take(*by_phase), "");
  ASSERT_TRUE(
      world_.store->UpdateStatus(world_.Key("a"), With(a->text, "/status", R"({"phase":"Up"})"))
          .ok());
  EXPECT_EQ(Take(*by_phase), "ADDED a");
  EXPECT_EQ(Take(*by_ns), "");
  const auto refused =
      world_.store->OpenWatch(kThings, {.fields = *ParseFieldSelector("spec.size=1")});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().message, "field label not supported: spec.size");
}

TEST_F(WatchTest, ASlowReaderIsClosedAndResumes) {
  auto watch = Open({.after = Now(), .queue_events_max = 3});
  for (int i = 0; i < 10; ++i) world_.Create("o" + std::to_string(i));
  EXPECT_FALSE(watch->ended());
  Revision last = 0;
  for (int i = 0; i < 3; ++i) last = watch->TryNext()->revision;
  EXPECT_TRUE(watch->ended());
  EXPECT_TRUE(Readable(*watch));
  EXPECT_EQ(watch->SentThrough(), 0U);  // no bookmark may hide the loss
  EXPECT_EQ(Take(*watch), "");
  auto again = Open({.after = last});
  for (int i = 3; i < 10; ++i) EXPECT_EQ(Take(*again), "ADDED o" + std::to_string(i));
  EXPECT_NE(world_.registry.Serialize().find("forkplane_store_watch_overflows_total 1"),
            std::string::npos);
}

TEST_F(WatchTest, HistoryThatIsGoneIsExpired) {
  const ObjectPtr a = world_.Create("a");
  const Revision start = Now();
  for (std::size_t i = 0; i < kHistoryEventsMin + 5; ++i) {
    Set("a", "/spec/size", std::to_string(i + 2));
  }
  EXPECT_TRUE(world_.store->OpenWatch(kThings, {.after = start}).ok());  // young enough
  world_.clock.Advance(kHistoryWindow + std::chrono::seconds(1));
  Set("a", "/spec/size", "1");
  const auto expired = world_.store->OpenWatch(kThings, {.after = start});
  ASSERT_FALSE(expired.ok());
  EXPECT_TRUE(IsExpired(expired.error()));
  EXPECT_EQ(expired.error().message.find("too old resource version: " + std::to_string(start)), 0U);
  EXPECT_TRUE(IsExpired(world_.store->List(kThings, {.exact_revision = start}).error()));
}

// Goal: the memory of a burst comes back although nothing is written after it.
TEST_F(WatchTest, AQuietStoreForgetsItsHistoryToo) {
  world_.Create("a");
  const Revision start = Now();
  for (std::size_t i = 0; i < kHistoryEventsMin + 5; ++i) {
    Set("a", "/spec/size", std::to_string(i + 2));
  }
  world_.clock.Advance(kHistoryWindow + std::chrono::seconds(1));
  EXPECT_TRUE(world_.store->OpenWatch(kThings, {.after = start}).ok()) << "nobody looked yet";
  world_.store->ForgetOldHistory();
  const auto expired = world_.store->OpenWatch(kThings, {.after = start});
  ASSERT_FALSE(expired.ok());
  EXPECT_TRUE(IsExpired(expired.error()));
}

TEST_F(WatchTest, ClosingTheStoreEndsWatchesAndWrites) {
  auto watch = Open({.after = Now()});
  world_.Create("a");
  world_.store->Close();
  EXPECT_EQ(Take(*watch), "ADDED a");
  EXPECT_TRUE(watch->ended());
  EXPECT_EQ(watch->Next(std::stop_token{}, RealClock().Now() + std::chrono::seconds(5)),
            std::nullopt);
  EXPECT_EQ(world_.store->Create(kThings, "default", ThingText("b")).error().code,
            Code::kUnavailable);
  EXPECT_NE(world_.Get("a"), nullptr);
}

TEST_F(WatchTest, PagesShowTheSnapshotOfTheFirst) {
  for (const char* name : {"a", "b", "c", "d", "e"}) world_.Create(name);
  const auto first = world_.store->List(kThings, {.limit = 2});
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(first->remaining, 3);
  ASSERT_TRUE(world_.store->Delete(world_.Key("d")).ok());
  Set("c", "/spec/size", "7");
  world_.Create("cc");
  std::string seen;
  std::string token = first->continue_token;
  while (!token.empty()) {
    const auto page = world_.store->List(kThings, {.limit = 2, .continue_token = token});
    ASSERT_TRUE(page.ok());
    EXPECT_EQ(page->revision, first->revision);
    for (const ObjectPtr& object : page->items) {
      seen += object->meta.name;
      EXPECT_EQ(testing::At(object->text, "/spec/size"), "1");
    }
    token = page->continue_token;
  }
  EXPECT_EQ(seen, "cde");

  const auto now = InconsistentContinue(first->continue_token);
  ASSERT_TRUE(now.ok());
  const auto rest = world_.store->List(kThings, {.continue_token = *now});
  ASSERT_TRUE(rest.ok());
  EXPECT_EQ(rest->items.size(), 3U);  // c, cc, e
  EXPECT_EQ(rest->revision, Now());
}

TEST_F(WatchTest, ListOrderSelectorsAndRefusals) {
  world_.Create("b", "", R"("labels":{"k":"1"})");
  world_.Create("a", "", R"("labels":{"k":"2"})", "other");
  world_.Create("a", "", R"("labels":{"k":"1"})");
  const auto all = world_.store->List(kThings, {});
  ASSERT_EQ(all->items.size(), 3U);
  EXPECT_EQ(all->items[0]->meta.name + all->items[1]->meta.name + all->items[2]->meta.ns,
            "abother");
  EXPECT_EQ(all->revision, Now());
  EXPECT_EQ(world_.store->List(kThings, {.ns = "other"})->items.size(), 1U);
  const auto some = world_.store->List(kThings, {.labels = *ParseLabelSelector("k=1"), .limit = 1});
  EXPECT_EQ(some->items.size(), 1U);
  EXPECT_EQ(some->remaining, std::nullopt);
  EXPECT_EQ(StatusReason(world_.store->List(kThings, {.continue_token = "garbage"}).error()),
            "BadRequest");
  EXPECT_EQ(StatusReason(world_.store
                             ->List(kThings, {.continue_token = some->continue_token,
                                              .exact_revision = Now()})
                             .error()),
            "BadRequest");
  EXPECT_EQ(StatusReason(world_.store->List(kThings, {.exact_revision = Now() + 5}).error()),
            "Timeout");
}

TEST_F(WatchTest, AwaitRevisionWaitsOrSaysTooLarge) {
  const Revision now = Now();
  EXPECT_TRUE(
      world_.store->AwaitRevision(now, std::chrono::milliseconds(0), std::stop_token{}).ok());
  const Status never =
      world_.store->AwaitRevision(now + 9, std::chrono::milliseconds(1), std::stop_token{});
  ASSERT_FALSE(never.ok());
  EXPECT_EQ(never.error().message,
            "Timeout: Too large resource version: " + std::to_string(now + 9) +
                ", current: " + std::to_string(now));
  std::jthread writer([this] { world_.Create("a"); });
  EXPECT_TRUE(
      world_.store->AwaitRevision(now + 1, std::chrono::seconds(20), std::stop_token{}).ok());
}

// What a follower knows of the objects.
class Picture {
 public:
  explicit Picture(Revision after) : last_(after) {}
  // False when the event does not follow from those before.
  bool Add(const WatchEvent& event) {
    if (event.revision <= std::exchange(last_, event.revision)) return false;
    const std::string& name = event.object->meta.name;
    const bool known = alive_.count(name) != 0;
    if (event.type == EventType::kDeleted) {
      alive_.erase(name);
    } else {
      alive_.insert(name);
    }
    return known != (event.type == EventType::kAdded);
  }
  bool IsEmpty() const { return alive_.empty(); }

 private:
  Revision last_;
  std::set<std::string> alive_;
};

// 25 writers create, change and delete; watches that open in between replay from their list. All
// must end with the same picture and have seen rising revisions without a gap of their own.
TEST_F(WatchTest, EveryWatchSeesEveryEventOnceInOrderUnderTwentyFiveWriters) {
  constexpr int kWriters = 25;
  constexpr int kRounds = 12;
  std::atomic<int> events = 0;
  std::atomic<bool> broken = false;
  const auto follow = [&](Revision after, int expected) {
    auto watch = Open({.after = after, .queue_events_max = 100'000});
    Picture picture(after);
    for (int i = 0; i < expected; ++i) {
      const auto event =
          watch->Next(std::stop_token{}, RealClock().Now() + std::chrono::seconds(30));
      if (!event || !picture.Add(*event)) {
        broken = true;
        return;
      }
      ++events;
    }
    if (!picture.IsEmpty() || watch->TryNext()) broken = true;
  };
  const Revision start = Now();
  const int total = kWriters * kRounds * 3;
  {
    std::vector<std::jthread> threads;
    threads.reserve(3 + kWriters);
    for (int i = 0; i < 3; ++i) threads.emplace_back(follow, start, total);
    for (int w = 0; w < kWriters; ++w) {
      threads.emplace_back([this, w, &broken] {
        for (int round = 0; round < kRounds; ++round) {
          const std::string name = "w" + std::to_string(w);
          const ObjectPtr made = world_.Create(name);
          const bool fine =
              world_.store->Update(world_.Key(name), With(made->text, "/spec/size", "8")).ok() &&
              world_.store->Delete(world_.Key(name)).ok();
          if (!fine) broken = true;
        }
      });
    }
  }
  EXPECT_FALSE(broken);
  EXPECT_EQ(events, 3 * total);
  EXPECT_EQ(Now(), start + static_cast<Revision>(total));
}

TEST_F(WatchTest, TwoHundredReadModifyWriteLoopsLoseNoUpdate) {
  world_.Create("counter", R"("size":0)");
  std::vector<std::jthread> threads;
  threads.reserve(20);
  for (int t = 0; t < 20; ++t) {
    threads.emplace_back([this] {
      for (int i = 0; i < 10; ++i) {
        while (true) {
          const ObjectPtr seen = world_.Get("counter");
          const int size = std::stoi(testing::At(seen->text, "/spec/size"));
          const auto updated = world_.store->Update(
              world_.Key("counter"), With(seen->text, "/spec/size", std::to_string(size + 1)));
          if (updated.ok()) break;
          ASSERT_EQ(updated.error().code, Code::kConflict);
        }
      }
    });
  }
  threads.clear();
  EXPECT_EQ(testing::At(world_.Get("counter")->text, "/spec/size"), "200");
  EXPECT_EQ(world_.Get("counter")->meta.generation, 201);
}

// Goal: a watch that opens while others write sees each object once, in its first state or as an
// event, although neither waits for the other. Method: watches opened all the time beside writers,
// each read to the end and compared with what is stored.
TEST_F(WatchTest, OpeningBesideWritersLosesAndRepeatsNothing) {
  constexpr Revision kWriters = 4;
  constexpr Revision kObjects = 300;
  std::vector<std::jthread> writers;
  writers.reserve(kWriters);
  for (Revision w = 0; w < kWriters; ++w) {
    writers.emplace_back([this, w] {
      for (Revision i = 0; i < kObjects; ++i) world_.Create(fmt::format("w{}-{}", w, i));
    });
  }
  std::vector<std::unique_ptr<Watch>> watches;
  while (*world_.store->CurrentRevision() < kWriters * kObjects) {
    watches.push_back(Open({.initial_events_end = true, .queue_events_max = 10'000}));
  }
  writers.clear();
  watches.push_back(Open({.initial_events_end = true}));
  for (const auto& watch : watches) {
    std::set<std::string> seen;
    Revision last = 0;
    bool live = false;
    while (const std::optional<WatchEvent> event = watch->TryNext()) {
      EXPECT_GE(event->revision, last);
      last = event->revision;
      if (event->type == EventType::kBookmark) {
        EXPECT_FALSE(live);
        live = true;
        continue;
      }
      EXPECT_EQ(event->type, EventType::kAdded);
      EXPECT_TRUE(seen.insert(event->object->meta.name).second) << event->object->meta.name;
    }
    EXPECT_TRUE(live);
    EXPECT_EQ(seen.size(), static_cast<std::size_t>(kWriters * kObjects));
  }
}

// A name leads to its object, whatever else is asked for beside it.
TEST_F(WatchTest, ANameIsLookedUp) {
  for (const char* name : {"a", "b", "c"}) world_.Create(name);
  world_.Create("b", "", "", "other");
  const auto names = [this](const std::string& fields, const std::string& ns) {
    const auto list =
        world_.store->List(kThings, {.ns = ns, .fields = *ParseFieldSelector(fields)});
    std::string found;
    for (const ObjectPtr& object : list->items) {
      found += NamespacedName(object->meta.ns, object->meta.name) + " ";
    }
    return found;
  };
  EXPECT_EQ(names("metadata.name=b", "default"), "default/b ");
  EXPECT_EQ(names("metadata.name=b", ""), "default/b other/b ");
  EXPECT_EQ(names("metadata.name=b,metadata.namespace=other", ""), "other/b ");
  EXPECT_EQ(names("metadata.name=b,metadata.namespace=other", "default"), "");
  EXPECT_EQ(names("metadata.name!=b", "default"), "default/a default/c ");
  EXPECT_EQ(names("metadata.name=b,status.phase=Up", "default"), "");
  EXPECT_EQ(names("metadata.name=nobody", "default"), "");
  const auto namespaces = world_.store->List(
      testing::kNamespaces, {.fields = *ParseFieldSelector("metadata.name=other")});
  ASSERT_EQ(namespaces->items.size(), 1U);
  EXPECT_EQ(namespaces->items[0]->meta.name, "other");
}

}  // namespace
}  // namespace forkplane::store
