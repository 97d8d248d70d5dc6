// Writes what the directory asks for into the store, and what was written into the record.
//
// NOTE Order: before an object is made its record says so, and a record tells the document that was
// applied only after the store has it. A crash between leaves an object whose uid is not recorded
// (the next pass records it), or a last document that is older than the object (the next pass
// removes what is gone already), never an object of others that counts as ours.
// NOTE Threading: one thread.
#pragma once

#include <string>
#include <vector>

#include "controller/manifests/apply_plan.h"
#include "controller/manifests/desired.h"
#include "controller/manifests/notice.h"
#include "controller/manifests/record_store.h"
#include "controller/store/object_store.h"

namespace forkplane::manifests {

struct ApplyReport {
  int created = 0;
  int updated = 0;
  int unchanged = 0;
  std::vector<Problem> refused;    // only a change of the document, or of what it needs, helps
  std::vector<Problem> unwritten;  // the store could not; tried again soon
  std::vector<Problem> awaited;    // being deleted; tried again soon
  std::vector<Notice> notices;     // what was put back
};

class Applier {
 public:
  // `source` is the directory as it was given.
  Applier(store::ObjectStore& objects, RecordStore& records, std::string source)
      : objects_(objects), records_(records), source_(std::move(source)) {}

  ApplyReport Apply(const Desired& desired, const RootIdentity& root);

 private:
  Status RecordIntents(const Desired& desired, const RootIdentity& root);
  void ApplyOne(const Wanted& wanted, const RootIdentity& root, ApplyReport& report);
  // The object as it stands then; null: it is being deleted.
  Result<store::ObjectPtr> Write(const Wanted& wanted, ApplyReport& report);
  Result<store::ObjectPtr> Create(const Wanted& wanted, ApplyReport& report);
  Result<store::ObjectPtr> Update(const Wanted& wanted, ApplyReport& report);
  Record RecordOf(const Wanted& wanted, const RootIdentity& root) const;

  store::ObjectStore& objects_;
  RecordStore& records_;
  const std::string source_;
  RecordBatch batch_;
};

}  // namespace forkplane::manifests
