// Goal: an acknowledged write is there after any end of the process, revisions never go back, and a
// disk that refuses is reported, not believed. Method: a child process that writes and is killed
// with SIGKILL at a random moment; a log that fails on demand.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <set>
#include <thread>

#include "controller/store/errors.h"
#include "controller/store/limits.h"
#include "tests/support/store_world.h"
#include "tests/support/tempdir.h"

namespace forkplane::store {
namespace {

using testing::kThings;
using testing::ThingText;
using testing::With;

std::unique_ptr<RevisionLog> OpenLog(const std::string& path) {
  SeededRng rng(1);
  auto log = OpenSqliteLog({.path = path}, rng);
  if (!log.ok()) CheckFailed("log opens", log.error().message);
  return std::move(log).value();
}

// Writes until killed; each acknowledged "name revision" goes through the pipe in one write.
[[noreturn]] void WriteUntilKilled(const std::string& path, int pipe, int round) {
  testing::StoreWorld world(OpenLog(path));
  std::vector<std::jthread> writers;
  writers.reserve(8);
  for (int w = 0; w < 8; ++w) {
    writers.emplace_back([&world, pipe, round, w] {
      for (int i = 0; i < 100000; ++i) {
        const std::string name = fmt::format("r{}-w{}-{}", round, w, i);
        const ObjectPtr made = world.Create(name);
        const std::string line = fmt::format("{} {}\n", name, made->meta.revision);
        if (::write(pipe, line.data(), line.size()) < 0) return;
      }
    });
  }
  writers.clear();
  ::_exit(0);
}

std::string RunAndKill(const std::string& path, int round) {
  int ends[2];
  CHECK(::pipe(ends) == 0);
  const pid_t child = ::fork();
  if (child == 0) {
    ::close(ends[0]);
    WriteUntilKilled(path, ends[1], round);
  }
  ::close(ends[1]);
  std::string acknowledged;
  char buffer[4096];
  while (true) {
    const ssize_t n = ::read(ends[0], buffer, sizeof(buffer));
    if (n <= 0) break;
    acknowledged.append(buffer, static_cast<std::size_t>(n));
    if (acknowledged.size() > 4000) ::kill(child, SIGKILL);
  }
  ::close(ends[0]);
  CHECK(::waitpid(child, nullptr, 0) == child);
  return acknowledged;
}

TEST(DurabilityTest, AKilledWriterLosesNothingItAcknowledged) {
  testing::TempDir dir;
  const std::string path = dir.File("store.db");
  Revision highest = 0;
  for (int round = 0; round < 4; ++round) {
    const std::string acknowledged = RunAndKill(path, round);
    testing::StoreWorld world(OpenLog(path));
    std::size_t at = 0;
    int lines = 0;
    for (std::size_t end; (end = acknowledged.find('\n', at)) != std::string::npos; at = end + 1) {
      const std::string line = acknowledged.substr(at, end - at);
      const std::size_t space = line.find(' ');
      const ObjectPtr object = world.Get(line.substr(0, space));
      ASSERT_NE(object, nullptr) << line;
      const Revision revision = std::stoull(line.substr(space + 1));
      EXPECT_EQ(object->meta.revision, revision);
      EXPECT_GT(revision, highest);
      ++lines;
    }
    EXPECT_GT(lines, 50);
    highest = world.store->CurrentRevision().value();
  }
}

TEST(DurabilityTest, AReopenedStoreIsTheSameAndItsWatchesResume) {
  testing::TempDir dir;
  const std::string path = dir.File("store.db");
  std::string identity;
  Revision middle = 0;
  std::string text;
  {
    testing::StoreWorld world(OpenLog(path));
    identity = world.store->Identity();
    const ObjectPtr a = world.Create("a", "", R"("labels":{"k":"v"})");
    world.Create("b");
    middle = *world.store->CurrentRevision();
    text = world.store->Update(world.Key("a"), With(a->text, "/spec/size", "4"))->object->text;
    ASSERT_TRUE(world.store->Delete(world.Key("b")).ok());
  }
  testing::StoreWorld world(OpenLog(path));
  EXPECT_EQ(world.store->Identity(), identity);
  EXPECT_EQ(*world.store->CurrentRevision(), middle + 2);
  ASSERT_NE(world.Get("a"), nullptr);
  EXPECT_EQ(world.Get("a")->text, text);
  EXPECT_EQ(world.Get("a")->meta.labels.at("k"), "v");
  EXPECT_EQ(world.Get("b"), nullptr);
  auto watch = world.store->OpenWatch(kThings, {.after = middle});
  ASSERT_TRUE(watch.ok());
  EXPECT_EQ((*watch)->TryNext()->type, EventType::kModified);
  EXPECT_EQ((*watch)->TryNext()->type, EventType::kDeleted);
  EXPECT_EQ((*watch)->TryNext(), std::nullopt);
  EXPECT_GT(world.Create("c")->meta.revision, middle + 2);
}

// Somebody else's log, which may outlive the store, and fails while told to.
class SharedLog final : public RevisionLog {
 public:
  SharedLog(std::shared_ptr<RevisionLog> inner, const std::atomic<bool>& fail)
      : inner_(std::move(inner)), fail_(fail) {}
  Status Append(std::span<const LogRecord> records) override {
    if (fail_) return Unavailable("disk is full");
    return inner_->Append(records);
  }
  Status Load(const std::function<Status(LogRecord&&)>& visit) override {
    return inner_->Load(visit);
  }
  Status Compact(Revision through) override { return inner_->Compact(through); }
  Status Probe() override { return fail_ ? Unavailable("disk is full") : inner_->Probe(); }
  Revision last_revision() const override { return inner_->last_revision(); }
  Revision compacted() const override { return inner_->compacted(); }
  const std::string& identity() const override { return inner_->identity(); }

 private:
  std::shared_ptr<RevisionLog> inner_;
  const std::atomic<bool>& fail_;
};

TEST(DurabilityTest, CompactionFollowsHistoryAndAReopenedStoreForgetsTheSame) {
  SeededRng rng(1);
  const std::atomic<bool> fail = false;
  const std::shared_ptr<RevisionLog> log = NewMemoryLog(rng);
  Revision first = 0;
  const std::size_t writes = kHistoryEventsMin + 3 * kCompactLag;
  {
    testing::StoreWorld world(std::make_unique<SharedLog>(log, fail));
    world.Create("a");
    first = *world.store->CurrentRevision();
    for (std::size_t i = 0; i < writes; ++i) {
      world.clock.Advance(std::chrono::seconds(1));
      const auto updated = world.store->Update(
          world.Key("a"), With(world.Get("a")->text, "/spec/size", std::to_string(i + 2)));
      ASSERT_TRUE(updated.ok());
    }
  }
  EXPECT_GT(log->compacted(), first + kCompactLag);
  std::size_t held = 0;
  ASSERT_TRUE(log->Load([&held](LogRecord&&) {
                   ++held;
                   return OkStatus();
                 })
                  .ok());
  EXPECT_LT(held, kHistoryEventsMin + kCompactLag + kCompactRecordsMax + 10);
  testing::StoreWorld world(std::make_unique<SharedLog>(log, fail));
  EXPECT_EQ(*world.store->CurrentRevision(), first + writes);
  EXPECT_TRUE(IsExpired(world.store->OpenWatch(kThings, {.after = first}).error()));
}

TEST(DurabilityTest, AFailedCommitIsReportedShowsNothingAndHeals) {
  SeededRng rng(1);
  std::atomic<bool> fail = false;
  testing::StoreWorld world(std::make_unique<SharedLog>(NewMemoryLog(rng), fail));
  const ObjectPtr a = world.Create("a");
  auto watch = world.store->OpenWatch(kThings, {.after = a->meta.revision});
  fail = true;
  EXPECT_EQ(world.store->Create(kThings, "default", ThingText("b")).error().code,
            Code::kUnavailable);
  EXPECT_EQ(world.store->Update(world.Key("a"), With(a->text, "/spec/size", "2")).error().code,
            Code::kUnavailable);
  EXPECT_EQ(world.store->Delete(world.Key("a")).error().code, Code::kUnavailable);
  EXPECT_EQ(world.Get("b"), nullptr);
  EXPECT_EQ(world.Get("a")->text, a->text);
  fail = false;
  // The same precondition still holds, and the numbers rise.
  const auto updated = world.store->Update(world.Key("a"), With(a->text, "/spec/size", "2"));
  ASSERT_TRUE(updated.ok());
  EXPECT_GT(updated->object->meta.revision, a->meta.revision);
  EXPECT_EQ((*watch)->TryNext()->revision, updated->object->meta.revision);
  EXPECT_EQ((*watch)->TryNext(), std::nullopt);
}

TEST(DurabilityTest, WritersShareCommits) {
  testing::TempDir dir;
  testing::StoreWorld world(OpenLog(dir.File("store.db")));
  {
    std::vector<std::jthread> writers;
    writers.reserve(25);
    for (int w = 0; w < 25; ++w) {
      writers.emplace_back([&world, w] {
        for (int i = 0; i < 40; ++i) world.Create(fmt::format("w{}-{}", w, i));
      });
    }
  }
  const std::string text = world.registry.Serialize();
  const std::string name = "forkplane_store_commits_total{code=\"ok\"} ";
  const double commits = std::stod(text.substr(text.find(name) + name.size()));
  EXPECT_LT(commits, 500) << "1000 writes of 25 writers should share far fewer commits";
}

// Goal: a store that cannot write says so, without a write of anybody, and heals. Method: a log
// that refuses commits, probes, or both.
TEST(DurabilityTest, HealthTellsWhetherAWriteWouldBecomeDurable) {
  SeededRng rng(1);
  std::atomic<bool> fail = false;
  testing::StoreWorld world(std::make_unique<SharedLog>(NewMemoryLog(rng), fail));
  EXPECT_TRUE(world.store->Health().ok());
  // The disk fills while nobody writes: the next look that is not just behind a write sees it.
  fail = true;
  world.clock.Advance(kProbeAfter);
  EXPECT_EQ(world.store->Health().error().code, Code::kUnavailable);
  fail = false;
  EXPECT_TRUE(world.store->Health().ok());
  // A commit that failed is known at once.
  fail = true;
  EXPECT_FALSE(world.store->Create(kThings, "default", ThingText("b")).ok());
  EXPECT_FALSE(world.store->Health().ok());
  fail = false;
  world.Create("c");
  EXPECT_TRUE(world.store->Health().ok());
  world.store->Close();
  EXPECT_FALSE(world.store->Health().ok());
}

}  // namespace
}  // namespace forkplane::store
