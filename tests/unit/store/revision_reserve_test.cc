// Goal: revisions never repeat, whichever copy of the database is put back. Method: a store that is
// copied, written on, ended or "killed" (its files copied while it is open), and opened again on
// the older copy with the reserve of the newer one.
#include "controller/store/revision_reserve.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "controller/base/sqlite.h"
#include "controller/store/errors.h"
#include "controller/store/limits.h"
#include "tests/support/store_world.h"
#include "tests/support/tempdir.h"

namespace forkplane::store {
namespace {

using testing::kThings;

class RevisionReserveTest : public ::testing::Test {
 protected:
  std::unique_ptr<testing::StoreWorld> Open(const std::string& database) {
    SeededRng rng(1);
    auto log = OpenSqliteLog(
        {.path = dir_.File(database), .first = 1000, .reserve_path = dir_.File("revisions")}, rng);
    EXPECT_TRUE(log.ok()) << (log.ok() ? "" : log.error().message);
    return log.ok() ? std::make_unique<testing::StoreWorld>(std::move(log).value()) : nullptr;
  }
  void Copy(const std::string& from, const std::string& to) {
    for (const char* suffix : {"", "-wal"}) {
      if (!std::filesystem::exists(dir_.File(from + suffix))) continue;
      std::filesystem::copy_file(dir_.File(from + suffix), dir_.File(to + suffix),
                                 std::filesystem::copy_options::overwrite_existing);
    }
  }
  std::string Reserve() {
    std::ifstream file(dir_.File("revisions"));
    return {std::istreambuf_iterator<char>(file), {}};
  }
  void SetReserve(const std::string& text) { std::ofstream(dir_.File("revisions")) << text; }

  testing::TempDir dir_;
};

TEST_F(RevisionReserveTest, AStoreFromABackupGoesOnAboveAllThatWasGivenOut) {
  auto world = Open("a.db");
  const Revision old = world->Create("kept")->meta.revision;
  Copy("a.db", "backup.db");
  world->Create("lost");
  const Revision newest = world->Create("lost-too")->meta.revision;
  world.reset();
  EXPECT_EQ(Reserve(), fmt::format("closed {}\n", newest));

  world = Open("backup.db");
  EXPECT_NE(world->Get("kept"), nullptr);
  EXPECT_EQ(world->Get("lost"), nullptr);
  EXPECT_EQ(*world->store->CurrentRevision(), newest);
  EXPECT_GT(world->Create("new")->meta.revision, newest);
  // Who resumes from what is lost lists again; who knows only what is there goes on.
  EXPECT_TRUE(IsExpired(world->store->OpenWatch(kThings, {.after = newest - 1}).error()));
  auto watch = world->store->OpenWatch(kThings, {.after = old});
  ASSERT_TRUE(watch.ok());
  EXPECT_EQ((*watch)->TryNext()->object->meta.name, "new");
}

TEST_F(RevisionReserveTest, AKilledProcessReservedMoreThanItUsed) {
  auto world = Open("a.db");
  const Revision newest = world->Create("a")->meta.revision;
  Copy("a.db", "killed.db");
  const std::string reserved = Reserve();
  EXPECT_TRUE(reserved.starts_with("reserved ")) << reserved;
  world.reset();
  SetReserve(reserved);
  world = Open("killed.db");
  const Revision next = world->Create("b")->meta.revision;
  EXPECT_GT(next, newest + kReservedRevisions / 2);
  EXPECT_LE(next, newest + 2 * kReservedRevisions);
  // Nothing was lost, so nobody has to list again.
  auto watch = world->store->OpenWatch(kThings, {.after = newest});
  ASSERT_TRUE(watch.ok());
  EXPECT_EQ((*watch)->TryNext()->object->meta.name, "b");
}

TEST_F(RevisionReserveTest, AnOrderlyEndLosesNoNumbersAndAMissingFileStartsFromFirst) {
  auto world = Open("a.db");
  const Revision newest = world->Create("a")->meta.revision;
  world.reset();
  world = Open("a.db");
  EXPECT_EQ(*world->store->CurrentRevision(), newest);
  world.reset();
  std::filesystem::remove(dir_.File("revisions"));
  world = Open("a.db");
  EXPECT_EQ(*world->store->CurrentRevision(), newest);  // above `first`
}

TEST_F(RevisionReserveTest, WhatIsNoRevisionIsRefusedWithTheRemedy) {
  for (const char* text : {"", "17\n", "reserved\n", "reserved x\n", "reserved 17", "open 17\n",
                           "reserved 0\n", "closed 18446744073709551616\n"}) {
    SetReserve(text);
    SeededRng rng(1);
    const auto log =
        OpenSqliteLog({.path = dir_.File("a.db"), .reserve_path = dir_.File("revisions")}, rng);
    ASSERT_FALSE(log.ok()) << text;
    EXPECT_EQ(log.error().code, Code::kInternal);
    EXPECT_NE(log.error().message.find("does not hold a revision: restore it"), std::string::npos)
        << log.error().message;
  }
}

// Compaction goes by records, not by numbers: a jump of the reserve must not stop it.
TEST_F(RevisionReserveTest, HistoryIsForgottenAcrossAJump) {
  auto world = Open("a.db");
  ObjectPtr object = world->Create("a");
  world.reset();
  SetReserve("reserved 900000000000\n");
  world = Open("a.db");
  for (std::size_t i = 0; i < kHistoryEventsMin + 2 * kCompactLag; ++i) {
    world->clock.Advance(std::chrono::seconds(1));
    const auto updated = world->store->Update(
        world->Key("a"), testing::With(world->Get("a")->text, "/spec/size", std::to_string(i + 2)));
    ASSERT_TRUE(updated.ok());
  }
  EXPECT_TRUE(
      IsExpired(world->store->OpenWatch(kThings, {.after = object->meta.revision}).error()));
  world.reset();
  auto database = SqliteConnection::Open(dir_.File("a.db"), "test");
  ASSERT_TRUE(database.ok());
  EXPECT_LT(*database->QueryInt("SELECT count(*) FROM log"),
            static_cast<std::int64_t>(kHistoryEventsMin + kCompactLag + kCompactRecordsMax + 10));
}

}  // namespace
}  // namespace forkplane::store
