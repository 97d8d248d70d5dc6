#include "controller/ledger/sqlite.h"

#include <sqlite3.h>

namespace forkplane::ledger {
namespace {

Error SqlError(sqlite3* db, std::string_view what) {
  const int code = sqlite3_errcode(db) & 0xff;
  std::string message = fmt::format("{}: {}", what, sqlite3_errmsg(db));
  if (code == SQLITE_FULL || code == SQLITE_IOERR) return Unavailable(std::move(message));
  if (code == SQLITE_BUSY || code == SQLITE_LOCKED) return Conflict(std::move(message));
  return Internal(std::move(message));
}

}  // namespace

void Statement::Finalize::operator()(sqlite3_stmt* stmt) const { sqlite3_finalize(stmt); }

Statement::Statement(sqlite3_stmt* stmt) : stmt_(stmt) {}

void Statement::Bind(int at, std::int64_t value) { sqlite3_bind_int64(stmt_.get(), at, value); }

void Statement::Bind(int at, std::string_view value) {
  sqlite3_bind_text(stmt_.get(), at, value.data(), static_cast<int>(value.size()),
                    SQLITE_TRANSIENT);
}

void Statement::Bind(int at, std::nullopt_t) { sqlite3_bind_null(stmt_.get(), at); }

Result<bool> Statement::Step() {
  const int rc = sqlite3_step(stmt_.get());
  if (rc == SQLITE_ROW) return true;
  if (rc == SQLITE_DONE) return false;
  Error error = SqlError(sqlite3_db_handle(stmt_.get()), "ledger");
  sqlite3_reset(stmt_.get());
  return error;
}

Status Statement::Run() {
  RETURN_IF_ERROR(Step());
  Reset();
  return OkStatus();
}

void Statement::Reset() {
  sqlite3_reset(stmt_.get());
  sqlite3_clear_bindings(stmt_.get());
}

std::int64_t Statement::Int(int column) const { return sqlite3_column_int64(stmt_.get(), column); }

std::string Statement::Text(int column) const {
  const auto* text = sqlite3_column_text(stmt_.get(), column);
  if (text == nullptr) return {};
  const int size = sqlite3_column_bytes(stmt_.get(), column);
  return {reinterpret_cast<const char*>(text), static_cast<std::size_t>(size)};
}

bool Statement::IsNull(int column) const {
  return sqlite3_column_type(stmt_.get(), column) == SQLITE_NULL;
}

void Connection::Close::operator()(sqlite3* db) const { sqlite3_close_v2(db); }

Result<Connection> Connection::Open(const std::string& path) {
  sqlite3* db = nullptr;
  constexpr int kFlags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
  const int rc = sqlite3_open_v2(path.c_str(), &db, kFlags, nullptr);
  Connection connection(db);  // also a failed open has a handle to close
  if (rc != SQLITE_OK) return SqlError(db, fmt::format("open {}", path));
  return connection;
}

Status Connection::Exec(const std::string& sql) {
  if (sqlite3_exec(db_.get(), sql.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK) {
    return SqlError(db_.get(), "ledger");
  }
  return OkStatus();
}

Result<Statement> Connection::Prepare(std::string_view sql) {
  sqlite3_stmt* stmt = nullptr;
  if (sqlite3_prepare_v3(db_.get(), sql.data(), static_cast<int>(sql.size()),
                         SQLITE_PREPARE_PERSISTENT, &stmt, nullptr) != SQLITE_OK) {
    return SqlError(db_.get(), "ledger");
  }
  return Statement(stmt);
}

}  // namespace forkplane::ledger
