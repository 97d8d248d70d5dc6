// What has to be written so that one object is as its document says. Pure.
#pragma once

#include <memory>
#include <string>
#include <variant>

#include "controller/manifests/desired.h"
#include "controller/manifests/record_store.h"
#include "crd/json.h"

namespace forkplane::manifests {

// On objects that came from a directory, for people and selectors. Neither makes an object ours.
inline constexpr const char* kManagedByLabel = "app.kubernetes.io/managed-by";
inline constexpr const char* kManagedByValue = "forkplane-manifests";
// Of versions before the record store: the document as it was applied. Read once, then removed.
inline constexpr const char* kLastAppliedAnnotation = "manifests.forkplane.dev/last-applied";

struct CreateObject {
  std::string text;
};
struct UpdateObject {
  std::shared_ptr<const crd::Json> object;
  bool reverts = false;  // the document is as it was applied before: somebody changed the object
};
struct LeaveObject {};
struct AwaitDeletion {};  // it is being deleted; made anew when it is gone

using ApplyAction = std::variant<CreateObject, UpdateObject, LeaveObject, AwaitDeletion>;

// `now` is the object as it is stored, null when it does not exist; `record` is null when there is
// none for its key. A number of replicas that the document names no more stays as it is: from then
// on it belongs to whoever scales, and a file edit must not end all but one of them.
ApplyAction PlanApply(const Wanted& wanted, const crd::Json* now, const Record* record);

// The text of the document that a record keeps.
std::string DocumentText(const Wanted& wanted);

}  // namespace forkplane::manifests
