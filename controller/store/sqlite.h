// The little of SQLite that the revision log needs: a connection, a prepared statement, errors as
// values. Not thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "controller/base/result.h"

struct sqlite3;
struct sqlite3_stmt;

namespace forkplane::store {

class SqliteStatement {
 public:
  // Parameters from 1. What binding could not do, Step reports.
  void Bind(int at, std::int64_t value);
  // The bytes must live until Reset.
  void Bind(int at, std::string_view value);

  Result<bool> Step();  // true: a row is there
  Status Run();         // for statements without rows; ready for the next use
  void Reset();

  std::int64_t Int(int column) const;
  std::string Text(int column) const;

 private:
  friend class SqliteConnection;
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const;
  };
  explicit SqliteStatement(sqlite3_stmt* statement) : statement_(statement) {}
  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
};

class SqliteConnection {
 public:
  static Result<SqliteConnection> Open(const std::string& path);

  Status Exec(const std::string& sql);
  Result<SqliteStatement> Prepare(std::string_view sql);
  // The first column of the first row; 0 or "" without a row.
  Result<std::int64_t> QueryInt(std::string_view sql);
  Result<std::string> QueryText(std::string_view sql);

  sqlite3* raw() const { return db_.get(); }

 private:
  struct Close {
    void operator()(sqlite3* db) const;
  };
  explicit SqliteConnection(sqlite3* db) : db_(db) {}
  std::unique_ptr<sqlite3, Close> db_;
};

// Full disk and I/O: Unavailable. Busy: Conflict. Damaged, not a database: Internal, Invalid.
Error SqliteError(sqlite3* db, std::string_view what);

}  // namespace forkplane::store
