// The little of SQLite that the ledger needs: a connection, a prepared statement, errors as values.
// Not thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "controller/base/result.h"

struct sqlite3;
struct sqlite3_stmt;

namespace forkplane::ledger {

class Statement {
 public:
  explicit Statement(sqlite3_stmt* stmt);

  // Parameters in order, from 1. Binding cannot fail but for memory, which Step reports.
  void Bind(int at, std::int64_t value);
  void Bind(int at, std::string_view value);
  void Bind(int at, std::nullopt_t);

  // True: a row is there. Errors carry SQLite's own text.
  Result<bool> Step();
  // Runs a statement that returns no rows, and makes it ready for the next use.
  Status Run();
  void Reset();

  std::int64_t Int(int column) const;
  std::string Text(int column) const;
  bool IsNull(int column) const;

 private:
  struct Finalize {
    void operator()(sqlite3_stmt* stmt) const;
  };
  std::unique_ptr<sqlite3_stmt, Finalize> stmt_;
};

class Connection {
 public:
  static Result<Connection> Open(const std::string& path);

  Status Exec(const std::string& sql);
  Result<Statement> Prepare(std::string_view sql);

 private:
  struct Close {
    void operator()(sqlite3* db) const;
  };
  explicit Connection(sqlite3* db) : db_(db) {}
  std::unique_ptr<sqlite3, Close> db_;
};

}  // namespace forkplane::ledger
