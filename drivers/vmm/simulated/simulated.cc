#include "drivers/vmm/simulated/simulated.h"
#include "controller/base/whole_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <nlohmann/json.hpp>

#include "drivers/process/cgroup.h"
#include "drivers/storage/beneath.h"
#include "drivers/template_holder.h"

namespace forkplane::vmm {

struct Simulated::Machine {
  MachineState state = MachineState::kAbsent;
  process::ProcessRecord process;
  bool restored = false;
  std::uint64_t memory_bytes = 0;
  std::vector<std::pair<std::string, std::string>> interfaces;
};

namespace {

using Json = nlohmann::json;
using std::chrono::milliseconds;

constexpr char kFileName[] = "simulated.json";
constexpr char kStateFormat[] = "simulated-1";
constexpr std::size_t kStateBytesMax = 1U << 20U;
// Above the kernel's highest pid (2^22), so that nobody ever signals a stranger by it.
constexpr pid_t kPidBase = 1 << 23;

// Waits without holding anything; false when a stop was asked for.
bool Wait(milliseconds time, const std::stop_token& stop) {
  if (time.count() <= 0) return !stop.stop_requested();
  Mutex mu;
  CondVar never;
  const MutexLock lock(mu);
  never.WaitUntil(mu, stop, std::chrono::steady_clock::now() + time, [] { return false; });
  return !stop.stop_requested();
}

}  // namespace

Result<std::unique_ptr<Simulated>> Simulated::Open(SimulatedOptions options, Rng& rng) {
  ASSIGN_OR_RETURN(std::string boot_id, process::ReadKernelFile("/proc/sys/kernel/random/boot_id"));
  while (!boot_id.empty() && boot_id.back() == '\n') boot_id.pop_back();
  std::unique_ptr<Simulated> driver(new Simulated(std::move(options), rng, std::move(boot_id)));
  Capabilities& capabilities = driver->capabilities_;
  capabilities.name = "simulated";
  capabilities.version = "1";
  capabilities.state_format = kStateFormat;
  capabilities.accelerator = "none";
  capabilities.snapshot_full = true;
  capabilities.snapshot_of_fork = true;
  capabilities.pause_method = PauseMethod::kCopy;
  capabilities.concurrent_restores_max = driver->options_.concurrent_restores_max;
  capabilities.memory_bytes_min = 1;
  capabilities.memory_bytes_step = 4096;  // a page, as a hypervisor without rules of its own has it
  capabilities.cpus_max = 64;
  return driver;
}

Status Simulated::Check(const MachineSpec& spec) const {
  std::vector<Cause> causes;
  if (spec.memory_bytes < capabilities_.memory_bytes_min) {
    causes.push_back({"FieldValueInvalid", "spec.memory", "must be positive"});
  }
  if (spec.cpus < 1 || spec.cpus > capabilities_.cpus_max) {
    causes.push_back({"FieldValueInvalid", "spec.cpus", "must be 1 to 64"});
  }
  if (spec.boot.has_value() == spec.restore.has_value()) {
    causes.push_back(
        {"FieldValueInvalid", "spec.boot", "a machine has either a boot source or a snapshot"});
  }
  if (spec.restore.has_value() && spec.restore->state_format != kStateFormat) {
    causes.push_back({"FieldValueInvalid", "spec.restoreFrom",
                      "the snapshot's state is '" + spec.restore->state_format +
                          "', this host loads '" + kStateFormat + "'"});
  }
  if (causes.empty()) return OkStatus();
  std::string message = causes[0].field + ": " + causes[0].message;
  return Invalid(std::move(message), std::move(causes));
}

Status Simulated::Do(const std::string& operation, const std::string& uid,
                     const std::function<Status()>& effect) {
  ASSIGN_OR_RETURN(const BusySet::Claim claim, busy_.Take(uid, operation));
  std::optional<SimulatedFailure> failure;
  if (options_.failure) failure = options_.failure(operation, uid);
  if (failure.has_value() && !failure->after_effect) return failure->error;
  RETURN_IF_ERROR(effect());
  if (failure.has_value()) return failure->error;
  return OkStatus();
}

Lookup<Simulated::Machine> Simulated::Read(const MachineRef& ref) const {
  auto root = storage::OpenDirectory(ref.directory);
  if (!root.ok() && root.error().code == Code::kNotFound) return std::optional<Machine>();
  if (!root.ok()) return std::move(root).error();
  auto file = storage::OpenBeneath(root->get(), kFileName, O_RDONLY | O_NOFOLLOW);
  if (!file.ok() && file.error().code == Code::kNotFound) return std::optional<Machine>();
  if (!file.ok()) return std::move(file).error();
  ASSIGN_OR_RETURN(const std::string text, ReadAll(file->get(), kStateBytesMax, kFileName));
  try {
    const Json json = Json::parse(text);
    Machine machine;
    machine.state = static_cast<MachineState>(json.at("state").get<int>());
    machine.process = {json.at("pid").get<pid_t>(), json.at("startTicks").get<std::uint64_t>(),
                       json.at("bootID").get<std::string>()};
    machine.restored = json.at("restored").get<bool>();
    machine.memory_bytes = json.at("memoryBytes").get<std::uint64_t>();
    for (const Json& item : json.at("interfaces")) {
      machine.interfaces.emplace_back(item.at(0).get<std::string>(), item.at(1).get<std::string>());
    }
    if (machine.process.boot_id != boot_id_) return std::optional<Machine>();
    return std::optional(std::move(machine));
  } catch (const Json::exception& e) {
    return Internal(std::string(kFileName) + " in " + ref.directory + ": " + e.what());
  }
}

Status Simulated::Write(const MachineRef& ref, const Machine& machine) const {
  Json json = {{"state", static_cast<int>(machine.state)},
               {"pid", machine.process.pid},
               {"startTicks", machine.process.start_ticks},
               {"bootID", machine.process.boot_id},
               {"restored", machine.restored},
               {"memoryBytes", machine.memory_bytes},
               {"interfaces", Json::array()}};
  for (const auto& [name, mac] : machine.interfaces) {
    json["interfaces"].push_back(Json::array({name, mac}));
  }
  ASSIGN_OR_RETURN(const UniqueFd root, storage::OpenDirectory(ref.directory));
  const std::string text = json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  return storage::WriteAtomically(root.get(), kFileName, text, 0600, options_.durable);
}

Status Simulated::Remove(const MachineRef& ref) const {
  auto root = storage::OpenDirectory(ref.directory);
  if (!root.ok()) {
    return root.error().code == Code::kNotFound ? OkStatus() : Status(std::move(root).error());
  }
  if (::unlinkat(root->get(), kFileName, 0) != 0 && errno != ENOENT) {
    return FromErrno(errno, "remove " + ref.directory + "/" + kFileName);
  }
  return OkStatus();
}

Result<process::ProcessRecord> Simulated::Launch(const MachineSpec& spec,
                                                 const std::stop_token& stop) {
  RETURN_IF_ERROR(Check(spec));
  Machine machine;
  RETURN_IF_ERROR(Do("launch", spec.ref.uid, [&]() -> Status {
    ASSIGN_OR_RETURN(const auto before, Read(spec.ref));
    if (before.has_value()) return Exists("machine " + spec.ref.uid + " has a process");
    if (!Wait(options_.latency.spawn, stop)) return Cancelled("launch " + spec.ref.uid);
    machine.state = spec.boot.has_value() ? MachineState::kRunning : MachineState::kLoading;
    machine.process = {kPidBase + static_cast<pid_t>(rng_.Below(1U << 22U)), rng_.Next() >> 1U,
                       boot_id_};
    machine.restored = spec.restore.has_value();
    machine.memory_bytes = spec.memory_bytes;
    for (const Interface& interface : spec.interfaces) {
      machine.interfaces.emplace_back(interface.name, interface.mac);
    }
    return Write(spec.ref, machine);
  }));
  return machine.process;
}

Status Simulated::Move(const MachineRef& ref, MachineState to,
                       std::initializer_list<MachineState> from) {
  ASSIGN_OR_RETURN(auto machine, Read(ref));
  if (!machine.has_value()) return NotFound("machine " + ref.uid + " has no process");
  if (machine->state == to) return OkStatus();
  if (std::find(from.begin(), from.end(), machine->state) == from.end()) {
    return Conflict(fmt::format("machine {} is {}", ref.uid, ToString(machine->state)));
  }
  machine->state = to;
  return Write(ref, *machine);
}

Status Simulated::Load(const MachineRef& ref, const RestoreSource& source,
                       const std::stop_token& stop) {
  return Do("load", ref.uid, [&]() -> Status {
    ASSIGN_OR_RETURN(const auto machine, Read(ref));
    if (machine.has_value() && machine->state != MachineState::kLoading) {
      return Conflict("load " + ref.uid + ": it does not wait for a load");
    }
    const UniqueFd state(::open(source.state_path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!state.valid()) return FromErrno(errno, "open " + source.state_path);
    if (!Wait(options_.latency.load, stop)) return Cancelled("load " + ref.uid);
    return Move(ref, MachineState::kPaused, {MachineState::kLoading});
  });
}

Status Simulated::Resume(const MachineRef& ref) {
  return Do("resume", ref.uid, [&]() -> Status {
    Wait(options_.latency.resume, {});
    return Move(ref, MachineState::kRunning, {MachineState::kPaused});
  });
}

Status Simulated::Pause(const MachineRef& ref) {
  return Do("pause", ref.uid,
            [&] { return Move(ref, MachineState::kPaused, {MachineState::kRunning}); });
}

Result<Capture> Simulated::Snapshot(const MachineRef& ref, const std::string& directory,
                                    const std::stop_token& stop) {
  Capture capture;
  RETURN_IF_ERROR(Do(kCapturing, ref.uid, [&] { return Save(ref, directory, stop, &capture); }));
  return capture;
}

Status Simulated::Save(const MachineRef& ref, const std::string& directory,
                       const std::stop_token& stop, Capture* capture) {
  ASSIGN_OR_RETURN(const auto machine, Read(ref));
  if (!machine.has_value()) return NotFound("machine " + ref.uid + " has no process");
  if (machine->state != MachineState::kRunning) {
    return Conflict(fmt::format("snapshot {}: it is {}", ref.uid, ToString(machine->state)));
  }
  ASSIGN_OR_RETURN(const UniqueFd folder, storage::OpenDirectory(directory));
  const auto start = std::chrono::steady_clock::now();
  RETURN_IF_ERROR(Move(ref, MachineState::kPaused, {MachineState::kRunning}));
  const bool waited = Wait(options_.latency.capture_pause, stop);
  const std::string state = "simulated state of " + ref.uid + "\n";
  Status saved = storage::WriteAtomically(folder.get(), "state", state, 0600, options_.durable);
  RETURN_IF_ERROR(Move(ref, MachineState::kRunning, {MachineState::kPaused}));
  const auto pause = std::chrono::steady_clock::now() - start;
  RETURN_IF_ERROR(std::move(saved));
  if (!waited) return Cancelled("snapshot " + ref.uid);
  // A few bytes stand for the whole memory, so that 100 000 snapshots fit.
  ASSIGN_OR_RETURN(capture->memory, storage::MakeMemfd("forkplane-simulated", 4096));
  capture->files = {"state"};
  capture->pause = std::chrono::duration_cast<std::chrono::microseconds>(pause);
  capture->memory_bytes = machine->memory_bytes;
  capture->state_bytes = state.size();
  capture->interfaces = machine->interfaces;
  return OkStatus();
}

Result<Observation> Simulated::Query(const MachineRef& ref) {
  Observation observation;
  ASSIGN_OR_RETURN(const auto machine, Read(ref));
  if (!machine.has_value()) return observation;
  observation.state = machine->state;
  observation.process = machine->process;
  observation.restored = machine->restored;
  observation.capturing = busy_.What(ref.uid) == kCapturing;
  return observation;
}

Status Simulated::AskPowerOff(const MachineRef& ref) {
  return Do("power off", ref.uid, [&]() -> Status {
    ASSIGN_OR_RETURN(const auto machine, Read(ref));
    if (!machine.has_value()) return NotFound("machine " + ref.uid + " has no process");
    const bool runs = machine->state == MachineState::kRunning;
    const bool obeys = !options_.obeys_power_button || options_.obeys_power_button(ref.uid);
    return runs && obeys ? Crash(ref) : OkStatus();
  });
}

Status Simulated::Quit(const MachineRef& ref) {
  return Do("quit", ref.uid, [&]() -> Status { return Crash(ref); });
}

Status Simulated::Crash(const MachineRef& ref) {
  ASSIGN_OR_RETURN(const auto machine, Read(ref));
  RETURN_IF_ERROR(Remove(ref));
  if (machine.has_value()) on_exit_->Call(ref.uid);
  return OkStatus();
}

Result<bool> Simulated::Adopt(const MachineRef& ref, const process::ProcessRecord& record) {
  ASSIGN_OR_RETURN(const auto machine, Read(ref));
  return machine.has_value() && machine->process == record;
}

std::vector<std::string> Simulated::ConsoleTail(const MachineRef& /*ref*/,
                                                std::size_t /*lines_max*/) {
  return {};
}

std::shared_ptr<void> Simulated::OnExit(std::function<void(const std::string& uid)> callback) {
  return on_exit_->Listen(std::move(callback));
}

}  // namespace forkplane::vmm
