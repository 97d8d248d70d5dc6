// Goal: what was recorded is there after a restart, and a file that cannot be trusted is refused
// and left as it is.
#include "controller/manifests/record_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

#include "tests/support/tempdir.h"

namespace forkplane::manifests {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

Record Some(const std::string& name) {
  return {.key = {{"forkplane.dev", "virtualmachines"}, "default", name},
          .kind = "VirtualMachine",
          .source = "/srv/manifests",
          .uid = "uid",
          .path = "vms.yaml",
          .line = 12,
          .root = {.device = 0xffff'ffff'ffff'ffff, .inode = 2, .born_ns = 3, .path = "/srv/x"},
          .mount = "team",
          .last_applied = R"({"a":"'\""})",
          .confirmed = true};
}

class RecordStoreTest : public ::testing::Test {
 protected:
  RecordStore Open() { return RecordStore::Open(path_).value(); }
  std::string Refusal() {
    const auto opened = RecordStore::Open(path_);
    return opened.ok() ? "" : opened.error().message;
  }

  testing::TempDir directory_;
  std::string path_ = directory_.File("manifests.db");
};

TEST_F(RecordStoreTest, WhatWasCommittedIsThereAfterARestart) {
  {
    RecordStore records = Open();
    EXPECT_FALSE(records.taken_over());
    RecordBatch batch{.put = {Some("a"), Some("b")}, .drop = {}};
    batch.held = HeldSet{"word", "objects\n"};
    batch.taken_over = true;
    ASSERT_TRUE(records.Commit(batch).ok());
    ASSERT_TRUE(records.Commit({.put = {}, .drop = {Some("b").key}}).ok());
  }
  const RecordStore records = Open();
  ASSERT_THAT(records.records(), SizeIs(1));
  ASSERT_NE(records.Find(Some("a").key), nullptr);
  EXPECT_EQ(*records.Find(Some("a").key), Some("a"));
  EXPECT_EQ(records.held(), (HeldSet{"word", "objects\n"}));
  EXPECT_TRUE(records.taken_over());
}

TEST_F(RecordStoreTest, ABatchIsWrittenAsAWholeOrNotAtAll) {
  RecordStore records = Open();
  Record unnamed = Some("");
  EXPECT_FALSE(records.Commit({.put = {Some("a"), unnamed}, .drop = {}}).ok());
  EXPECT_THAT(records.records(), SizeIs(0));
  EXPECT_TRUE(records.Commit({.put = {Some("a")}, .drop = {}}).ok()) << "the next one works";
}

TEST_F(RecordStoreTest, OnlyItsOwnerReadsIt) {
  Open();
  struct stat info {};
  ASSERT_EQ(::stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777U, 0600U);
}

TEST_F(RecordStoreTest, FilesThatCannotBeTrustedAreRefused) {
  std::ofstream(path_) << "no database at all, whatever its name says, and more than a header long";
  EXPECT_THAT(Refusal(), HasSubstr(path_));
  std::remove(path_.c_str());
  const auto pragma = [this](const std::string& sql) {
    SqliteConnection connection = SqliteConnection::Open(path_, "test").value();
    ASSERT_TRUE(connection.Exec(sql).ok());
  };
  Open();
  pragma("PRAGMA user_version=2");
  EXPECT_THAT(Refusal(), HasSubstr("format 2; this program knows 1"));
  pragma("PRAGMA user_version=1; PRAGMA application_id=1");
  EXPECT_THAT(Refusal(), HasSubstr("another program"));
}

}  // namespace
}  // namespace forkplane::manifests
