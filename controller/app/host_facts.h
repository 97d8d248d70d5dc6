// What Host.status says about the machine itself.
#pragma once

#include "controller/app/host_drivers.h"
#include "controller/runtime/compute_budget.h"
#include "crd/host.h"

namespace forkplane::app {

// CPUs that are online and physical memory; 0: not known.
runtime::ComputeAmount ReadCompute();

// Capacity (cpus, memory), PSI pressure, kernel version, hypervisors with what they can. What
// cannot be read is left out.
crd::HostStatus ReadHostFacts(const HostDrivers& drivers);

}  // namespace forkplane::app
