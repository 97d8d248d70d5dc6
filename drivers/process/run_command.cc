#include "drivers/process/run_command.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <csignal>

#include <array>
#include <cerrno>

#include "controller/base/unique_fd.h"

namespace forkplane::process {
namespace {

using SteadyTime = std::chrono::steady_clock::time_point;

Result<pid_t> Start(const CommandSpec& spec, int output) {
  std::vector<char*> argv;
  argv.reserve(spec.argv.size() + 1);
  for (const std::string& argument : spec.argv) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, output, 1);
  posix_spawn_file_actions_adddup2(&actions, output, 2);
  if (!spec.directory.empty()) {
    posix_spawn_file_actions_addchdir_np(&actions, spec.directory.c_str());
  }
  // The daemon blocks or ignores signals that a child must see as a shell's child would.
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none;
  sigemptyset(&none);
  sigset_t all;
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  pid_t pid = 0;
  const int error = ::posix_spawnp(&pid, argv[0], &actions, &attributes, argv.data(), ::environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) return FromErrno(error, "run " + spec.argv[0]);
  return pid;
}

// Reads until end of file (true) or the deadline (false).
bool Collect(int fd, SteadyTime deadline, std::size_t bytes_max, std::string* text) {
  std::array<char, 8192> buffer{};
  while (true) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0) return false;
    pollfd readable{fd, POLLIN, 0};
    if (::poll(&readable, 1, static_cast<int>(left.count())) <= 0) continue;
    const ssize_t n = ::read(fd, buffer.data(), buffer.size());
    if (n == 0 || (n < 0 && errno != EINTR)) return true;
    if (n > 0 && text->size() < bytes_max) {
      text->append(buffer.data(), std::min(static_cast<std::size_t>(n), bytes_max - text->size()));
    }
  }
}

std::string LastLine(const std::string& text) {
  const std::size_t end = text.find_last_not_of("\r\n");
  if (end == std::string::npos) return "no output";
  const std::size_t start = text.find_last_of('\n', end);
  return text.substr(start == std::string::npos ? 0 : start + 1,
                     end - (start == std::string::npos ? 0 : start + 1) + 1);
}

}  // namespace

Result<CommandResult> RunCommand(const CommandSpec& spec) {
  if (spec.argv.empty()) return Invalid("no command given");
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return FromErrno(errno, "make a pipe");
  const UniqueFd reader(ends[0]);
  UniqueFd writer(ends[1]);
  ASSIGN_OR_RETURN(const pid_t pid, Start(spec, writer.get()));
  writer.Reset();
  CommandResult result;
  const SteadyTime deadline = std::chrono::steady_clock::now() + spec.timeout;
  result.timed_out = !Collect(reader.get(), deadline, spec.output_bytes_max, &result.output);
  if (!result.timed_out) {
    // It closed its output; it must also end in time.
    const UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    pollfd ended{pidfd.get(), POLLIN, 0};
    result.timed_out =
        pidfd.valid() &&
        ::poll(&ended, 1, static_cast<int>(std::max<std::int64_t>(left.count(), 0))) == 0;
  }
  if (result.timed_out) ::kill(pid, SIGKILL);
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status)) result.exit_code = WEXITSTATUS(status);
  return result;
}

Result<std::string> RunCommandOk(const CommandSpec& spec) {
  ASSIGN_OR_RETURN(CommandResult result, RunCommand(spec));
  if (result.timed_out) return Unavailable("run " + spec.argv[0] + ": no end within its time");
  if (result.exit_code != 0) {
    return Unavailable(fmt::format("run {}: exit {}: {}", spec.argv[0], result.exit_code,
                                   LastLine(result.output)));
  }
  return std::move(result.output);
}

}  // namespace forkplane::process
