// The status of a VirtualMachine from what was observed: pure. docs/conditions.md lists the
// reasons.
#pragma once

#include <optional>
#include <string>

#include "controller/base/clock.h"
#include "controller/runtime/event_recorder.h"
#include "controller/runtime/facts.h"
#include "controller/store/object_store.h"
#include "crd/virtual_machine.h"
#include "reconcilers/virtual_machine/memory.h"
#include "reconcilers/virtual_machine/observe.h"
#include "reconcilers/virtual_machine/plan.h"

namespace forkplane::virtual_machine {

// NetworkShaped is Unknown no longer than this, then False.
inline constexpr std::chrono::seconds kShapedUnknownMax{2};
// How long a slot may be waited for before its condition says that it is overdue.
inline constexpr std::chrono::seconds kSlotWaitMax{300};

struct Report {
  const Context& context;
  const VmMemory& memory;
  Waiting waiting = Waiting::kNothing;
  std::optional<runtime::AliasFacts> alias;
  MonotonicTime now;
  WallTime wall_now;
};

crd::VirtualMachineStatus BuildStatus(const Report& report);

// Parts of it (conditions.cc).
bool IsUp(const Context& context);  // the guest runs, or is paused for a snapshot
bool IsShaped(const Context& context);
crd::VmPhase PhaseOf(const Report& report);
crd::Conditions ConditionsOf(const Report& report, crd::VmPhase phase);

}  // namespace forkplane::virtual_machine
