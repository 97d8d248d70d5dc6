#include "tests/support/measured_child.h"

#include <malloc.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <new>
#include <string>

#include "controller/base/check.h"

namespace forkplane::testing {
namespace {

// A figure of /proc/self/status ("VmHWM:"), in bytes.
std::size_t StatusBytes(const std::string& name) {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    std::size_t kib = 0;
    if (word == name && status >> kib) return kib * 1024;
  }
  return 0;
}

void Limit(const ChildLimits& limits) {
  if (limits.cpu_seconds > 0) {
    const auto seconds = static_cast<rlim_t>(limits.cpu_seconds);
    const rlimit limit{seconds, seconds};
    CHECK(::setrlimit(RLIMIT_CPU, &limit) == 0);
  }
  if (limits.address_space_bytes > 0) {
    const rlim_t bytes = StatusBytes("VmSize:") + limits.address_space_bytes;
    const rlimit limit{bytes, bytes};
    CHECK(::setrlimit(RLIMIT_AS, &limit) == 0);
  }
}

}  // namespace

MeasuredChild RunMeasured(const std::function<int()>& body, const ChildLimits& limits) {
  void* shared = ::mmap(nullptr, sizeof(std::size_t), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  CHECK(shared != MAP_FAILED);
  auto* growth = new (shared) std::size_t(0);
  const pid_t child = ::fork();
  CHECK(child >= 0);
  if (child == 0) {
    ::malloc_trim(0);  // what the parent freed must not hide what the child takes
    Limit(limits);
    std::ofstream("/proc/self/clear_refs") << "5";  // VmHWM begins anew
    const std::size_t before = StatusBytes("VmRSS:");
    const int code = body();
    const std::size_t peak = StatusBytes("VmHWM:");
    *growth = peak > before ? peak - before : 0;
    ::_exit(code);
  }
  int status = 0;
  CHECK(::waitpid(child, &status, 0) == child);
  const MeasuredChild measured{WIFEXITED(status) && WEXITSTATUS(status) == 0,
                               WIFSIGNALED(status) ? WTERMSIG(status) : 0, *growth};
  ::munmap(shared, sizeof(std::size_t));
  return measured;
}

}  // namespace forkplane::testing
