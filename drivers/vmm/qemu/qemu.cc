// Opening, launching and ending machines; what runs on a running one is in operations.cc.
#include "drivers/vmm/qemu/qemu.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "controller/base/log.h"
#include "drivers/process/run_in_private_root.h"
#include "drivers/storage/beneath.h"
#include "drivers/storage/unix_socket.h"
#include "drivers/template_holder.h"
#include "drivers/vmm/qemu/bounds.h"

namespace forkplane::vmm {
namespace {

using std::chrono::seconds;

constexpr std::uint64_t kMemoryMin = 96 * kMiB;
constexpr seconds kUpPatience{20};
constexpr char kVersionOwner[] = "qemu-version";

// "QEMU emulator version 7.2.22 (Debian ...)" -> "7.2.22".
std::string ParseVersion(const std::string& text) {
  const std::size_t at = text.find("version ");
  if (at == std::string::npos) return "";
  return text.substr(at + 8, text.find_first_not_of("0123456789.", at + 8) - at - 8);
}

bool IsOldVersion(const std::string& version) {
  int major = 0;
  int minor = 0;
  if (std::sscanf(version.c_str(), "%d.%d", &major, &minor) != 2) return true;
  return major < 7 || (major == 7 && minor < 2);
}

// Whether machines run on KVM.
Result<bool> ChooseKvm(const QemuOptions& options, process::ProcessDriver& processes) {
  const std::string& accelerator = options.accelerator;
  if (accelerator == "tcg") return false;
  if (accelerator == "kvm") return true;
  if (accelerator != "auto") {
    return Invalid("accelerator must be auto, tcg or kvm: '" + accelerator + "'");
  }
  ASSIGN_OR_RETURN(const KvmAnswer kvm, ProbeKvm(processes, options.kvm_probe));
  if (!kvm.runs) {
    log::Warn("guests are emulated (TCG), many times slower than with KVM",
              {{"why", kvm.why}, {"remedy", kvm.remedy}});
  }
  return kvm.runs;
}

// As a VMM: a file that only root may read or execute shows here and not at the first machine.
Result<std::string> AskVersion(const QemuOptions& options, const std::vector<process::Bind>& binds,
                               process::ProcessDriver& processes) {
  process::PrivateCommand command;
  command.owner = kVersionOwner;
  command.executable = options.binary;
  command.arguments = {"--version"};
  command.binds = binds;
  command.user = options.kvm_probe.user;
  command.group = options.kvm_probe.group;
  ASSIGN_OR_RETURN(const process::CommandResult ran, process::RunInPrivateRoot(processes, command));
  if (ran.exit_code == 0) return ParseVersion(ran.output);
  return Unavailable(fmt::format("{} --version in a private root, as uid {}: {}", options.binary,
                                 command.user,
                                 ran.timed_out ? "no end within its time" : ran.output));
}

// A guest that prints without end must not fill the host's disk: its console ends here, as does
// what QEMU itself prints. The state file of a capture, devices only, is far below.
constexpr std::uint64_t kVmmFileBytesMax = std::uint64_t{64} << 20U;

// Made by us and owned by the machine's user: the directory itself is not writable for it.
Status MakeConsole(const MachineSpec& spec) {
  ASSIGN_OR_RETURN(const UniqueFd directory, storage::OpenDirectory(spec.ref.directory));
  const UniqueFd file(::openat(directory.get(), "console",
                               O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0640));
  if (!file.valid()) return FromErrno(errno, "make console of " + spec.ref.uid);
  if (::fchown(file.get(), spec.user, spec.group) != 0) {
    return FromErrno(errno, "chown console of " + spec.ref.uid);
  }
  return OkStatus();
}

struct TemplateSize {
  std::uint64_t bytes = 0;
  std::uint64_t hole_bytes = 0;  // without pages so far
};

Result<TemplateSize> SizeOfTemplate(int memory_fd) {
  struct stat info {};
  if (::fstat(memory_fd, &info) != 0) return FromErrno(errno, "stat the template");
  const auto bytes = static_cast<std::uint64_t>(info.st_size);
  const auto held = static_cast<std::uint64_t>(info.st_blocks) * 512;
  return TemplateSize{bytes, bytes - std::min(bytes, held)};
}

Status CheckTemplate(const RestoreSource& source, std::uint64_t memory_bytes) {
  ASSIGN_OR_RETURN(const TemplateSize size, SizeOfTemplate(source.memory_fd));
  if (!storage::IsSealed(source.memory_fd)) return Invalid("the template's memory is not sealed");
  if (size.bytes != memory_bytes) {
    return Invalid("spec.memory differs from the snapshot's memory");
  }
  return OkStatus();
}

// More virtual CPUs than the host has are slower than fewer: they wait for one another.
int KvmCpusMax() {
  constexpr long kCpusMax = 16;
  return static_cast<int>(std::clamp(::sysconf(_SC_NPROCESSORS_ONLN), 1L, kCpusMax));
}

}  // namespace

Result<std::unique_ptr<Qemu>> Qemu::Open(QemuOptions options, process::ProcessDriver* processes) {
  if (::access(options.binary.c_str(), X_OK) != 0) {
    return NotFound(options.binary + " is not there: apt-get install qemu-system-x86");
  }
  std::unique_ptr<Qemu> driver(new Qemu(std::move(options), processes));
  const std::string& binary = driver->options_.binary;
  ASSIGN_OR_RETURN(driver->binds_, process::BindsOf(binary));
  // Firmware, and accelerators that Debian builds as modules.
  for (const char* folder :
       {"/usr/share/qemu", "/usr/share/seabios", "/usr/lib/x86_64-linux-gnu/qemu"}) {
    if (std::filesystem::is_directory(folder)) driver->binds_.push_back({folder, folder, false});
  }
  ASSIGN_OR_RETURN(const std::string version,
                   AskVersion(driver->options_, driver->binds_, *processes));
  if (IsOldVersion(version)) return Invalid(binary + " is older than 7.2: '" + version + "'");
  ASSIGN_OR_RETURN(driver->tsc_khz_, MeasureTscKhz());
  ASSIGN_OR_RETURN(const bool kvm, ChooseKvm(driver->options_, *processes));
  Capabilities& capabilities = driver->capabilities_;
  capabilities.name = "qemu";
  capabilities.version = version;
  capabilities.accelerator = kvm ? "kvm" : "tcg";
  capabilities.state_format =
      fmt::format("qemu-{}-microvm-{}-1", version, kvm ? "kvm-host" : "tcg-max");
  capabilities.snapshot_full = true;
  capabilities.pause_method = PauseMethod::kCopy;
  capabilities.passes_tap_fd = true;
  capabilities.needs_tap = true;
  capabilities.needs_template = true;
  capabilities.memory_bytes_min = kMemoryMin;
  capabilities.memory_bytes_step = kMiB;
  capabilities.cpus_max = kvm ? KvmCpusMax() : 1;
  return driver;
}

Status Qemu::Check(const MachineSpec& spec) const {
  std::vector<Cause> causes;
  const auto refuse = [&](const char* field, std::string message) {
    causes.push_back({"FieldValueInvalid", field, std::move(message)});
  };
  if (spec.memory_bytes < kMemoryMin) {
    refuse("spec.memory", fmt::format("{} MiB is too little: a Linux guest needs 96Mi or more with "
                                      "this hypervisor, with less it dies while it boots",
                                      spec.memory_bytes / kMiB));
  } else if (spec.memory_bytes % kMiB != 0) {
    refuse("spec.memory", "must be a whole number of MiB");
  }
  if (spec.cpus < 1 || spec.cpus > capabilities_.cpus_max) {
    refuse("spec.cpus", fmt::format("must be 1 to {} with this hypervisor ({})",
                                    capabilities_.cpus_max, capabilities_.accelerator));
  }
  if (spec.boot.has_value() == spec.restore.has_value()) {
    refuse("spec.boot", "a machine has either a boot source or a snapshot");
  }
  if (spec.restore.has_value() && spec.restore->state_format != capabilities_.state_format) {
    refuse("spec.restoreFrom", fmt::format("the snapshot's state is '{}', this host loads '{}'",
                                           spec.restore->state_format, capabilities_.state_format));
  }
  for (const Interface& interface : spec.interfaces) {
    if (interface.mac.find_first_not_of("0123456789abcdef:") != std::string::npos) {
      refuse("spec.interfaces", "'" + interface.mac + "' is not a MAC address");
    }
  }
  if (causes.empty()) return OkStatus();
  std::string message = causes[0].field + ": " + causes[0].message;
  return Invalid(std::move(message), std::move(causes));
}

Result<process::ProcessRecord> Qemu::Launch(const MachineSpec& spec, const std::stop_token& stop) {
  RETURN_IF_ERROR(Check(spec));
  ASSIGN_OR_RETURN(const BusySet::Claim claim, busy_.Take(spec.ref.uid, "launch"));
  UniqueFd own_memory;
  int memory = -1;
  if (spec.restore.has_value()) {
    RETURN_IF_ERROR(CheckTemplate(*spec.restore, spec.memory_bytes));
    memory = spec.restore->memory_fd;
  } else {
    ASSIGN_OR_RETURN(own_memory, storage::MakeMemfd("forkplane-memory", spec.memory_bytes));
    memory = own_memory.get();
  }
  ASSIGN_OR_RETURN(const process::ProcessRecord record, Begin(spec, memory));
  RETURN_IF_ERROR(WatchExit(spec.ref.uid, record));
  if (spec.restore.has_value() || stop.stop_requested()) return record;
  // A bad kernel or a refused option ends the process at once; say so here and not later.
  const auto deadline = std::chrono::steady_clock::now() + kUpPatience;
  Status up = [&]() -> Status {
    ASSIGN_OR_RETURN(Qmp qmp, Qmp::Connect(spec.ref.directory, "health", deadline));
    ASSIGN_OR_RETURN(const std::string status, qmp.QueryStatus(deadline));
    if (status != "running") return Internal("status after start is " + status);
    return OkStatus();
  }();
  if (up.ok()) return record;
  Error error = Explain(std::move(up).error().WithContext("boot " + spec.ref.uid), spec.ref);
  RETURN_IF_ERROR(processes_->Kill(spec.ref.uid));
  return error;
}

Result<process::ProcessRecord> Qemu::Begin(const MachineSpec& spec, int memory_fd) {
  const std::string& directory = spec.ref.directory;
  ASSIGN_OR_RETURN(const process::Observed before, processes_->Observe(spec.ref.uid));
  // Before anything in the directory is replaced under a live machine.
  if (!before.running.empty()) return Exists("machine " + spec.ref.uid + " has a process");
  const bool restore = spec.restore.has_value();
  const bool initramfs = !restore && spec.boot->initramfs_fd >= 0;
  const QemuFds layout = LayOutFds(spec.interfaces.size(), restore, initramfs);
  QemuCommand command{.uid = spec.ref.uid,
                      .kvm = capabilities_.accelerator == "kvm",
                      .cpus = spec.cpus,
                      .memory_bytes = spec.memory_bytes,
                      .macs = {},
                      .restore = restore,
                      .cmdline = restore ? "" : spec.boot->cmdline,
                      .tsc_khz = tsc_khz_};
  MachineFile machine{.uid = spec.ref.uid,
                      .hypervisor = capabilities_.name,
                      .version = capabilities_.version,
                      .state_format = capabilities_.state_format,
                      .restored = restore,
                      .cpus = spec.cpus,
                      .memory_bytes = spec.memory_bytes,
                      .memory_fd = layout.memory,
                      .interfaces = {}};
  RETURN_IF_ERROR(MakeConsole(spec));
  ASSIGN_OR_RETURN(const UniqueFd control, storage::ListenAt(directory, "control"));
  ASSIGN_OR_RETURN(const UniqueFd health, storage::ListenAt(directory, "health"));
  process::SpawnSpec spawn;
  spawn.fds = {control.get(), health.get(), memory_fd};
  for (const Interface& interface : spec.interfaces) {
    command.macs.push_back(interface.mac);
    machine.interfaces.emplace_back(interface.name, interface.mac);
    spawn.fds.push_back(interface.tap_fd);
  }
  if (!restore) spawn.fds.push_back(spec.boot->kernel_fd);
  if (initramfs) spawn.fds.push_back(spec.boot->initramfs_fd);
  RETURN_IF_ERROR(WriteMachineFile(directory, machine));
  TemplateSize source;
  if (restore) {
    ASSIGN_OR_RETURN(source, SizeOfTemplate(memory_fd));
  }
  spawn.bounds = QemuBounds(spec.memory_bytes, source.hole_bytes);
  spawn.oom_score_adj = kQemuOomScoreAdj;
  spawn.owner = spec.ref.uid;
  spawn.executable = options_.binary;
  spawn.arguments = QemuArguments(command, layout);
  spawn.directory = directory;
  spawn.binds = binds_;
  if (command.kvm) spawn.devices = {kKvmDevice};
  spawn.user = spec.user;
  spawn.group = spec.group;
  spawn.file_bytes_max = kVmmFileBytesMax;
  return processes_->Spawn(spawn);
}

Status Qemu::WatchExit(const std::string& uid, const process::ProcessRecord& record) {
  return processes_->Watch(
      uid, record, [hook = on_exit_](const std::string& owner, const auto&) { hook->Call(owner); });
}

std::shared_ptr<void> Qemu::OnExit(std::function<void(const std::string& uid)> callback) {
  return on_exit_->Listen(std::move(callback));
}

Status Qemu::Quit(const MachineRef& ref) {
  ASSIGN_OR_RETURN(const BusySet::Claim claim, busy_.Take(ref.uid, "quit"));
  return processes_->Kill(ref.uid);
}

Result<bool> Qemu::Adopt(const MachineRef& ref, const process::ProcessRecord& record) {
  ASSIGN_OR_RETURN(const bool alive, processes_->IsAlive(ref.uid, record));
  if (!alive) return false;
  const auto deadline = std::chrono::steady_clock::now() + seconds(5);
  ASSIGN_OR_RETURN(Qmp qmp, Qmp::Connect(ref.directory, "health", deadline));
  ASSIGN_OR_RETURN(const nlohmann::json name, qmp.Execute("query-name", deadline));
  const auto found = name.find("name");
  if (found == name.end() || *found != ref.uid) return false;
  RETURN_IF_ERROR(WatchExit(ref.uid, record));
  return true;
}

}  // namespace forkplane::vmm
