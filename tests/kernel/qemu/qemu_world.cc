#include "tests/kernel/qemu/qemu_world.h"

#include <sys/stat.h>
#include <unistd.h>

#include "drivers/guest/guest_image.h"
#include "tests/kernel/qemu/guest_network.h"

namespace forkplane::testing {

Result<std::unique_ptr<QemuWorld>> QemuWorld::Make() {
  if (::geteuid() != 0) return Unavailable("needs root");
  const std::string cache = FORKPLANE_TEST_GUEST_CACHE;
  // First: it may have to download packages, and the namespace has no way out.
  RETURN_IF_ERROR(guest::BuildGuestImage({cache, cache + "/images"}));
  RETURN_IF_ERROR(EnterNetworkNamespace());
  auto world = std::make_unique<QemuWorld>();
  // The temporary directory is 0700; VMs of other uids do not need it, they are bound in.
  ASSIGN_OR_RETURN(world->processes,
                   process::HostProcessDriver::Open(
                       {.cgroup_parent = "forkplane-test-" + std::to_string(::getpid()),
                        .mount_point = world->dir_.File("root")}));
  ASSIGN_OR_RETURN(world->storage,
                   storage::HostStorage::Open({.state_dir = world->dir_.File("state"),
                                               .image_roots = {cache + "/images"}}));
  ASSIGN_OR_RETURN(world->templates,
                   storage::ProcessTemplateHolder::Open({.directory = world->dir_.File("templates"),
                                                         .executable = FORKPLANE_TEST_HOLDER,
                                                         .arguments = {},
                                                         .user = kHelper,
                                                         .group = kHelper},
                                                        world->processes.get()));
  ASSIGN_OR_RETURN(world->qemu, vmm::Qemu::Open(QemuWorld::Options(), world->processes.get()));
  return world;
}

vmm::QemuOptions QemuWorld::Options() {
  return {.kvm_probe = {.executable = FORKPLANE_TEST_KVM_PROBE, .user = kHelper, .group = kHelper}};
}

Status QemuWorld::Clear() {
  ASSIGN_OR_RETURN(const auto owners, processes->List());
  for (const std::string& owner : owners) RETURN_IF_ERROR(processes->Kill(owner));
  return processes->RemoveCgroupFolder();
}

Result<vmm::MachineSpec> QemuWorld::NewMachine(const std::string& uid, int tap_fd) {
  RETURN_IF_ERROR(storage->CreateVmDirectory(uid, kUser));
  vmm::MachineSpec spec;
  spec.ref = {uid, storage->VmDirectory(uid)};
  spec.user = kUser;
  spec.group = kUser;
  spec.memory_bytes = kMemoryBytes;
  if (tap_fd >= 0) spec.interfaces = {{"default", kInnerMac, tap_fd}};
  return spec;
}

Status QemuWorld::BootFromGuest(vmm::MachineSpec* spec) {
  ASSIGN_OR_RETURN(kernel_, storage->OpenImage(guest::kKernelImage));
  ASSIGN_OR_RETURN(initramfs_, storage->OpenImage(guest::kInitramfsImage));
  spec->boot.emplace();
  spec->boot->kernel_fd = kernel_.get();
  spec->boot->initramfs_fd = initramfs_.get();
  spec->boot->cmdline = fmt::format("fk.ip={}/24 fk.gw=10.77.0.1", kGuestAddress);
  return OkStatus();
}

}  // namespace forkplane::testing
