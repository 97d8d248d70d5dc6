// The status of a Snapshot from what was observed: pure.
#pragma once

#include "crd/snapshot.h"
#include "reconcilers/snapshot/observe.h"
#include "reconcilers/snapshot/plan.h"

namespace forkplane::snapshot {

struct Report {
  const Context& context;
  Waiting waiting = Waiting::kNothing;
  bool capturing = false;  // the plan that is about to be executed captures it
  const SnapshotMemory& memory;
  std::string host_name;
};

crd::SnapshotStatus BuildStatus(const Report& report);

}  // namespace forkplane::snapshot
