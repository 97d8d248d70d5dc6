// A say before a write is committed: the daemon's app wires it to the host ledger, which leases
// what an object with admissionPolicy FailFast needs, or refuses the write.
#pragma once

#include <cstdint>
#include <string>

#include "controller/base/result.h"
#include "controller/store/object.h"

namespace forkplane::store {

struct AdmissionRequest {
  enum class Operation : std::uint8_t { kCreate, kUpdate };
  Operation operation = Operation::kCreate;
  ObjectKey key;
  std::string uid;       // the object's; leases are made under it
  ObjectPtr previous;    // null: created
  std::string proposed;  // JSON as it would be stored, defaults in, without resourceVersion
};

// Thread-safe. Called on the writer's thread without any lock of the store held, after validation;
// not for dry runs, status or deletions.
class AdmissionGate {
 public:
  virtual ~AdmissionGate() = default;
  // An error refuses the write. Exhausted becomes HTTP 409 InsufficientResources with its causes.
  virtual Status Admit(const AdmissionRequest& request) = 0;
  // An admitted write was not committed after all (somebody was faster, the disk refused). For
  // kCreate no object with this uid exists.
  virtual void Abandon(const AdmissionRequest& request) = 0;
};

}  // namespace forkplane::store
