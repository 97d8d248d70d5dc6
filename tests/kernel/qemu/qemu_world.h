// Everything a test with real guests needs: drivers on a temporary directory, a cgroup folder of
// its own, the guest image from the build's cache (downloaded on first use), a network namespace.
#pragma once

#include <memory>
#include <string>

#include "drivers/process/process.h"
#include "drivers/storage/host_storage.h"
#include "drivers/storage/process_template_holder.h"
#include "drivers/vmm/qemu/qemu.h"
#include "tests/support/tempdir.h"

namespace forkplane::testing {

inline constexpr uid_t kHelper = 64100;  // of template holders and probes
inline constexpr uid_t kUser = 64101;
inline constexpr std::uint64_t kMemoryBytes = 96ULL << 20U;

class QemuWorld {
 public:
  // An error says which requirement is missing: the test skips with it.
  static Result<std::unique_ptr<QemuWorld>> Make();
  // Machines run on KVM where a VMM's user may, as the daemon's do.
  static vmm::QemuOptions Options();
  // Ends every process it began and removes its cgroups; what could not be removed is reported.
  Status Clear();

  // A machine directory and a spec without its source.
  Result<vmm::MachineSpec> NewMachine(const std::string& uid, int tap_fd);
  // Opens the guest's kernel and initramfs into the spec; they live as long as this object.
  Status BootFromGuest(vmm::MachineSpec* spec);

  std::unique_ptr<process::HostProcessDriver> processes;
  std::unique_ptr<storage::HostStorage> storage;
  std::unique_ptr<storage::ProcessTemplateHolder> templates;
  std::unique_ptr<vmm::Qemu> qemu;

 private:
  TempDir dir_;
  UniqueFd kernel_;
  UniqueFd initramfs_;
};

}  // namespace forkplane::testing
