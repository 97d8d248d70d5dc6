// Goal: both revision logs keep the same promises. Method: one body of tests, run on each; what
// only a file can do (survive, be damaged, be newer) is tested on the SQLite log alone.
#include "controller/store/revision_log.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "controller/base/sqlite.h"
#include "tests/support/tempdir.h"

namespace forkplane::store {
namespace {

LogRecord Record(Revision revision, Revision previous, const std::string& name,
                 bool deleted = false) {
  return {.revision = revision,
          .previous = previous,
          .key = {{"g.dev", "things"}, "ns", name},
          .deleted = deleted,
          .text = "{\"at\":" + std::to_string(revision) + "}"};
}

std::vector<LogRecord> LoadAll(RevisionLog& log) {
  std::vector<LogRecord> records;
  const Status loaded = log.Load([&records](LogRecord&& record) {
    records.push_back(std::move(record));
    return OkStatus();
  });
  EXPECT_TRUE(loaded.ok());
  return records;
}

std::vector<Revision> RevisionsOf(RevisionLog& log) {
  std::vector<Revision> revisions;
  for (const LogRecord& record : LoadAll(log)) revisions.push_back(record.revision);
  return revisions;
}

class RevisionLogTest : public ::testing::TestWithParam<bool> {
 protected:
  RevisionLogTest() : rng_(1) {
    if (!GetParam()) {
      log_ = NewMemoryLog(rng_, 100);
      return;
    }
    auto opened = OpenSqliteLog({.path = dir_.File("store.db"), .first = 100}, rng_);
    EXPECT_TRUE(opened.ok());
    log_ = std::move(opened).value();
  }

  testing::TempDir dir_;
  SeededRng rng_;
  std::unique_ptr<RevisionLog> log_;
};

TEST_P(RevisionLogTest, ANewLogIsEmptyAndKnowsItself) {
  EXPECT_EQ(log_->last_revision(), 100U);
  EXPECT_EQ(log_->compacted(), 100U);
  EXPECT_EQ(log_->identity().size(), 36U);
  EXPECT_TRUE(LoadAll(*log_).empty());
}

TEST_P(RevisionLogTest, WhatWasAppendedIsLoadedInOrder) {
  const std::vector<LogRecord> records = {Record(101, 0, "a"), Record(102, 0, "b"),
                                          Record(105, 101, "a", true)};
  ASSERT_TRUE(log_->Append(records).ok());
  EXPECT_EQ(LoadAll(*log_), records);
  EXPECT_EQ(log_->last_revision(), 105U);
}

TEST_P(RevisionLogTest, AnErrorOfTheVisitorEndsTheLoad) {
  ASSERT_TRUE(log_->Append(std::vector{Record(101, 0, "a"), Record(102, 0, "b")}).ok());
  int seen = 0;
  const Status loaded = log_->Load([&seen](LogRecord&&) -> Status {
    ++seen;
    return Internal("enough");
  });
  EXPECT_FALSE(loaded.ok());
  EXPECT_EQ(seen, 1);
}

TEST_P(RevisionLogTest, CompactionKeepsTheNewestStateOfEachObject) {
  ASSERT_TRUE(
      log_->Append(std::vector{Record(101, 0, "a"), Record(102, 0, "b"), Record(103, 101, "a"),
                               Record(104, 102, "b", true), Record(105, 103, "a")})
          .ok());
  ASSERT_TRUE(log_->Compact(104).ok());
  EXPECT_EQ(RevisionsOf(*log_), (std::vector<Revision>{103, 105}));
  EXPECT_EQ(log_->compacted(), 104U);
  ASSERT_TRUE(log_->Compact(102).ok());  // never back
  EXPECT_EQ(log_->compacted(), 104U);
}

TEST_P(RevisionLogTest, CompactionInStepsEqualsOneStep) {
  std::vector<LogRecord> records;
  std::map<std::string, Revision> newest;
  SeededRng rng(7);
  for (Revision revision = 101; revision < 400; ++revision) {
    const std::string name(1, static_cast<char>('a' + rng.Below(5)));
    const bool deleted = newest[name] != 0 && rng.Below(4) == 0;
    records.push_back(Record(revision, newest[name], name, deleted));
    newest[name] = deleted ? 0 : revision;
  }
  ASSERT_TRUE(log_->Append(records).ok());
  for (Revision through = 110; through <= 400; through += 17) {
    ASSERT_TRUE(log_->Compact(through).ok());
  }
  ASSERT_TRUE(log_->Compact(399).ok());
  std::vector<Revision> expected;
  for (const auto& [name, revision] : newest) {
    if (revision != 0) expected.push_back(revision);
  }
  std::sort(expected.begin(), expected.end());
  EXPECT_EQ(RevisionsOf(*log_), expected);
}

INSTANTIATE_TEST_SUITE_P(Both, RevisionLogTest, ::testing::Bool(),
                         [](const auto& test) { return test.param ? "Sqlite" : "Memory"; });

class SqliteLogTest : public ::testing::Test {
 protected:
  Result<std::unique_ptr<RevisionLog>> Open() { return OpenSqliteLog({.path = path_}, rng_); }

  testing::TempDir dir_;
  std::string path_ = dir_.File("store.db");
  SeededRng rng_{1};
};

TEST_F(SqliteLogTest, EverythingIsThereAfterReopening) {
  std::string identity;
  {
    auto log = Open();
    ASSERT_TRUE(log.ok());
    identity = (*log)->identity();
    ASSERT_TRUE((*log)->Append(std::vector{Record(1, 0, "a"), Record(2, 1, "a", true)}).ok());
    ASSERT_TRUE((*log)->Compact(2).ok());
  }
  auto log = Open();
  ASSERT_TRUE(log.ok());
  EXPECT_EQ((*log)->identity(), identity);
  // The last revision survives although its record was compacted away: numbers never go back.
  EXPECT_EQ((*log)->last_revision(), 2U);
  EXPECT_TRUE(LoadAll(**log).empty());
}

TEST_F(SqliteLogTest, TheFileIsForItsOwnerOnly) {
  auto log = Open();
  ASSERT_TRUE(log.ok());
  ASSERT_TRUE((*log)->Append(std::vector{Record(1, 0, "secret")}).ok());
  for (const char* suffix : {"", "-wal"}) {
    struct stat info = {};
    ASSERT_EQ(::stat((path_ + suffix).c_str(), &info), 0) << suffix;
    EXPECT_EQ(info.st_mode & 0777U, 0600U) << suffix;
  }
}

TEST_F(SqliteLogTest, ASecondOpenIsRefused) {
  auto first = Open();
  ASSERT_TRUE(first.ok());
  auto second = Open();
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().code, Code::kConflict);
  EXPECT_NE(second.error().message.find("another process has it open"), std::string::npos);
}

TEST_F(SqliteLogTest, AForeignFileIsRefusedAndLeftAlone) {
  std::ofstream(path_) << std::string(5000, 'x');
  auto log = Open();
  ASSERT_FALSE(log.ok());
  EXPECT_NE(log.error().message.find(path_), std::string::npos);
  EXPECT_EQ(std::filesystem::file_size(path_), 5000U);
}

TEST_F(SqliteLogTest, AnotherProgramsDatabaseIsRefused) {
  {
    auto connection = SqliteConnection::Open(path_, "test");
    ASSERT_TRUE(connection.ok());
    ASSERT_TRUE(connection->Exec("CREATE TABLE theirs (x); PRAGMA application_id=7").ok());
  }
  auto log = Open();
  ASSERT_FALSE(log.ok());
  EXPECT_EQ(log.error().code, Code::kInvalid);
  EXPECT_NE(log.error().message.find("is not a forkplane store"), std::string::npos);
}

TEST_F(SqliteLogTest, ANewerFormatIsRefusedWithTheRemedy) {
  ASSERT_TRUE(Open().ok());
  {
    auto connection = SqliteConnection::Open(path_, "test");
    ASSERT_TRUE(connection.ok());
    ASSERT_TRUE(connection->Exec("PRAGMA user_version=2").ok());
  }
  auto log = Open();
  ASSERT_FALSE(log.ok());
  EXPECT_EQ(log.error().code, Code::kInvalid);
  EXPECT_NE(log.error().message.find("use a newer forkplane"), std::string::npos);
}

TEST_F(SqliteLogTest, ADamagedFileIsRefused) {
  {
    auto log = Open();
    ASSERT_TRUE(log.ok());
    std::vector<LogRecord> records;
    for (Revision revision = 1; revision <= 500; ++revision) {
      records.push_back(Record(revision, 0, "object-" + std::to_string(revision)));
    }
    ASSERT_TRUE((*log)->Append(records).ok());
  }  // closing the last connection moves the WAL into the file
  std::fstream file(path_, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(std::streamoff{3} * 4096);
  file << std::string(8192, '\xff');
  file.close();
  auto log = Open();
  ASSERT_FALSE(log.ok());
  EXPECT_EQ(log.error().code, Code::kInternal);
}

TEST_F(SqliteLogTest, AMakerKilledBeforeTheSchemaLeavesANewStore) {
  {
    auto connection = SqliteConnection::Open(path_, "test");
    ASSERT_TRUE(connection.ok());
    ASSERT_TRUE(connection->Exec("PRAGMA journal_mode=WAL").ok());
  }
  EXPECT_TRUE(Open().ok());
}

// The power cut as data: whatever part of the WAL's tail is lost, what remains is a prefix of the
// commits, each whole.
TEST_F(SqliteLogTest, ATornWalLosesWholeCommitsFromTheEndOnly) {
  const std::string copy = dir_.File("copy.db");
  auto log = Open();
  ASSERT_TRUE(log.ok());
  for (Revision revision = 1; revision <= 40; revision += 2) {
    ASSERT_TRUE((*log)
                    ->Append(std::vector{Record(revision, 0, "a" + std::to_string(revision)),
                                         Record(revision + 1, 0, "b" + std::to_string(revision))})
                    .ok());
  }
  const auto wal_bytes = std::filesystem::file_size(path_ + "-wal");
  std::size_t most = 0;
  for (std::uintmax_t keep = 0; keep <= wal_bytes; keep += 1811) {
    for (const char* suffix : {"", "-wal"}) {
      std::filesystem::copy_file(path_ + suffix, copy + suffix,
                                 std::filesystem::copy_options::overwrite_existing);
    }
    std::filesystem::remove(copy + "-shm");
    std::filesystem::resize_file(copy + "-wal", keep);
    auto torn = OpenSqliteLog({.path = copy}, rng_);
    ASSERT_TRUE(torn.ok()) << torn.error().message;
    const std::vector<Revision> revisions = RevisionsOf(**torn);
    EXPECT_EQ(revisions.size() % 2, 0U);
    for (std::size_t i = 0; i < revisions.size(); ++i) EXPECT_EQ(revisions[i], i + 1);
    EXPECT_GE(revisions.size(), most);
    most = revisions.size();
  }
  EXPECT_GE(most, 36U);
}

}  // namespace
}  // namespace forkplane::store
