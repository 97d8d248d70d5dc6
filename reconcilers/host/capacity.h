// What Host.status says of this host as a place for machines: what may be promised, what is, and
// whether new ones are taken. Pure.
#pragma once

#include "controller/runtime/compute_budget.h"
#include "crd/host.h"

namespace forkplane::host {

inline constexpr const char* kUpload = "upload";  // bits per second, in the maps of the status

// allocatable and allocated from spec.overcommit and status.capacity; what is not bounded is not
// allocatable.
void FillCompute(const crd::HostSpec& spec, const runtime::ComputeBudget& budget,
                 crd::HostStatus& status);

// Schedulable always, Drained while the host is drained.
void AddScheduling(const crd::HostSpec& spec, const runtime::ComputeBudget& budget,
                   crd::Conditions& conditions);

}  // namespace forkplane::host
