// Decorators that show every call of a machine driver (processes, storage, templates, hypervisors)
// to a CallHook, as network.h does for the network. What cannot fail (paths, capabilities, console
// lines, callbacks) passes unseen.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "drivers/hooked/hooked.h"
#include "drivers/process_driver.h"
#include "drivers/storage_driver.h"
#include "drivers/template_holder.h"
#include "drivers/vmm/hypervisor.h"

namespace forkplane::drivers {

class HookedProcessDriver final : public Hooked<process::ProcessDriver> {
 public:
  HookedProcessDriver(process::ProcessDriver& inner, CallHook& hook)
      : Hooked("process", inner, hook) {}
  FORKPLANE_HOOKED_CHANGE(1, Spawn, "spawn")
  FORKPLANE_HOOKED_LOOK(1, Observe, "observe")
  FORKPLANE_HOOKED_LOOK(2, IsAlive, "is_alive")
  FORKPLANE_HOOKED_CHANGE(1, Kill, "kill")
  FORKPLANE_HOOKED_LOOK(0, List, "list")
  FORKPLANE_HOOKED_LOOK(3, Watch, "watch")
};
static_assert(!std::is_abstract_v<HookedProcessDriver>);

class HookedStorageDriver final : public Hooked<storage::StorageDriver> {
 public:
  HookedStorageDriver(storage::StorageDriver& inner, CallHook& hook)
      : Hooked("storage", inner, hook) {}
  FORKPLANE_HOOKED_CHANGE(2, CreateVmDirectory, "create_vm_directory")
  FORKPLANE_HOOKED_CHANGE(1, RemoveVmDirectory, "remove_vm_directory")
  FORKPLANE_HOOKED_LOOK(0, ListVmDirectories, "list_vm_directories")
  FORKPLANE_HOOKED_CHANGE(3, WriteVmFile, "write_vm_file")
  FORKPLANE_HOOKED_LOOK(3, ReadVmFileTail, "read_vm_file_tail")
  FORKPLANE_HOOKED_CHANGE(5, CopyImageToVm, "copy_image_to_vm")
  FORKPLANE_HOOKED_LOOK(1, OpenImage, "open_image")
  FORKPLANE_HOOKED_CHANGE(1, BeginSnapshot, "begin_snapshot")
  FORKPLANE_HOOKED_CHANGE(2, CreateSnapshotFile, "create_snapshot_file")
  FORKPLANE_HOOKED_CHANGE(2, CommitSnapshot, "commit_snapshot")
  FORKPLANE_HOOKED_CHANGE(1, AbortSnapshot, "abort_snapshot")
  FORKPLANE_HOOKED_LOOK(1, ReadSnapshot, "read_snapshot")
  FORKPLANE_HOOKED_LOOK(2, OpenSnapshotFile, "open_snapshot_file")
  FORKPLANE_HOOKED_LOOK(1, VerifySnapshot, "verify_snapshot")
  FORKPLANE_HOOKED_CHANGE(1, RemoveSnapshot, "remove_snapshot")
  FORKPLANE_HOOKED_LOOK(0, ListSnapshots, "list_snapshots")

  std::string VmDirectory(const std::string& uid) const override { return inner_.VmDirectory(uid); }
  std::string SnapshotDirectory(const std::string& uid) const override {
    return inner_.SnapshotDirectory(uid);
  }
};
static_assert(!std::is_abstract_v<HookedStorageDriver>);

class HookedTemplateHolder final : public Hooked<storage::TemplateHolder> {
 public:
  HookedTemplateHolder(storage::TemplateHolder& inner, CallHook& hook)
      : Hooked("template", inner, hook) {}
  FORKPLANE_HOOKED_CHANGE(2, Keep, "keep")
  FORKPLANE_HOOKED_LOOK(1, Get, "get")
  FORKPLANE_HOOKED_CHANGE(1, Drop, "drop")
  FORKPLANE_HOOKED_LOOK(0, List, "list")
};
static_assert(!std::is_abstract_v<HookedTemplateHolder>);

class HookedHypervisor final : public Hooked<vmm::Hypervisor> {
 public:
  HookedHypervisor(vmm::Hypervisor& inner, CallHook& hook) : Hooked("hypervisor", inner, hook) {}
  FORKPLANE_HOOKED_CHANGE(2, Launch, "launch")
  FORKPLANE_HOOKED_CHANGE(3, Load, "load")
  FORKPLANE_HOOKED_CHANGE(1, Resume, "resume")
  FORKPLANE_HOOKED_CHANGE(1, Pause, "pause")
  FORKPLANE_HOOKED_CHANGE(3, Snapshot, "snapshot")
  FORKPLANE_HOOKED_LOOK(1, Query, "query")
  FORKPLANE_HOOKED_CHANGE(1, AskPowerOff, "ask_power_off")
  FORKPLANE_HOOKED_CHANGE(1, Quit, "quit")
  FORKPLANE_HOOKED_LOOK(2, Adopt, "adopt")

  const vmm::Capabilities& capabilities() const override { return inner_.capabilities(); }
  Status Check(const vmm::MachineSpec& spec) const override { return inner_.Check(spec); }
  std::vector<std::string> ConsoleTail(const vmm::MachineRef& ref, std::size_t lines_max) override {
    return inner_.ConsoleTail(ref, lines_max);
  }
  std::shared_ptr<void> OnExit(std::function<void(const std::string& uid)> callback) override {
    return inner_.OnExit(std::move(callback));
  }
};
static_assert(!std::is_abstract_v<HookedHypervisor>);

}  // namespace forkplane::drivers
