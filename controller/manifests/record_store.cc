#include "controller/manifests/record_store.h"

#include <fcntl.h>

#include <cerrno>
#include <utility>

#include "controller/base/unique_fd.h"

namespace forkplane::manifests {
namespace {

constexpr std::int64_t kApplicationId = 0x466b4d66;  // "FkMf"
constexpr std::int64_t kFormat = 1;

constexpr const char* kSchema = R"sql(
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;

CREATE TABLE records (
  api_group TEXT NOT NULL,
  plural TEXT NOT NULL CHECK (plural <> ''),
  ns TEXT NOT NULL,
  name TEXT NOT NULL CHECK (name <> ''),
  kind TEXT NOT NULL CHECK (kind <> ''),
  source TEXT NOT NULL,
  uid TEXT NOT NULL,
  path TEXT NOT NULL,
  line INTEGER NOT NULL,
  root_device INTEGER NOT NULL,
  root_inode INTEGER NOT NULL,
  root_born_ns INTEGER NOT NULL,
  root_path TEXT NOT NULL,
  mount TEXT NOT NULL,
  last_applied TEXT NOT NULL,
  confirmed INTEGER NOT NULL CHECK (confirmed IN (0, 1)),
  PRIMARY KEY (api_group, plural, ns, name)
) STRICT, WITHOUT ROWID;
)sql";

constexpr const char* kPut =
    "INSERT OR REPLACE INTO records VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)";
constexpr const char* kDrop =
    "DELETE FROM records WHERE api_group=? AND plural=? AND ns=? AND name=?";
constexpr const char* kPutMeta =
    "INSERT INTO meta VALUES (?,?) ON CONFLICT (key) DO UPDATE SET value=excluded.value";
constexpr const char* kRead =
    "SELECT api_group, plural, ns, name, kind, source, uid, path, line, root_device, root_inode, "
    "root_born_ns, root_path, mount, last_applied, confirmed FROM records";

void BindKey(SqliteStatement& statement, const store::ObjectKey& key) {
  statement.Bind(1, std::string_view(key.resource.group));
  statement.Bind(2, std::string_view(key.resource.plural));
  statement.Bind(3, std::string_view(key.ns));
  statement.Bind(4, std::string_view(key.name));
}

Status Put(SqliteStatement& statement, const Record& record) {
  BindKey(statement, record.key);
  int at = 5;
  for (const std::string* text : {&record.kind, &record.source, &record.uid, &record.path}) {
    statement.Bind(at++, std::string_view(*text));
  }
  statement.Bind(at++, static_cast<std::int64_t>(record.line));
  statement.Bind(at++, static_cast<std::int64_t>(record.root.device));
  statement.Bind(at++, static_cast<std::int64_t>(record.root.inode));
  statement.Bind(at++, record.root.born_ns);
  statement.Bind(at++, std::string_view(record.root.path));
  statement.Bind(at++, std::string_view(record.mount));
  statement.Bind(at++, std::string_view(record.last_applied));
  statement.Bind(at, static_cast<std::int64_t>(record.confirmed));
  return statement.Run();
}

Record ReadRow(const SqliteStatement& row) {
  return {.key = {{row.Text(0), row.Text(1)}, row.Text(2), row.Text(3)},
          .kind = row.Text(4),
          .source = row.Text(5),
          .uid = row.Text(6),
          .path = row.Text(7),
          .line = static_cast<int>(row.Int(8)),
          .root = {.device = static_cast<std::uint64_t>(row.Int(9)),
                   .inode = static_cast<std::uint64_t>(row.Int(10)),
                   .born_ns = row.Int(11),
                   .path = row.Text(12)},
          .mount = row.Text(13),
          .last_applied = row.Text(14),
          .confirmed = row.Int(15) != 0};
}

// A file of ours, or one that was made just now and is empty.
Status CheckFormat(SqliteConnection& connection) {
  ASSIGN_OR_RETURN(const std::int64_t id, connection.QueryInt("PRAGMA application_id"));
  ASSIGN_OR_RETURN(const std::int64_t format, connection.QueryInt("PRAGMA user_version"));
  ASSIGN_OR_RETURN(const std::int64_t tables,
                   connection.QueryInt("SELECT count(*) FROM sqlite_schema"));
  if (id == 0 && format == 0 && tables == 0) {
    return connection.Exec(
        fmt::format("BEGIN IMMEDIATE; {} PRAGMA application_id={}; PRAGMA user_version={}; COMMIT",
                    kSchema, kApplicationId, kFormat));
  }
  if (id != kApplicationId) return Invalid("it was made by another program");
  if (format > kFormat) {
    return Invalid(fmt::format("it has format {}; this program knows {}", format, kFormat));
  }
  ASSIGN_OR_RETURN(const std::string found, connection.QueryText("PRAGMA quick_check(1)"));
  if (found != "ok") return Invalid("it is damaged: " + found);
  return OkStatus();
}

}  // namespace

std::string Name(const Record& record) {
  return record.kind + " " + store::NamespacedName(record.key.ns, record.key.name);
}

std::string Where(const Record& record) {
  return record.line == 0 ? record.path : fmt::format("{}:{}", record.path, record.line);
}

Result<RecordStore> RecordStore::Open(const std::string& path) {
  {  // made before SQLite sees it, so that it and its WAL are 0600
    const UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    if (!fd.valid()) return FromErrno(errno, "open " + path);
  }
  const auto context = [&path](const Status& status) {
    return Error(status.error()).WithContext("open " + path);
  };
  ASSIGN_OR_RETURN(SqliteConnection connection, SqliteConnection::Open(path, "manifests"));
  for (const char* pragma :
       {"PRAGMA locking_mode=EXCLUSIVE", "PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL"}) {
    if (const Status done = connection.Exec(pragma); !done.ok()) return context(done);
  }
  if (const Status known = CheckFormat(connection); !known.ok()) return context(known);
  RecordStore opened(std::move(connection));
  if (const Status loaded = opened.Load(); !loaded.ok()) return context(loaded);
  return opened;
}

Status RecordStore::Load() {
  ASSIGN_OR_RETURN(SqliteStatement rows, connection_.Prepare(kRead));
  for (;;) {
    ASSIGN_OR_RETURN(const bool row, rows.Step());
    if (!row) break;
    Record record = ReadRow(rows);
    const store::ObjectKey key = record.key;
    records_.insert_or_assign(key, std::move(record));
  }
  const auto meta = [this](std::string_view key) {
    return connection_.QueryText(fmt::format("SELECT value FROM meta WHERE key='{}'", key));
  };
  ASSIGN_OR_RETURN(held_.token, meta("held_token"));
  ASSIGN_OR_RETURN(held_.objects, meta("held_objects"));
  ASSIGN_OR_RETURN(const std::string taken_over, meta("taken_over"));
  taken_over_ = !taken_over.empty();
  return OkStatus();
}

const Record* RecordStore::Find(const store::ObjectKey& key) const {
  const auto it = records_.find(key);
  return it == records_.end() ? nullptr : &it->second;
}

Status RecordStore::PutMeta(std::string_view key, std::string_view value) {
  ASSIGN_OR_RETURN(SqliteStatement put, connection_.Prepare(kPutMeta));
  put.Bind(1, key);
  put.Bind(2, value);
  return put.Run();
}

Status RecordStore::Write(const RecordBatch& batch) {
  ASSIGN_OR_RETURN(SqliteStatement put, connection_.Prepare(kPut));
  for (const Record& record : batch.put) RETURN_IF_ERROR(Put(put, record));
  ASSIGN_OR_RETURN(SqliteStatement drop, connection_.Prepare(kDrop));
  for (const store::ObjectKey& key : batch.drop) {
    BindKey(drop, key);
    RETURN_IF_ERROR(drop.Run());
  }
  if (batch.held) {
    RETURN_IF_ERROR(PutMeta("held_token", batch.held->token));
    RETURN_IF_ERROR(PutMeta("held_objects", batch.held->objects));
  }
  return batch.taken_over ? PutMeta("taken_over", "yes") : OkStatus();
}

Status RecordStore::Commit(const RecordBatch& batch) {
  if (batch.empty()) return OkStatus();
  RETURN_IF_ERROR(connection_.Exec("BEGIN IMMEDIATE"));
  Status written = Write(batch);
  if (written.ok()) written = connection_.Exec("COMMIT");
  if (!written.ok()) {
    static_cast<void>(connection_.Exec("ROLLBACK"));  // SQLite may have done it already
    return Error(written.error()).WithContext("write the record of applied manifests");
  }
  for (const Record& record : batch.put) records_.insert_or_assign(record.key, record);
  for (const store::ObjectKey& key : batch.drop) records_.erase(key);
  if (batch.held) held_ = *batch.held;
  taken_over_ = taken_over_ || batch.taken_over;
  return OkStatus();
}

}  // namespace forkplane::manifests
