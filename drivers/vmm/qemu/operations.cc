// What is done with a machine whose process exists: load, resume, pause, snapshot, query.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <nlohmann/json.hpp>

#include "drivers/storage/beneath.h"
#include "drivers/storage/memory_copy.h"
#include "drivers/template_holder.h"
#include "drivers/vmm/qemu/qemu.h"

namespace forkplane::vmm {
namespace {

using Json = nlohmann::json;
using std::chrono::seconds;
using std::chrono::steady_clock;

constexpr seconds kMonitorPatience{5};
constexpr seconds kMigrationPatience{60};
constexpr std::size_t kExplainLines = 5;

Qmp::Deadline In(seconds patience) { return steady_clock::now() + patience; }

// x-ignore-shared: the state stream holds devices only, memory stays where it is mapped.
Status SetMigrationCapabilities(Qmp* qmp) {
  const Json arguments = {{"capabilities",
                           {{{"capability", "x-ignore-shared"}, {"state", true}},
                            {{"capability", "events"}, {"state", true}}}}};
  RETURN_IF_ERROR(qmp->Execute("migrate-set-capabilities", arguments, In(kMonitorPatience)));
  return OkStatus();
}

MachineState StateOf(const std::string& status) {
  if (status == "running") return MachineState::kRunning;
  if (status == "inmigrate" || status == "prelaunch") return MachineState::kLoading;
  if (status == "paused" || status == "postmigrate" || status == "finish-migrate") {
    return MachineState::kPaused;
  }
  return status == "shutdown" ? MachineState::kShutdown : MachineState::kFailed;
}

// The part of a snapshot during which the guest stands still.
Status SaveWhilePaused(Qmp* qmp, int state_fd, storage::MemoryCopy* copy) {
  RETURN_IF_ERROR(qmp->Execute("stop", In(kMonitorPatience)));
  RETURN_IF_ERROR(qmp->Execute("getfd", {{"fdname", "state"}}, In(kMonitorPatience), state_fd));
  RETURN_IF_ERROR(qmp->Execute("migrate", {{"uri", "fd:state"}}, In(kMonitorPatience)));
  RETURN_IF_ERROR(qmp->WaitMigration(In(kMigrationPatience)));
  return copy->Run();
}

// Whatever happened before: on the same connection, else on a new one.
Status ResumeAfter(const MachineRef& ref, Qmp* qmp, bool saved) {
  // A migration still going would refuse cont; cancelling none is harmless.
  if (!saved) static_cast<void>(qmp->Execute("migrate_cancel", In(kMonitorPatience)).ok());
  if (qmp->Execute("cont", In(kMonitorPatience)).ok()) return OkStatus();
  ASSIGN_OR_RETURN(Qmp again, Qmp::Connect(ref.directory, "health", In(kMonitorPatience)));
  RETURN_IF_ERROR(again.Execute("cont", In(kMonitorPatience)));
  return OkStatus();
}

}  // namespace

Error Qemu::Explain(Error error, const MachineRef& ref) {
  std::string said;
  for (const std::string& line : TailLines(ref.directory, "vmm.log", kExplainLines)) {
    said += (said.empty() ? "; vmm said: " : " | ") + line;
  }
  std::string console;
  for (const std::string& line : ConsoleTail(ref, kExplainLines)) {
    console += (console.empty() ? "; console: " : " | ") + line;
  }
  error.message += said + console;
  return error;
}

std::vector<std::string> Qemu::ConsoleTail(const MachineRef& ref, std::size_t lines_max) {
  return TailLines(ref.directory, "console", lines_max);
}

Status Qemu::Load(const MachineRef& ref, const RestoreSource& source, const std::stop_token& stop) {
  ASSIGN_OR_RETURN(const BusySet::Claim claim, busy_.Take(ref.uid, "load"));
  if (stop.stop_requested()) return Cancelled("load " + ref.uid);
  const UniqueFd state(::open(source.state_path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!state.valid()) return FromErrno(errno, "open " + source.state_path);
  Status loaded = [&]() -> Status {
    ASSIGN_OR_RETURN(Qmp qmp, Qmp::Connect(ref.directory, "control", In(seconds(20))));
    ASSIGN_OR_RETURN(const std::string before, qmp.QueryStatus(In(kMonitorPatience)));
    if (StateOf(before) != MachineState::kLoading) {
      return Conflict("it does not wait for a load but is " + before);
    }
    RETURN_IF_ERROR(SetMigrationCapabilities(&qmp));
    // No RARP rounds for the snapshot's MAC: clones share it.
    RETURN_IF_ERROR(
        qmp.Execute("migrate-set-parameters", {{"announce-rounds", 0}}, In(kMonitorPatience)));
    RETURN_IF_ERROR(qmp.Execute("getfd", {{"fdname", "state"}}, In(kMonitorPatience), state.get()));
    RETURN_IF_ERROR(qmp.Execute("migrate-incoming", {{"uri", "fd:state"}}, In(kMonitorPatience)));
    RETURN_IF_ERROR(qmp.WaitMigration(In(kMigrationPatience)));
    ASSIGN_OR_RETURN(const std::string after, qmp.QueryStatus(In(kMonitorPatience)));
    if (after != "paused") return Internal("status after the load is " + after);
    return OkStatus();
  }();
  if (loaded.ok()) return loaded;
  return Explain(std::move(loaded).error().WithContext("load " + ref.uid), ref);
}

Status Qemu::Resume(const MachineRef& ref) {
  ASSIGN_OR_RETURN(const BusySet::Claim claim, busy_.Take(ref.uid, "resume"));
  ASSIGN_OR_RETURN(Qmp qmp, Qmp::Connect(ref.directory, "control", In(kMonitorPatience)));
  ASSIGN_OR_RETURN(const std::string status, qmp.QueryStatus(In(kMonitorPatience)));
  const MachineState state = StateOf(status);
  if (state == MachineState::kRunning) return OkStatus();
  // cont on a machine that has not loaded would be remembered and start it half loaded.
  if (state != MachineState::kPaused) return Conflict("resume " + ref.uid + ": it is " + status);
  RETURN_IF_ERROR(qmp.Execute("cont", In(kMonitorPatience)));
  return OkStatus();
}

Status Qemu::Pause(const MachineRef& ref) {
  ASSIGN_OR_RETURN(const BusySet::Claim claim, busy_.Take(ref.uid, "pause"));
  ASSIGN_OR_RETURN(Qmp qmp, Qmp::Connect(ref.directory, "control", In(kMonitorPatience)));
  ASSIGN_OR_RETURN(const std::string status, qmp.QueryStatus(In(kMonitorPatience)));
  const MachineState state = StateOf(status);
  if (state == MachineState::kPaused) return OkStatus();
  if (state != MachineState::kRunning) return Conflict("pause " + ref.uid + ": it is " + status);
  RETURN_IF_ERROR(qmp.Execute("stop", In(kMonitorPatience)));
  return OkStatus();
}

Status Qemu::AskPowerOff(const MachineRef& ref) {
  ASSIGN_OR_RETURN(const BusySet::Claim claim, busy_.Take(ref.uid, "power off"));
  ASSIGN_OR_RETURN(Qmp qmp, Qmp::Connect(ref.directory, "control", In(kMonitorPatience)));
  RETURN_IF_ERROR(qmp.Execute("system_powerdown", In(kMonitorPatience)));
  return OkStatus();
}

Result<MachineFile> Qemu::CheckCapturable(const MachineRef& ref) const {
  ASSIGN_OR_RETURN(MachineFile machine, ReadMachineFile(ref.directory));
  if (machine.restored) {
    return Invalid("machine " + ref.uid +
                   " was restored from a snapshot: this hypervisor snapshots booted machines only");
  }
  return machine;
}

Result<UniqueFd> Qemu::OpenMemory(const MachineRef& ref, const MachineFile& machine) {
  ASSIGN_OR_RETURN(const process::Observed observed, processes_->Observe(ref.uid));
  if (observed.running.empty()) return NotFound("machine " + ref.uid + " has no process");
  const process::ProcessRecord record = observed.running[0];
  const std::string path = fmt::format("/proc/{}/fd/{}", record.pid, machine.memory_fd);
  // A compromised VMM may have put anything there. O_NONBLOCK: a pipe without a writer must not
  // hold us. For writing: only so a seal can be added.
  UniqueFd memory(::open(path.c_str(), O_RDWR | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  if (!memory.valid()) return FromErrno(errno, "open the memory of " + ref.uid + " (" + path + ")");
  // Opened first, identity checked after: so it was this process's descriptor.
  ASSIGN_OR_RETURN(const bool alive, processes_->IsAlive(ref.uid, record));
  // Before its size is read: from here on the VMM cannot cut what we map and copy.
  Status fixed = storage::FixSize(memory.get());
  if (!fixed.ok()) return std::move(fixed).error().WithContext("memory of " + ref.uid);
  struct stat info {};
  if (!alive || ::fstat(memory.get(), &info) != 0 ||
      static_cast<std::uint64_t>(info.st_size) != machine.memory_bytes) {
    return Conflict("memory of " + ref.uid + " is not what its machine file says");
  }
  return memory;
}

Result<Capture> Qemu::Snapshot(const MachineRef& ref, const std::string& directory,
                               const std::stop_token& stop) {
  ASSIGN_OR_RETURN(const BusySet::Claim claim, busy_.Take(ref.uid, kCapturing));
  ASSIGN_OR_RETURN(const MachineFile machine, CheckCapturable(ref));
  ASSIGN_OR_RETURN(const UniqueFd memory, OpenMemory(ref, machine));
  ASSIGN_OR_RETURN(const UniqueFd folder, storage::OpenDirectory(directory));
  const UniqueFd state(
      ::openat(folder.get(), "state", O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!state.valid()) return FromErrno(errno, "make the state file in " + directory);
  ASSIGN_OR_RETURN(storage::MemoryCopy copy,
                   storage::MemoryCopy::Prepare(memory.get(), machine.memory_bytes));
  ASSIGN_OR_RETURN(Qmp qmp, Qmp::Connect(ref.directory, "control", In(kMonitorPatience)));
  ASSIGN_OR_RETURN(const std::string status, qmp.QueryStatus(In(kMonitorPatience)));
  if (status != "running") return Conflict("snapshot " + ref.uid + ": it is " + status);
  RETURN_IF_ERROR(SetMigrationCapabilities(&qmp));
  if (stop.stop_requested()) return Cancelled("snapshot " + ref.uid);

  const auto paused = steady_clock::now();
  Status saved = SaveWhilePaused(&qmp, state.get(), &copy);
  Status resumed = ResumeAfter(ref, &qmp, saved.ok());
  const auto pause = steady_clock::now() - paused;
  if (!resumed.ok()) {
    return Explain(std::move(resumed).error().WithContext("resume after snapshot " + ref.uid), ref);
  }
  if (!saved.ok()) {
    return Explain(std::move(saved).error().WithContext("snapshot " + ref.uid), ref);
  }
  struct stat info {};
  if (::fstat(state.get(), &info) != 0) return FromErrno(errno, "stat the state file");
  Capture capture;
  capture.memory = copy.Take();
  capture.files = {"state"};
  capture.pause = std::chrono::duration_cast<std::chrono::microseconds>(pause);
  capture.memory_bytes = machine.memory_bytes;
  capture.state_bytes = static_cast<std::uint64_t>(info.st_size);
  capture.interfaces = machine.interfaces;
  return capture;
}

Result<Observation> Qemu::Query(const MachineRef& ref) {
  Observation observation;
  ASSIGN_OR_RETURN(const process::Observed observed, processes_->Observe(ref.uid));
  if (observed.running.empty()) return observation;
  observation.process = observed.running[0];
  observation.capturing = busy_.What(ref.uid) == kCapturing;
  const auto machine = ReadMachineFile(ref.directory);
  observation.restored = machine.ok() && machine->restored;
  auto status = [&]() -> Result<std::string> {
    ASSIGN_OR_RETURN(Qmp qmp, Qmp::Connect(ref.directory, "health", In(kMonitorPatience)));
    return qmp.QueryStatus(In(kMonitorPatience));
  }();
  if (!status.ok()) {
    // Silence of a live process is not failure: a busy host would lose its guests. Whoever asked
    // looks again.
    if (status.error().code == Code::kUnavailable) {
      return Explain(std::move(status).error().WithContext("the VMM does not answer"), ref);
    }
    observation.state = MachineState::kFailed;
    observation.detail = Explain(std::move(status).error(), ref).message;
    return observation;
  }
  observation.state = StateOf(*status);
  if (observation.state == MachineState::kFailed) {
    observation.detail = Explain(Internal("the VMM reports " + *status), ref).message;
  }
  return observation;
}

}  // namespace forkplane::vmm
