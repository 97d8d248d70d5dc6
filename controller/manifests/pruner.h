// Looks at the objects that left the directory, and deletes those that the plan says.
//
// NOTE Safety: every deletion has the uid of the record and the revision that was judged as
// preconditions. NOTE Threading: one thread.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "controller/base/rng.h"
#include "controller/manifests/desired.h"
#include "controller/manifests/prune_plan.h"
#include "controller/manifests/record_store.h"
#include "controller/store/object_store.h"
#include "crd/type_registry.h"

namespace forkplane::manifests {

// Annotations of the Host by which an operator decides about what is held.
inline constexpr const char* kPruneAnnotation = "manifests.forkplane.dev/prune";
inline constexpr const char* kKeepAnnotation = "manifests.forkplane.dev/keep";

struct PruneOptions {
  std::string source;     // the directory as it was given
  std::string host_name;  // of this host's Host object; "": nothing can be confirmed
  std::optional<std::size_t> prune_max = {};
};

struct PruneReport {
  int pruned = 0;
  std::vector<Kept> kept;
  std::string token;               // confirms `kept`; "" when that takes a change of the directory
  std::string given;               // a word of the Host that confirms nothing now
  std::vector<Problem> unwritten;  // deletions that failed; tried again
  std::vector<Notice> notices;
};

class Pruner {
 public:
  // All outlive it.
  Pruner(store::ObjectStore& objects, const crd::TypeRegistry& types, RecordStore& records,
         Rng& rng, PruneOptions options)
      : objects_(objects),
        types_(types),
        records_(records),
        rng_(rng),
        options_(std::move(options)) {}

  // `hold`: why nothing may be pruned in this pass.
  Result<PruneReport> Run(const Desired& desired, const RootIdentity& root,
                          std::optional<Hold> hold);

 private:
  Result<Observed> Observe(const Desired& desired);
  // Adds it to `observed` when it is ours and there, to `drop` when its record means nothing more.
  Status ObserveRecord(const Record& record, const Desired& desired, Observed& observed,
                       std::vector<store::ObjectKey>& drop);
  bool IsOurs(const Record& record, const store::Object& object) const;
  Result<std::vector<std::string>> TakesWithIt(const Record& record, const Desired& desired);
  void AddForeign(const store::ListResult& list, const crd::ResourceType& type,
                  const Desired& desired, std::vector<std::string>& names) const;
  Status ReadWords(Observed& observed);
  Status RecordDecisions(const PrunePlan& plan, PruneReport& report);
  void Execute(const Gone& gone, PruneReport& report);
  Result<bool> Delete(const Gone& gone);

  store::ObjectStore& objects_;
  const crd::TypeRegistry& types_;
  RecordStore& records_;
  Rng& rng_;
  const PruneOptions options_;
};

}  // namespace forkplane::manifests
