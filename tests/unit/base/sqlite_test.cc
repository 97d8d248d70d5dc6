#include "controller/base/sqlite.h"

#include <gtest/gtest.h>

#include <fstream>

#include "tests/support/tempdir.h"

namespace forkplane {
namespace {

TEST(SqliteTest, ValuesAndNullsComeBackAsTheyWereBound) {
  const testing::TempDir dir;
  auto connection = SqliteConnection::Open(dir.File("x.db"), "test");
  ASSERT_TRUE(connection.ok()) << connection.error().message;
  ASSERT_TRUE(connection->Exec("CREATE TABLE t (a INTEGER, b TEXT, c TEXT)").ok());
  auto put = connection->Prepare("INSERT INTO t VALUES (?, ?, ?)");
  ASSERT_TRUE(put.ok());
  put->Bind(1, std::int64_t{-7});
  put->Bind(2, std::string_view("a\0b", 3));
  put->Bind(3, std::nullopt);
  ASSERT_TRUE(put->Run().ok());
  auto get = connection->Prepare("SELECT a, b, c FROM t");
  ASSERT_TRUE(get.ok() && get->Step().value());
  EXPECT_EQ(get->Int(0), -7);
  EXPECT_EQ(get->Text(1), std::string("a\0b", 3));
  EXPECT_FALSE(get->IsNull(1));
  EXPECT_TRUE(get->IsNull(2));
  EXPECT_FALSE(get->Step().value());
}

TEST(SqliteTest, AnErrorSaysWhoseAndOfWhichKindItIs) {
  const testing::TempDir dir;
  const std::string path = dir.File("x.db");
  std::ofstream(path) << "this is no database, however long one reads on in it ...............";
  auto foreign = SqliteConnection::Open(path, "test");
  ASSERT_TRUE(foreign.ok()) << "SQLite reads the file when it is first used";
  const Status used = foreign->Exec("CREATE TABLE t (a)");
  ASSERT_FALSE(used.ok());
  EXPECT_EQ(used.error().code, Code::kInvalid);
  EXPECT_TRUE(used.error().message.starts_with("test: ")) << used.error().message;

  const std::string locked = dir.File("y.db");
  auto first = SqliteConnection::Open(locked, "test");
  auto second = SqliteConnection::Open(locked, "test");
  ASSERT_TRUE(first.ok() && second.ok());
  ASSERT_TRUE(first->Exec("BEGIN EXCLUSIVE").ok());
  // Not Conflict, which would tell the writer of an object that somebody else changed it.
  EXPECT_EQ(second->Exec("BEGIN EXCLUSIVE").error().code, Code::kUnavailable);
}

}  // namespace
}  // namespace forkplane
