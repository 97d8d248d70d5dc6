// Why a VirtualMachine cannot be started with its spec. Each reason names the field and what to do;
// they are checked in the order in which a person would repair them.
#pragma once

#include <optional>
#include <string>

#include "reconcilers/virtual_machine/desire.h"

namespace forkplane::virtual_machine {

std::optional<Block> FindObstacle(const Inputs& inputs, bool restore, const Blueprint& blueprint);

// nullptr: this host has no such hypervisor.
const vmm::Capabilities* FindCapabilities(const Inputs& inputs, const std::string& name);

}  // namespace forkplane::virtual_machine
