// One look at a Fork, what stands in its way, and the objects it makes: pure but for the caches.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "controller/base/clock.h"
#include "controller/runtime/informer.h"
#include "crd/types.h"
#include "reconcilers/fork/plan.h"

namespace forkplane::fork {

// Why no VM is made. `terminal`: only another Fork helps.
struct Obstacle {
  std::string_view condition;
  std::string_view reason;
  std::string message;  // names the field and the remedy
  bool terminal = false;
};

struct Scene {
  std::string host_name;  // the one there is
  std::shared_ptr<const crd::Fork> fork;
  std::shared_ptr<const crd::Snapshot> snapshot;  // the one to restore from
  std::shared_ptr<const crd::VirtualMachine> vm;  // of the child's name, ours or not
  std::shared_ptr<const crd::VirtualMachine> source_vm;
  std::shared_ptr<const crd::Network> network;       // of the first captured interface
  std::shared_ptr<const crd::Host> host;             // the one there is; null: not there (yet)
  std::optional<std::int64_t> capture_milliseconds;  // how long its snapshot took
  std::optional<Obstacle> obstacle;
  std::optional<WallTime> expires;
  std::vector<std::string> not_updated;  // "spec.field: why", of an edit its VM cannot take
  Sight sight;
};

// What the store answered when a child was to be made or this Fork deleted.
Obstacle Refused(const Error& error);

// The child's names.
std::string VmName(const crd::Fork& fork);
std::string SnapshotName(const crd::Fork& fork);

// Fills obstacle, expires and sight from the rest.
void Judge(Scene& scene, WallTime now);

// Bound already and with its finalizer: no second write follows.
crd::VirtualMachine MakeVm(const Scene& scene);
// Brings the VM to the template, as far as its own fields may change.
void UpdateFromTemplate(const Scene& scene, crd::VirtualMachine& vm);
crd::Snapshot MakeSnapshot(const crd::Fork& fork);

// The form of creationTimestamp; nothing when it is not that.
std::optional<WallTime> ParseTime(const std::string& text);

}  // namespace forkplane::fork
