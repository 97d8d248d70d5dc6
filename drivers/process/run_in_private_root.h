// Runs a program to its end exactly as a VMM would run: spawned into a private root, a cgroup and
// an unprivileged uid. For probes: what root finds on the host says nothing about what a VMM finds.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "controller/base/result.h"
#include "drivers/process/run_command.h"
#include "drivers/process_driver.h"

namespace forkplane::process {

struct PrivateCommand {
  std::string owner;  // one at a time of a name; what an earlier one left is ended first
  std::string executable;
  std::vector<std::string> arguments;  // without argv[0]
  std::vector<Bind> binds;
  std::vector<std::string> devices;
  uid_t user = 0;
  gid_t group = 0;
  std::chrono::milliseconds timeout{30'000};
};

// What it printed and how it ended; after `timeout` it is ended. An error when it could not be
// begun, with the code of ProcessDriver::Spawn. Nothing is left: no process, cgroup or directory.
Result<CommandResult> RunInPrivateRoot(ProcessDriver& processes, const PrivateCommand& command);

}  // namespace forkplane::process
