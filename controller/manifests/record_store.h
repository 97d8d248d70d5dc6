// The durable record of what was applied from a directory and which objects it owns: one SQLite
// file in the state directory (docs/formats.md, "manifests.db").
//
// An object is owned when a record names its kind, namespace and name and this source, and its uid
// is the recorded one. Nothing on the object itself counts: labels and annotations are copied with
// it. Losing the file disowns everything: nothing is pruned until it was applied again.
//
// NOTE Threading: one thread. NOTE Errors: what Commit could not write is not in memory either.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "controller/base/result.h"
#include "controller/base/sqlite.h"
#include "controller/manifests/tree_scan.h"
#include "controller/store/object.h"

namespace forkplane::manifests {

struct Record {
  store::ObjectKey key;
  std::string kind;
  std::string source;  // the directory as it was given; "": an annotation of an earlier version
  std::string uid;     // "": about to be made
  std::string path;    // the file, relative to the root
  int line = 0;
  RootIdentity root;         // where the document was last seen
  std::string mount = {};    // below it, as in ScannedFile
  std::string last_applied;  // the document, compact JSON; "": not known
  bool confirmed = false;    // an operator confirmed that it is pruned
  bool operator==(const Record&) const = default;
};

// "VirtualMachine default/a"
std::string Name(const Record& record);
// "vms/a.yaml:12"
std::string Where(const Record& record);

// The objects whose pruning is held now, and the word by which an operator confirms exactly them:
// random, and another one whenever the set is another.
struct HeldSet {
  std::string token;
  std::string objects;  // a line for each: key and uid
  bool operator==(const HeldSet&) const = default;
};

// One transaction.
struct RecordBatch {
  std::vector<Record> put;
  std::vector<store::ObjectKey> drop;
  std::optional<HeldSet> held = {};  // an empty token: none
  bool taken_over = false;           // the annotations of an earlier version were read

  bool empty() const { return put.empty() && drop.empty() && !held && !taken_over; }
};

class RecordStore {
 public:
  // Makes the file (0600) when it is absent. Refuses, and never resets, one of a later format, of
  // another application, or damaged.
  static Result<RecordStore> Open(const std::string& path);

  const std::map<store::ObjectKey, Record>& records() const { return records_; }
  const Record* Find(const store::ObjectKey& key) const;  // null: none
  const HeldSet& held() const { return held_; }
  bool taken_over() const { return taken_over_; }

  // Durable when it returns.
  Status Commit(const RecordBatch& batch);

 private:
  explicit RecordStore(SqliteConnection connection) : connection_(std::move(connection)) {}
  Status Load();
  Status Write(const RecordBatch& batch);
  Status PutMeta(std::string_view key, std::string_view value);

  SqliteConnection connection_;
  std::map<store::ObjectKey, Record> records_;
  HeldSet held_;
  bool taken_over_ = false;
};

}  // namespace forkplane::manifests
