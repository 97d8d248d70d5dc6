// The status of a Snapshot from what was seen: pure.
#pragma once

#include "crd/snapshot.h"
#include "reconcilers/snapshot/observe.h"
#include "reconcilers/snapshot/plan.h"

namespace forkplane::snapshot {

struct Report {
  const Scene& scene;
  Waiting waiting = Waiting::kNothing;
  bool capturing = false;  // the plan that is about to be executed takes it
  const SnapshotMemory& memory;
  std::string host_name;
};

crd::SnapshotStatus BuildStatus(const Report& report);

}  // namespace forkplane::snapshot
