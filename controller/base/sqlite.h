// The little of SQLite that our two databases (objects, leases) need: a connection, a prepared
// statement, errors as values. Not thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "controller/base/result.h"

struct sqlite3;
struct sqlite3_stmt;

namespace forkplane {

class SqliteStatement {
 public:
  // Parameters from 1. What binding could not do, Step reports.
  void Bind(int at, std::int64_t value);
  // The bytes must live until Reset.
  void Bind(int at, std::string_view value);
  void Bind(int at, std::nullopt_t);

  Result<bool> Step();  // true: a row is there
  Status Run();         // for statements without rows; ready for the next use
  void Reset();

  std::int64_t Int(int column) const;
  std::string Text(int column) const;
  bool IsNull(int column) const;

 private:
  friend class SqliteConnection;
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const;
  };
  SqliteStatement(sqlite3_stmt* statement, std::string_view name)
      : statement_(statement), name_(name) {}
  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
  std::string_view name_;
};

class SqliteConnection {
 public:
  // `name` begins every error ("ledger"): a literal.
  static Result<SqliteConnection> Open(const std::string& path, std::string_view name);

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
  SqliteConnection(sqlite3* db, std::string_view name) : db_(db), name_(name) {}
  std::unique_ptr<sqlite3, Close> db_;
  std::string_view name_;
};

// Full disk, I/O, a lock that somebody else holds: Unavailable. Damaged, not a database: Internal,
// Invalid. Never Conflict, which says that an object was changed by somebody.
Error SqliteError(sqlite3* db, std::string_view what);

}  // namespace forkplane
