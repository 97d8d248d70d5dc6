// Where writes become durable: one append-only list of object states, numbered by revision. The
// newest state of each object is the store's content, older ones are history until compacted. The
// file format is in docs/formats.md.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "controller/base/result.h"
#include "controller/base/rng.h"
#include "controller/store/object.h"

namespace forkplane::store {

struct LogRecord {
  Revision revision = 0;
  Revision previous = 0;  // the state this one replaces; 0: the object is new
  ObjectKey key;
  bool deleted = false;  // text is the last state then
  std::string text;
  bool operator==(const LogRecord&) const = default;
};

// NOTE Threading: Append and Compact from one thread at a time; the getters from any.
// NOTE Errors: Unavailable: the disk refused (full, I/O); nothing of the batch is kept, and the log
// may be used on.
class RevisionLog {
 public:
  virtual ~RevisionLog() = default;

  // All or nothing, and durable when it returns. Revisions rise, and are higher than every one
  // before.
  virtual Status Append(std::span<const LogRecord> records) = 0;

  // Every record that is still held, by rising revision. A revision that is not above compacted()
  // is only its object's newest state before history begins.
  virtual Status Load(const std::function<Status(LogRecord&&)>& visit) = 0;

  // Forgets what history up to and including `through` no longer needs: replaced states and
  // deletions. The newest state of an object stays. A step may end before `through`, when it has
  // become long (kCompactRecordsMax).
  virtual Status Compact(Revision through) = 0;

  // Whether an Append would become durable now; writes a little and syncs it.
  virtual Status Probe() = 0;

  // The highest revision there ever was, also if its record was compacted away, or is in no copy of
  // the log that is left.
  virtual Revision last_revision() const = 0;
  virtual Revision compacted() const = 0;
  // A uuid made with the log.
  virtual const std::string& identity() const = 0;
};

// For tests and simulations. `first` is the revision before the first one.
std::unique_ptr<RevisionLog> NewMemoryLog(Rng& rng, Revision first = 0);

struct SqliteLogOptions {
  std::string path;  // its folder exists
  // The revision before the first one of a new file. A store that replaces a lost one must start
  // above it, or clients that resume see revisions go back (app starts at the time).
  Revision first = 0;
  // Where the highest revision ever given out is kept beside the database (revision_reserve.h).
  // "": nowhere; the database alone says it.
  std::string reserve_path = {};
};
// Opens or makes the file, 0600. Never resets anything by itself:
//   Conflict: another process has it open.
//   Invalid: not one of our files, or one of a newer format (the text says which).
//   Internal: damaged.
Result<std::unique_ptr<RevisionLog>> OpenSqliteLog(const SqliteLogOptions& options, Rng& rng);

}  // namespace forkplane::store
