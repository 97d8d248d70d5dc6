// What one pass knows about a Fork, what prevents its VM, and the objects it makes: pure.
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

struct Context {
  std::string host_name;  // this host's
  std::shared_ptr<const crd::Fork> fork;
  std::shared_ptr<const crd::Snapshot> snapshot;  // the one to restore from
  std::shared_ptr<const crd::VirtualMachine> vm;  // of the child's name, ours or not
  std::shared_ptr<const crd::VirtualMachine> source_vm;
  std::shared_ptr<const crd::Network> network;       // of the first captured interface
  std::shared_ptr<const crd::Host> host;             // this host; null: it does not exist (yet)
  std::optional<std::int64_t> capture_milliseconds;  // how long its snapshot took
  std::optional<Obstacle> obstacle;
  std::optional<WallTime> expires;
  std::vector<std::string> not_updated;  // "spec.field: why", of an edit its VM cannot take
  Observed observed;
};

// The obstacle when the store refused to make a child or to delete this Fork.
Obstacle Refused(const Error& error);

// The child's names.
std::string VmName(const crd::Fork& fork);
std::string SnapshotName(const crd::Fork& fork);

// Fills obstacle, expires and observed from the rest.
void Judge(Context& context, WallTime now);

// The VM is bound and has its finalizer from its creation, so no second write follows.
crd::VirtualMachine MakeVm(const Context& context);
// Brings the VM to the template, as far as its own fields may change.
void UpdateFromTemplate(const Context& context, crd::VirtualMachine& vm);
crd::Snapshot MakeSnapshot(const crd::Fork& fork);

// A time in the form of creationTimestamp; nothing when `text` has another form.
std::optional<WallTime> ParseTime(const std::string& text);

}  // namespace forkplane::fork
