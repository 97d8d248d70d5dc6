// The ledger's file: schema, load, write. docs/formats.md describes every table.
//
// Rows are written by upsert on the primary key only, so that any other UNIQUE constraint (an
// address, a number, a uid given out twice) fails the transaction instead of replacing a row.
#pragma once

#include <map>
#include <string>

#include "controller/base/sqlite.h"
#include "controller/ledger/index.h"

namespace forkplane::ledger {

struct BootTime {
  std::string boot_id;
  MonotonicTime now;
};

// The kernel's id of this boot.
Result<std::string> ReadBootId();

struct Loaded {
  Index index;
  std::vector<std::string> unreadable;  // one text per record that could not be understood
  Mutations restamped;                  // rests of another boot, begun anew: to be written back
};

// Listing::unreadable: how many, and the first.
std::string Summary(const std::vector<std::string>& unreadable);

class Database {
 public:
  // Creates the schema in a new file, upgrades an older one; refuses a newer schema version, what
  // is no database, and a file that another process has open (Conflict). `new_identity` is kept by
  // a new file only.
  static Result<Database> Open(const std::string& path, const std::string& new_identity);

  // Every row, checked. Rests of another boot begin anew at boot.now.
  Result<Loaded> Load(const BootTime& boot, std::uint32_t uid_first);

  Status Begin() { return connection_.Exec("BEGIN IMMEDIATE"); }
  Status Write(const Mutation& mutation, const std::string& boot_id);
  Status Commit() { return connection_.Exec("COMMIT"); }
  Status Rollback() { return connection_.Exec("ROLLBACK"); }

 private:
  explicit Database(SqliteConnection connection) : connection_(std::move(connection)) {}
  Result<SqliteStatement*> Prepared(const char* sql);

  SqliteConnection connection_;
  std::map<const char*, SqliteStatement> statements_;  // by the literal's address
};

}  // namespace forkplane::ledger
