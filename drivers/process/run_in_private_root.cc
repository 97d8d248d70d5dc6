#include "drivers/process/run_in_private_root.h"

#include <fcntl.h>
#include <unistd.h>

#include <memory>
#include <optional>

#include "controller/base/mutex.h"
#include "controller/base/unique_fd.h"
#include "drivers/process/scratch_directory.h"

namespace forkplane::process {
namespace {

constexpr char kOutputName[] = "output";
constexpr std::size_t kOutputBytesMax = 1U << 16U;
constexpr std::uint64_t kPidsMax = 16;

// How a process ended, set by a thread of the driver for the one that waits.
class Ending {
 public:
  void Set(const ExitInfo& exit) EXCLUDES(mu_) {
    {
      const MutexLock lock(mu_);
      exit_ = exit;
    }
    changed_.NotifyAll();
  }
  // nullopt: not within that time.
  std::optional<ExitInfo> Wait(std::chrono::milliseconds patience) EXCLUDES(mu_) {
    const auto deadline = std::chrono::steady_clock::now() + patience;
    const MutexLock lock(mu_);
    changed_.WaitUntil(mu_, std::stop_token(), deadline,
                       [this]() NO_THREAD_SAFETY_ANALYSIS { return exit_.has_value(); });
    return exit_;
  }

 private:
  Mutex mu_;
  CondVar changed_;
  std::optional<ExitInfo> exit_ GUARDED_BY(mu_);
};

Result<std::string> ReadOutput(const std::string& path) {
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) return FromErrno(errno, "open " + path);
  std::string text(kOutputBytesMax, '\0');
  const ssize_t length = ::pread(file.get(), text.data(), text.size(), 0);
  if (length < 0) return FromErrno(errno, "read " + path);
  text.resize(static_cast<std::size_t>(length));
  return text;
}

// Begun, waited for and read; the caller ends what is left.
Result<CommandResult> RunToEnd(ProcessDriver& processes, const SpawnSpec& spec,
                               std::chrono::milliseconds patience) {
  ASSIGN_OR_RETURN(const ProcessRecord record, processes.Spawn(spec));
  const auto ending = std::make_shared<Ending>();
  RETURN_IF_ERROR(processes.Watch(
      spec.owner, record, [ending](const auto&, const ExitInfo& exit) { ending->Set(exit); }));
  const auto exit = ending->Wait(patience);
  CommandResult result;
  result.timed_out = !exit.has_value();
  if (exit.has_value()) result.exit_code = exit->code;
  ASSIGN_OR_RETURN(result.output, ReadOutput(spec.directory + "/" + spec.output_file));
  return result;
}

}  // namespace

Result<CommandResult> RunInPrivateRoot(ProcessDriver& processes, const PrivateCommand& command) {
  RETURN_IF_ERROR(processes.Kill(command.owner));
  ASSIGN_OR_RETURN(const ScratchDirectory directory, ScratchDirectory::Make());
  SpawnSpec spec;
  spec.owner = command.owner;
  spec.executable = command.executable;
  spec.arguments = command.arguments;
  spec.directory = directory.path();
  spec.output_file = kOutputName;
  spec.binds = command.binds;
  spec.devices = command.devices;
  spec.user = command.user;
  spec.group = command.group;
  spec.file_bytes_max = kOutputBytesMax;
  spec.bounds.pids_max = kPidsMax;
  auto result = RunToEnd(processes, spec, command.timeout);
  RETURN_IF_ERROR(processes.Kill(command.owner));
  return result;
}

}  // namespace forkplane::process
