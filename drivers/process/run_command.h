// Runs a program to its end and returns what it printed: for set-up work (loader, apt-get, probes),
// never on the road of a VM. No shell is involved.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "controller/base/result.h"

namespace forkplane::process {

struct CommandSpec {
  std::vector<std::string> argv;  // argv[0] is searched in PATH when it has no '/'
  std::string directory;          // empty: ours
  std::chrono::milliseconds timeout{10'000};
  std::size_t output_bytes_max = 1U << 20U;  // of stdout and stderr together; more is dropped
};

struct CommandResult {
  int exit_code = -1;      // -1: ended by a signal
  bool timed_out = false;  // it was killed at the deadline
  std::string output;      // stdout and stderr as they came
};

// An error only when it could not be started; how it ended is in the result.
Result<CommandResult> RunCommand(const CommandSpec& spec);
// The output; Unavailable with its last line when it did not end with 0.
Result<std::string> RunCommandOk(const CommandSpec& spec);

}  // namespace forkplane::process
