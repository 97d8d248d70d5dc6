#include "drivers/vmm/hypervisor.h"

namespace forkplane::vmm {

std::string_view ToString(MachineState state) {
  switch (state) {
    case MachineState::kAbsent:
      return "Absent";
    case MachineState::kLoading:
      return "Loading";
    case MachineState::kPaused:
      return "Paused";
    case MachineState::kRunning:
      return "Running";
    case MachineState::kShutdown:
      return "Shutdown";
    case MachineState::kFailed:
      return "Failed";
  }
  return "?";
}

}  // namespace forkplane::vmm
