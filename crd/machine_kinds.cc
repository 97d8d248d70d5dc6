// VirtualMachine, Snapshot, Fork and ForkSet to JSON and back.
#include <nlohmann/json.hpp>

#include "crd/fields_machine.h"
#include "crd/kind_codec.h"

namespace forkplane::crd {

FORKPLANE_KIND(VirtualMachine);
FORKPLANE_KIND(Snapshot);
FORKPLANE_KIND(Fork);
FORKPLANE_KIND(ForkSet);

RestartPolicy VirtualMachineSpec::EffectiveRestartPolicy() const {
  if (restart_policy) return *restart_policy;
  return restore_from ? RestartPolicy::kNever : RestartPolicy::kOnFailure;
}

}  // namespace forkplane::crd
