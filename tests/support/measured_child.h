// Runs a piece of code in a child process and tells what it took: the only way to see the memory
// that one call needs at its worst.
#pragma once

#include <cstddef>
#include <functional>

namespace forkplane::testing {

struct MeasuredChild {
  bool exited_well = false;  // false: killed by a signal (memory, CPU time, abort), or code != 0
  int signal = 0;            // that ended it; SIGXCPU: the CPU limit
  std::size_t growth_bytes = 0;  // of the resident set at its peak over what it began with
};

struct ChildLimits {
  int cpu_seconds = 0;                  // 0: none
  std::size_t address_space_bytes = 0;  // above what is mapped at the start; 0: none
};

// The body's return value is the exit code. Call it from a process without other threads.
MeasuredChild RunMeasured(const std::function<int()>& body, const ChildLimits& limits = {});

}  // namespace forkplane::testing
