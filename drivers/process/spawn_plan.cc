#include "drivers/process/spawn_plan.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <set>

#include "drivers/process/device.h"

namespace forkplane::process {
namespace {

constexpr std::size_t kBindsMax = 512;
constexpr std::size_t kFdsMax = 64;

Status CheckInnerPath(const std::string& path) {
  if (path.size() < 2 || path[0] != '/' || path.find("/../") != std::string::npos ||
      path.ends_with("/..") || path.ends_with('/')) {
    return Invalid("path inside the private root must be absolute and plain: '" + path + "'");
  }
  return OkStatus();
}

// Every parent of `path`, outermost first, in order of need.
void AddParents(const std::string& path, std::set<std::string>* known,
                std::vector<std::string>* directories) {
  for (std::size_t at = path.find('/', 1); at != std::string::npos; at = path.find('/', at + 1)) {
    const std::string parent = path.substr(0, at);
    if (known->insert(parent).second) directories->push_back(parent);
  }
}

Status AddBind(const Bind& bind, std::set<std::string>* known, SpawnPlan* plan) {
  RETURN_IF_ERROR(CheckInnerPath(bind.path));
  struct stat info {};
  if (::stat(bind.host_path.c_str(), &info) != 0) {
    return FromErrno(errno, "bind " + bind.host_path + " into the private root");
  }
  AddParents(bind.path, known, &plan->directories);
  if (S_ISDIR(info.st_mode)) {
    if (known->insert(bind.path).second) plan->directories.push_back(bind.path);
  } else {
    plan->files.push_back(plan->mount_point + bind.path);
  }
  plan->mounts.push_back({bind.host_path, plan->mount_point + bind.path, bind.writable});
  if (bind.writable) plan->writable.push_back(bind.path);
  return OkStatus();
}

Status AddDevice(const std::string& path, std::set<std::string>* known, SpawnPlan* plan) {
  ASSIGN_OR_RETURN(const std::optional<gid_t> group, GroupToOpenDevice(path));
  RETURN_IF_ERROR(AddBind({path, path, false}, known, plan));
  std::vector<gid_t>& groups = plan->supplementary_groups;
  if (group.has_value() && std::find(groups.begin(), groups.end(), *group) == groups.end()) {
    groups.push_back(*group);
  }
  return OkStatus();
}

}  // namespace

const char* ToString(SpawnStep step) {
  switch (step) {
    case SpawnStep::kNone:
      return "start";
    case SpawnStep::kCgroup:
      return "enter the cgroup";
    case SpawnStep::kNamespaces:
      return "enter the empty network namespace (CAP_SYS_ADMIN)";
    case SpawnStep::kSession:
      return "make a session";
    case SpawnStep::kPrivatePropagation:
      return "make mounts private (CAP_SYS_ADMIN)";
    case SpawnStep::kMountRoot:
      return "mount the private root (CAP_SYS_ADMIN)";
    case SpawnStep::kMakeTarget:
      return "make a mount target";
    case SpawnStep::kBind:
      return "bind";
    case SpawnStep::kMountProc:
      return "mount /proc";
    case SpawnStep::kPivot:
      return "pivot_root";
    case SpawnStep::kReadOnly:
      return "make the root read-only";
    case SpawnStep::kDescriptors:
      return "arrange descriptors";
    case SpawnStep::kCapabilities:
      return "drop capabilities";
    case SpawnStep::kCredentials:
      return "change uid and gid";
    case SpawnStep::kExec:
      return "execute";
    case SpawnStep::kDone:
      return "done";
  }
  return "?";
}

Result<SpawnPlan> MakeSpawnPlan(const SpawnSpec& spec, const std::string& mount_point,
                                int directory_tree_fd, const StandardFds& standard) {
  RETURN_IF_ERROR(CheckInnerPath(spec.executable));
  if (spec.binds.size() > kBindsMax) return Invalid("too many binds");
  if (spec.fds.size() > kFdsMax) return Invalid("too many descriptors");
  SpawnPlan plan;
  plan.mount_point = mount_point;
  std::set<std::string> known;
  for (const Bind& bind : spec.binds) RETURN_IF_ERROR(AddBind(bind, &known, &plan));
  for (const std::string& path : spec.devices) RETURN_IF_ERROR(AddDevice(path, &known, &plan));
  RETURN_IF_ERROR(AddBind({"/dev/null", "/dev/null", false}, &known, &plan));
  plan.directories.emplace_back("/vm");
  plan.vm = mount_point + "/vm";
  plan.vm_tree_fd = directory_tree_fd;
  plan.writable.emplace_back("/vm");
  plan.directories.emplace_back("/proc");
  plan.proc = mount_point + "/proc";
  for (std::string& path : plan.directories) path.insert(0, mount_point);

  plan.executable = spec.executable;
  plan.arguments = spec.arguments;
  plan.argv.push_back(plan.executable.data());
  for (std::string& argument : plan.arguments) plan.argv.push_back(argument.data());
  plan.argv.push_back(nullptr);
  plan.fds = {standard.null_fd, standard.output_fd, standard.output_fd};
  plan.fds.insert(plan.fds.end(), spec.fds.begin(), spec.fds.end());
  plan.user = spec.user;
  plan.group = spec.group;
  plan.file_bytes_max = spec.file_bytes_max;
  plan.oom_score_adj = std::to_string(spec.oom_score_adj);
  return plan;
}

}  // namespace forkplane::process
