#include "drivers/process/bounds.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <sstream>

#include "controller/base/unique_fd.h"
#include "drivers/process/cgroup.h"

namespace forkplane::process {
namespace {

Status WriteKernelFile(const std::string& path, const std::string& text) {
  const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_TRUNC | O_CLOEXEC));
  if (!fd.valid()) return FromErrno(errno, "open " + path);
  if (::write(fd.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size())) {
    return OkStatus();
  }
  return FromErrno(errno, "write " + text + " to " + path);
}

}  // namespace

std::string Controllers::Missing() const {
  std::string names;
  if (!memory) names += kMemoryController;
  if (!pids) names += (names.empty() ? "" : ", ") + std::string(kPidsController);
  return names;
}

Result<Controllers> ReadControllers(const std::string& folder) {
  ASSIGN_OR_RETURN(const std::string text, ReadKernelFile(folder + "/cgroup.controllers"));
  Controllers offered;
  std::istringstream names(text);
  for (std::string name; names >> name;) {
    offered.memory = offered.memory || name == kMemoryController;
    offered.pids = offered.pids || name == kPidsController;
  }
  return offered;
}

Result<Controllers> HandOnControllers(const std::string& folder) {
  ASSIGN_OR_RETURN(Controllers controllers, ReadControllers(folder));
  const std::string control = folder + "/cgroup.subtree_control";
  // One at a time: a write that names several takes all or none.
  const auto hand_on = [&control](std::string_view name) {
    return WriteKernelFile(control, "+" + std::string(name)).ok();
  };
  controllers.memory = controllers.memory && hand_on(kMemoryController);
  controllers.pids = controllers.pids && hand_on(kPidsController);
  return controllers;
}

Status WriteBounds(const std::string& folder, const Bounds& bounds,
                   const Controllers& controllers) {
  if (controllers.memory && bounds.memory_bytes_max > 0) {
    RETURN_IF_ERROR(
        WriteKernelFile(folder + "/memory.max", std::to_string(bounds.memory_bytes_max)));
    // Half a VMM is none: when the kernel has to kill, then all of it (Linux 4.19).
    RETURN_IF_ERROR(WriteKernelFile(folder + "/memory.oom.group", "1"));
  }
  if (controllers.pids && bounds.pids_max > 0) {
    RETURN_IF_ERROR(WriteKernelFile(folder + "/pids.max", std::to_string(bounds.pids_max)));
  }
  return OkStatus();
}

}  // namespace forkplane::process
