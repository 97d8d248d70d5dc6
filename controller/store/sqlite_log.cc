// The revision log in SQLite: WAL, synchronous=FULL, so a returned Append survives a power cut. The
// caller's thread commits; a second connection on its own thread moves the WAL into the database,
// so that no commit waits for that (measured: the worst commit is half as long).
#include <fcntl.h>
#include <sqlite3.h>
#include <sys/file.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <thread>

#include "controller/base/clock.h"
#include "controller/base/log.h"
#include "controller/base/mutex.h"
#include "controller/base/sqlite.h"
#include "controller/base/unique_fd.h"
#include "controller/base/whole_file.h"
#include "controller/store/limits.h"
#include "controller/store/revision_log.h"
#include "controller/store/revision_reserve.h"

namespace forkplane::store {
namespace {

constexpr std::string_view kName = "revision log";
constexpr int kFormat = 1;
constexpr std::int64_t kApplicationId = 0x466b5374;  // "FkSt", in the file's header

constexpr const char* kSchema = R"sql(
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE log (
  revision INTEGER PRIMARY KEY,
  previous INTEGER NOT NULL,
  api_group TEXT NOT NULL,
  plural TEXT NOT NULL,
  ns TEXT NOT NULL,
  name TEXT NOT NULL,
  deleted INTEGER NOT NULL,
  text TEXT NOT NULL
) STRICT;
)sql";

// Moves the WAL into the database when told how long it has become.
class Checkpointer {
 public:
  explicit Checkpointer(SqliteConnection connection) : connection_(std::move(connection)) {
    thread_ = std::jthread([this](const std::stop_token& stop) { Run(stop); });
  }

  void WalHas(int pages) {
    if (pages < kCheckpointPages) return;
    MutexLock lock(mu_);
    wanted_ = true;
    changed_.NotifyOne();
  }

 private:
  void Run(const std::stop_token& stop) {
    while (true) {
      {
        MutexLock lock(mu_);
        if (!changed_.Wait(mu_, stop, [this]() NO_THREAD_SAFETY_ANALYSIS { return wanted_; })) {
          return;
        }
        wanted_ = false;
      }
      // PASSIVE waits for nobody; what it leaves, the next one takes.
      const Status done = connection_.Exec("PRAGMA wal_checkpoint(PASSIVE)");
      if (!done.ok()) log::Warn("store checkpoint failed", {{"err", done.error()}});
    }
  }

  SqliteConnection connection_;
  Mutex mu_;
  CondVar changed_;
  bool wanted_ GUARDED_BY(mu_) = false;
  std::jthread thread_;
};

class SqliteLog final : public RevisionLog {
 public:
  static Result<std::unique_ptr<RevisionLog>> Open(const SqliteLogOptions& options, Rng& rng);
  ~SqliteLog() override;
  SqliteLog(const SqliteLog&) = delete;
  SqliteLog& operator=(const SqliteLog&) = delete;

  Status Append(std::span<const LogRecord> records) override;
  Status Load(const std::function<Status(LogRecord&&)>& visit) override;
  Status Compact(Revision through) override;
  Status Probe() override;

  Revision last_revision() const override { return last_; }
  Revision compacted() const override { return compacted_; }
  const std::string& identity() const override { return identity_; }

 private:
  SqliteLog(std::string path, UniqueFd lock, SqliteConnection connection, SqliteStatement insert)
      : path_(std::move(path)),
        lock_(std::move(lock)),
        connection_(std::move(connection)),
        insert_(std::move(insert)) {}

  Status ReadMeta();
  Status InsertAll(std::span<const LogRecord> records);
  Status OpenReserve(const SqliteLogOptions& options);
  Result<Revision> BoundStep(Revision through);
  Status CompactInTransaction(Revision through);
  // Runs `body` between BEGIN and COMMIT; rolls back what failed.
  Status Transaction(const std::function<Status()>& body);
  void AfterCommit();

  const std::string path_;
  UniqueFd lock_;
  SqliteConnection connection_;
  SqliteStatement insert_;
  std::string identity_;
  std::atomic<Revision> last_ = 0;
  std::atomic<Revision> compacted_ = 0;
  int wal_pages_ = 0;
  std::unique_ptr<RevisionReserve> reserve_;  // null: none is kept
  std::unique_ptr<Checkpointer> checkpointer_;
};

// One process at a time: two writers would hand out the same revisions.
Result<UniqueFd> LockFile(const std::string& path) {
  const std::string lock_path = path + ".lock";
  UniqueFd fd(::open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!fd.valid()) return FromErrno(errno, fmt::format("open {}", lock_path));
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) {
      return Conflict(fmt::format("store {}: another process has it open", path));
    }
    return FromErrno(errno, fmt::format("lock {}", lock_path));
  }
  return fd;
}

Status Configure(SqliteConnection& connection) {
  RETURN_IF_ERROR(connection.Exec("PRAGMA busy_timeout=5000"));
  RETURN_IF_ERROR(connection.Exec("PRAGMA journal_mode=WAL"));
  RETURN_IF_ERROR(connection.Exec("PRAGMA synchronous=FULL"));
  return connection.Exec("PRAGMA wal_autocheckpoint=0");
}

Status CreateSchema(SqliteConnection& connection, const SqliteLogOptions& options, Rng& rng) {
  const std::string values = fmt::format(
      "INSERT INTO meta VALUES ('identity', '{}'), ('compacted', '{}');"
      "PRAGMA application_id={}; PRAGMA user_version={};",
      NewUuid(rng), options.first, kApplicationId, kFormat);
  RETURN_IF_ERROR(connection.Exec("BEGIN IMMEDIATE"));
  RETURN_IF_ERROR(connection.Exec(kSchema));
  RETURN_IF_ERROR(connection.Exec(values));
  RETURN_IF_ERROR(connection.Exec("COMMIT"));
  return SyncFolderOf(options.path);
}

Status CheckFormat(SqliteConnection& connection) {
  ASSIGN_OR_RETURN(const std::int64_t id, connection.QueryInt("PRAGMA application_id"));
  if (id != kApplicationId) return Invalid("is not a forkplane store");
  ASSIGN_OR_RETURN(const std::int64_t format, connection.QueryInt("PRAGMA user_version"));
  if (format > kFormat) {
    return Invalid(fmt::format("has format {}, this binary reads up to {}: use a newer forkplane",
                               format, kFormat));
  }
  ASSIGN_OR_RETURN(const std::string found, connection.QueryText("PRAGMA quick_check(1)"));
  if (found != "ok") return Internal(fmt::format("is damaged: {}", found));
  return OkStatus();
}

// The file is made before SQLite sees it, so that it and its WAL are 0600.
Status MakeFile(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!fd.valid()) return FromErrno(errno, fmt::format("open {}", path));
  return OkStatus();
}

// Also a file whose maker was killed before the schema was committed: nothing in it was ever
// acknowledged.
Result<bool> IsNew(SqliteConnection& connection) {
  ASSIGN_OR_RETURN(const std::int64_t id, connection.QueryInt("PRAGMA application_id"));
  ASSIGN_OR_RETURN(const std::int64_t tables,
                   connection.QueryInt("SELECT count(*) FROM sqlite_master"));
  return id == 0 && tables == 0;
}

Result<std::unique_ptr<RevisionLog>> SqliteLog::Open(const SqliteLogOptions& options, Rng& rng) {
  ASSIGN_OR_RETURN(UniqueFd lock, LockFile(options.path));
  RETURN_IF_ERROR(MakeFile(options.path));
  ASSIGN_OR_RETURN(SqliteConnection connection, SqliteConnection::Open(options.path, kName));
  RETURN_IF_ERROR(Configure(connection));
  ASSIGN_OR_RETURN(const bool is_new, IsNew(connection));
  if (is_new) RETURN_IF_ERROR(CreateSchema(connection, options, rng));
  RETURN_IF_ERROR(CheckFormat(connection));
  ASSIGN_OR_RETURN(SqliteStatement insert,
                   connection.Prepare("INSERT INTO log VALUES (?, ?, ?, ?, ?, ?, ?, ?)"));
  ASSIGN_OR_RETURN(SqliteConnection second, SqliteConnection::Open(options.path, kName));
  RETURN_IF_ERROR(Configure(second));

  std::unique_ptr<SqliteLog> log(
      new SqliteLog(options.path, std::move(lock), std::move(connection), std::move(insert)));
  RETURN_IF_ERROR(log->ReadMeta());
  RETURN_IF_ERROR(log->OpenReserve(options));
  sqlite3_wal_hook(
      log->connection_.raw(),
      [](void* self, sqlite3*, const char*, int pages) {
        static_cast<SqliteLog*>(self)->wal_pages_ = pages;
        return SQLITE_OK;
      },
      log.get());
  log->checkpointer_ = std::make_unique<Checkpointer>(std::move(second));
  return std::unique_ptr<RevisionLog>(std::move(log));
}

Status SqliteLog::ReadMeta() {
  ASSIGN_OR_RETURN(identity_,
                   connection_.QueryText("SELECT value FROM meta WHERE key = 'identity'"));
  ASSIGN_OR_RETURN(
      const std::int64_t compacted,
      connection_.QueryInt("SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'compacted'"));
  ASSIGN_OR_RETURN(const std::int64_t newest,
                   connection_.QueryInt("SELECT max(revision) FROM log"));
  if (identity_.empty()) return Internal("is damaged: it has no identity");
  compacted_ = static_cast<Revision>(compacted);
  last_ = static_cast<Revision>(std::max(newest, compacted));
  return OkStatus();
}

Status SqliteLog::OpenReserve(const SqliteLogOptions& options) {
  if (options.reserve_path.empty()) return OkStatus();
  ASSIGN_OR_RETURN(reserve_, RevisionReserve::Open(options.reserve_path, last_, options.first));
  last_ = reserve_->start();
  return OkStatus();
}

SqliteLog::~SqliteLog() {
  if (!reserve_) return;
  const Status closed = reserve_->Close(last_);
  // The block stays reserved; the next process starts behind it.
  if (!closed.ok()) log::Warn("revision reserve not closed", {{"err", closed.error()}});
}

Status SqliteLog::Transaction(const std::function<Status()>& body) {
  RETURN_IF_ERROR(connection_.Exec("BEGIN IMMEDIATE"));
  Status done = body();
  if (done.ok()) done = connection_.Exec("COMMIT");
  if (!done.ok() && sqlite3_get_autocommit(connection_.raw()) == 0) {
    const Status rolled_back = connection_.Exec("ROLLBACK");
    if (!rolled_back.ok()) log::Err("store rollback failed", {{"err", rolled_back.error()}});
  }
  return done;
}

Status SqliteLog::InsertAll(std::span<const LogRecord> records) {
  for (const LogRecord& record : records) {
    insert_.Bind(1, static_cast<std::int64_t>(record.revision));
    insert_.Bind(2, static_cast<std::int64_t>(record.previous));
    insert_.Bind(3, record.key.resource.group);
    insert_.Bind(4, record.key.resource.plural);
    insert_.Bind(5, record.key.ns);
    insert_.Bind(6, record.key.name);
    insert_.Bind(7, std::int64_t{record.deleted ? 1 : 0});
    insert_.Bind(8, record.text);
    RETURN_IF_ERROR(insert_.Run());
  }
  return OkStatus();
}

Status SqliteLog::Append(std::span<const LogRecord> records) {
  if (records.empty()) return OkStatus();
  CHECK(records.front().revision > last_);
  if (reserve_) {
    const Status covered = reserve_->Cover(records.back().revision);
    if (!covered.ok()) return Unavailable(covered.error().message);
  }
  RETURN_IF_ERROR(Transaction([this, records] { return InsertAll(records); }));
  last_ = records.back().revision;
  AfterCommit();
  return OkStatus();
}

void SqliteLog::AfterCommit() {
  if (wal_pages_ > kWalPagesMax) {
    const Status done = connection_.Exec("PRAGMA wal_checkpoint(TRUNCATE)");
    if (!done.ok()) log::Warn("store checkpoint failed", {{"err", done.error()}});
    wal_pages_ = 0;
    return;
  }
  checkpointer_->WalHas(wal_pages_);
}

Status SqliteLog::Load(const std::function<Status(LogRecord&&)>& visit) {
  ASSIGN_OR_RETURN(SqliteStatement rows,
                   connection_.Prepare("SELECT revision, previous, api_group, plural, ns, name, "
                                       "deleted, text FROM log ORDER BY revision"));
  while (true) {
    ASSIGN_OR_RETURN(const bool row, rows.Step());
    if (!row) return OkStatus();
    RETURN_IF_ERROR(
        visit(LogRecord{.revision = static_cast<Revision>(rows.Int(0)),
                        .previous = static_cast<Revision>(rows.Int(1)),
                        .key = {{rows.Text(2), rows.Text(3)}, rows.Text(4), rows.Text(5)},
                        .deleted = rows.Int(6) != 0,
                        .text = rows.Text(7)}));
  }
}

Status SqliteLog::CompactInTransaction(Revision through) {
  // Every record names the one it replaced, so one pass over the new part of history finds all
  // that is to go, without an index by object.
  const std::string range = fmt::format("revision > {} AND revision <= {}", compacted(), through);
  RETURN_IF_ERROR(connection_.Exec(
      fmt::format("DELETE FROM log WHERE revision IN (SELECT previous FROM log WHERE {})", range)));
  RETURN_IF_ERROR(connection_.Exec(fmt::format("DELETE FROM log WHERE {} AND deleted = 1", range)));
  return connection_.Exec(
      fmt::format("UPDATE meta SET value = '{}' WHERE key = 'compacted'", through));
}

// The revision of the last record of one step: revisions may be far apart, records are what costs.
Result<Revision> SqliteLog::BoundStep(Revision through) {
  ASSIGN_OR_RETURN(
      const std::int64_t last,
      connection_.QueryInt(fmt::format("SELECT revision FROM log WHERE revision > {} ORDER BY "
                                       "revision LIMIT 1 OFFSET {}",
                                       compacted(), kCompactRecordsMax - 1)));
  return last == 0 ? through : std::min(through, static_cast<Revision>(last));
}

Status SqliteLog::Compact(Revision through) {
  through = std::min(through, last_revision());
  if (through <= compacted()) return OkStatus();
  ASSIGN_OR_RETURN(through, BoundStep(through));
  RETURN_IF_ERROR(Transaction([this, through] { return CompactInTransaction(through); }));
  compacted_ = through;
  AfterCommit();
  return OkStatus();
}

// The free bytes are asked first: a WAL that was emptied takes small writes also on a full disk.
Status SqliteLog::Probe() {
  struct statvfs disk = {};
  if (::statvfs(path_.c_str(), &disk) != 0) return FromErrno(errno, fmt::format("stat {}", path_));
  const std::uint64_t free = std::uint64_t{disk.f_bavail} * disk.f_frsize;
  if (free < kDiskFreeMin) {
    return Unavailable(
        fmt::format("the disk of {} has {} bytes left, an object may need {}: make "
                    "room",
                    path_, free, kDiskFreeMin));
  }
  const std::string write = fmt::format("INSERT OR REPLACE INTO meta VALUES ('probe', '{}')",
                                        RealClock().WallNow().time_since_epoch().count());
  return Transaction([this, &write] { return connection_.Exec(write); });
}

}  // namespace

Result<std::unique_ptr<RevisionLog>> OpenSqliteLog(const SqliteLogOptions& options, Rng& rng) {
  Result<std::unique_ptr<RevisionLog>> log = SqliteLog::Open(options, rng);
  if (!log.ok()) return std::move(log).error().WithContext(fmt::format("store {}", options.path));
  return log;
}

}  // namespace forkplane::store
