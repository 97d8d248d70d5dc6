// The process that asks KVM, begun by ProbeKvm.
#include "drivers/vmm/qemu/kvm_probe.h"

#if defined(__x86_64__)

#include <fcntl.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <csignal>
#include <ctime>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>

#include "controller/base/unique_fd.h"

namespace forkplane::vmm {
namespace {

constexpr std::size_t kMemoryBytes = 1U << 21U;
constexpr std::uint64_t kTables = 0x1000;  // three pages: PML4, PDPT, PD with one 2 MiB page
constexpr std::uint64_t kCode = 0x10000;
constexpr std::uint64_t kData = 0x20000;
constexpr std::int64_t kBudgetNanoseconds = 300'000'000;
constexpr std::uint8_t kProofPort = 0x42;

// mov ecx, 4000000 / loop: dec ecx, jnz / lock cmpxchg16b [rdi] / out 0x42, al / hlt
constexpr std::array<std::uint8_t, 19> kProgram = {0xb9, 0x00,       0x09, 0x3d, 0x00, 0xff, 0xc9,
                                                   0x75, 0xfc,       0xf0, 0x48, 0x0f, 0xc7, 0x0f,
                                                   0xe6, kProofPort, 0xf4, 0xf4, 0xf4};

class Mapping {
 public:
  Mapping(int fd, std::size_t size)
      : size_(size),
        at_(::mmap(nullptr, size, PROT_READ | PROT_WRITE,
                   fd < 0 ? MAP_SHARED | MAP_ANONYMOUS : MAP_SHARED, fd, 0)) {}
  ~Mapping() {
    if (at_ != MAP_FAILED) ::munmap(at_, size_);
  }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  bool valid() const { return at_ != MAP_FAILED; }
  std::uint8_t* bytes() const { return static_cast<std::uint8_t*>(at_); }

 private:
  std::size_t size_;
  void* at_;
};

void WriteGuest(std::uint8_t* memory) {
  const std::array<std::uint64_t, 3> entries = {(kTables + 0x1000) | 3, (kTables + 0x2000) | 3,
                                                0x83};  // 2 MiB page at 0, present, writable
  for (std::size_t level = 0; level < entries.size(); ++level) {
    std::memcpy(memory + kTables + level * 0x1000, &entries.at(level), sizeof(std::uint64_t));
  }
  std::memcpy(memory + kCode, kProgram.data(), kProgram.size());
}

bool SetRegisters(int vcpu) {
  kvm_sregs special{};
  if (::ioctl(vcpu, KVM_GET_SREGS, &special) != 0) return false;
  special.cr3 = kTables;
  special.cr4 |= 1U << 5U;                   // PAE
  special.cr0 |= (1U << 31U) | 1U;           // paging, protection
  special.efer |= (1U << 8U) | (1U << 10U);  // long mode enabled, active
  kvm_segment code{};
  code.limit = 0xffffffff;
  code.selector = 8;
  code.present = 1;
  code.type = 11;
  code.s = 1;
  code.l = 1;
  code.g = 1;
  special.cs = code;
  kvm_segment data = code;
  data.type = 3;
  data.selector = 16;
  data.l = 0;
  data.db = 1;
  special.ds = special.es = special.fs = special.gs = special.ss = data;
  if (::ioctl(vcpu, KVM_SET_SREGS, &special) != 0) return false;
  kvm_regs registers{};
  registers.rip = kCode;
  registers.rdi = kData;
  registers.rflags = 2;
  return ::ioctl(vcpu, KVM_SET_REGS, &registers) == 0;
}

// The timer's signal only has to interrupt KVM_RUN.
void Ignore(int) {}

class RunBudget {
 public:
  RunBudget() {
    struct sigaction action {};
    action.sa_handler = Ignore;
    ::sigaction(SIGRTMIN + 1, &action, &before_);
    sigset_t unblocked;
    sigemptyset(&unblocked);
    sigaddset(&unblocked, SIGRTMIN + 1);
    ::pthread_sigmask(SIG_UNBLOCK, &unblocked, &mask_before_);
    sigevent event{};
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = SIGRTMIN + 1;
    event._sigev_un._tid = ::gettid();
    armed_ = ::timer_create(CLOCK_MONOTONIC, &event, &timer_) == 0;
    // Repeats, so that a signal just before KVM_RUN is not the only one.
    const itimerspec when{{0, 10'000'000}, {0, kBudgetNanoseconds}};
    if (armed_) ::timer_settime(timer_, 0, &when, nullptr);
  }
  ~RunBudget() {
    if (armed_) ::timer_delete(timer_);
    ::pthread_sigmask(SIG_SETMASK, &mask_before_, nullptr);
    ::sigaction(SIGRTMIN + 1, &before_, nullptr);
  }
  RunBudget(const RunBudget&) = delete;
  RunBudget& operator=(const RunBudget&) = delete;
  bool armed() const { return armed_; }

 private:
  struct sigaction before_ {};
  sigset_t mask_before_{};
  timer_t timer_{};
  bool armed_ = false;
};

Status RunGuest(int kvm) {
  const UniqueFd vm(::ioctl(kvm, KVM_CREATE_VM, 0));
  if (!vm.valid()) return FromErrno(errno, "KVM_CREATE_VM");
  const Mapping memory(-1, kMemoryBytes);
  if (!memory.valid()) return FromErrno(errno, "map memory");
  WriteGuest(memory.bytes());
  kvm_userspace_memory_region region{};
  region.memory_size = kMemoryBytes;
  region.userspace_addr = reinterpret_cast<std::uint64_t>(memory.bytes());
  if (::ioctl(vm.get(), KVM_SET_USER_MEMORY_REGION, &region) != 0) {
    return FromErrno(errno, "KVM_SET_USER_MEMORY_REGION");
  }
  const UniqueFd vcpu(::ioctl(vm.get(), KVM_CREATE_VCPU, 0));
  const int run_bytes = ::ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
  if (!vcpu.valid() || run_bytes <= 0) return FromErrno(errno, "KVM_CREATE_VCPU");
  const Mapping shared(vcpu.get(), static_cast<std::size_t>(run_bytes));
  if (!shared.valid() || !SetRegisters(vcpu.get())) return FromErrno(errno, "set registers");
  const auto* run = reinterpret_cast<const kvm_run*>(shared.bytes());
  const RunBudget budget;
  if (!budget.armed()) return FromErrno(errno, "timer_create");
  if (::ioctl(vcpu.get(), KVM_RUN, 0) != 0) {
    if (errno != EINTR) return FromErrno(errno, "KVM_RUN");
    return Unavailable("the guest did not end within 300 ms: its instructions are emulated");
  }
  if (run->exit_reason == KVM_EXIT_IO && run->io.port == kProofPort) return OkStatus();
  return Internal(fmt::format("KVM_RUN: exit reason {}", run->exit_reason));
}

}  // namespace

int KvmProbeMain(const std::string& device) {
  const UniqueFd kvm(::open(device.c_str(), O_RDWR | O_CLOEXEC));
  Status ran = kvm.valid() ? OkStatus() : FromErrno(errno, "open " + device);
  if (ran.ok() && ::ioctl(kvm.get(), KVM_GET_API_VERSION, 0) != KVM_API_VERSION) {
    ran = Invalid("it is no KVM of API version 12");
  }
  if (ran.ok()) ran = RunGuest(kvm.get());
  fmt::print("{}\n", ran.ok() ? kRunsText : ran.error().message);
  return ran.ok() ? kRuns : kDoesNotRun;
}

}  // namespace forkplane::vmm

#else

namespace forkplane::vmm {

int KvmProbeMain(const std::string&) {
  fmt::print("the probe guest is of x86-64\n");
  return kDoesNotRun;
}

}  // namespace forkplane::vmm

#endif
