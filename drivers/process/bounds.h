// The controllers of a cgroup v2 folder, and the bounds they put on its children. Every path is a
// parameter: on a plain directory with files of the kernel's names it does the same.
// https://docs.kernel.org/admin-guide/cgroup-v2.html
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "controller/base/result.h"
#include "drivers/process_driver.h"

namespace forkplane::process {

inline constexpr std::string_view kMemoryController = "memory";
inline constexpr std::string_view kPidsController = "pids";

// What is used for the bounds of VMMs, where it is offered.
struct Controllers {
  bool memory = false;
  bool pids = false;
  bool operator==(const Controllers&) const = default;
  // "memory, pids"; empty: nothing is missing.
  std::string Missing() const;
};

// What cgroup.controllers of `folder` lists: what its parent's cgroup.subtree_control gives it.
Result<Controllers> ReadControllers(const std::string& folder);

// Hands on to the children of `folder` what it has itself (cgroup.subtree_control), and returns
// that. A controller that is refused (a process lives in the folder itself: "no internal
// processes") is left out; only a folder that cannot be read is an error.
Result<Controllers> HandOnControllers(const std::string& folder);

// memory.max with memory.oom.group, and pids.max, of the cgroup at `folder`, each where its
// controller is there and the bound is not 0.
Status WriteBounds(const std::string& folder, const Bounds& bounds, const Controllers& controllers);

}  // namespace forkplane::process
