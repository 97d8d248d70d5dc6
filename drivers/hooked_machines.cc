#include "drivers/hooked_machines.h"

#include <utility>

namespace forkplane::drivers {

Result<process::ProcessRecord> HookedProcessDriver::Spawn(const process::SpawnSpec& spec) {
  return CallThrough(hook_, {"process", "spawn", true}, [&] { return inner_.Spawn(spec); });
}
Result<process::Observed> HookedProcessDriver::Observe(const std::string& owner) {
  return CallThrough(hook_, {"process", "observe", false}, [&] { return inner_.Observe(owner); });
}
Result<bool> HookedProcessDriver::IsAlive(const std::string& owner,
                                          const process::ProcessRecord& record) {
  return CallThrough(hook_, {"process", "is_alive", false},
                     [&] { return inner_.IsAlive(owner, record); });
}
Status HookedProcessDriver::Kill(const std::string& owner) {
  return CallThrough(hook_, {"process", "kill", true}, [&] { return inner_.Kill(owner); });
}
Result<std::vector<std::string>> HookedProcessDriver::List() {
  return CallThrough(hook_, {"process", "list", false}, [&] { return inner_.List(); });
}
Status HookedProcessDriver::Watch(const std::string& owner, const process::ProcessRecord& record,
                                  ExitCallback callback) {
  return CallThrough(hook_, {"process", "watch", false},
                     [&] { return inner_.Watch(owner, record, callback); });
}

Status HookedStorageDriver::CreateVmDirectory(const std::string& uid, gid_t group) {
  return CallThrough(hook_, {"storage", "create_vm_directory", true},
                     [&] { return inner_.CreateVmDirectory(uid, group); });
}
Status HookedStorageDriver::RemoveVmDirectory(const std::string& uid) {
  return CallThrough(hook_, {"storage", "remove_vm_directory", true},
                     [&] { return inner_.RemoveVmDirectory(uid); });
}
Result<std::vector<std::string>> HookedStorageDriver::ListVmDirectories() {
  return CallThrough(hook_, {"storage", "list_vm_directories", false},
                     [&] { return inner_.ListVmDirectories(); });
}
Status HookedStorageDriver::WriteVmFile(const std::string& uid, const std::string& name,
                                        std::string_view content) {
  return CallThrough(hook_, {"storage", "write_vm_file", true},
                     [&] { return inner_.WriteVmFile(uid, name, content); });
}
Lookup<std::string> HookedStorageDriver::ReadVmFileTail(const std::string& uid,
                                                        const std::string& name,
                                                        std::size_t bytes_max) {
  return CallThrough(hook_, {"storage", "read_vm_file_tail", false},
                     [&] { return inner_.ReadVmFileTail(uid, name, bytes_max); });
}
Status HookedStorageDriver::CopyImageToVm(const std::string& image, const std::string& uid,
                                          const std::string& name, uid_t user, gid_t group) {
  return CallThrough(hook_, {"storage", "copy_image_to_vm", true},
                     [&] { return inner_.CopyImageToVm(image, uid, name, user, group); });
}
Result<UniqueFd> HookedStorageDriver::OpenImage(const std::string& path) {
  return CallThrough(hook_, {"storage", "open_image", false},
                     [&] { return inner_.OpenImage(path); });
}
Result<storage::SnapshotStage> HookedStorageDriver::BeginSnapshot(const std::string& uid) {
  return CallThrough(hook_, {"storage", "begin_snapshot", true},
                     [&] { return inner_.BeginSnapshot(uid); });
}
Result<UniqueFd> HookedStorageDriver::CreateSnapshotFile(const storage::SnapshotStage& stage,
                                                         const std::string& name) {
  return CallThrough(hook_, {"storage", "create_snapshot_file", true},
                     [&] { return inner_.CreateSnapshotFile(stage, name); });
}
Result<storage::SnapshotManifest> HookedStorageDriver::CommitSnapshot(
    const storage::SnapshotStage& stage, storage::SnapshotManifest manifest) {
  return CallThrough(hook_, {"storage", "commit_snapshot", true},
                     [&] { return inner_.CommitSnapshot(stage, manifest); });
}
Status HookedStorageDriver::AbortSnapshot(const storage::SnapshotStage& stage) {
  return CallThrough(hook_, {"storage", "abort_snapshot", true},
                     [&] { return inner_.AbortSnapshot(stage); });
}
Lookup<storage::SnapshotManifest> HookedStorageDriver::ReadSnapshot(const std::string& uid) {
  return CallThrough(hook_, {"storage", "read_snapshot", false},
                     [&] { return inner_.ReadSnapshot(uid); });
}
Result<UniqueFd> HookedStorageDriver::OpenSnapshotFile(const std::string& uid,
                                                       const std::string& name) {
  return CallThrough(hook_, {"storage", "open_snapshot_file", false},
                     [&] { return inner_.OpenSnapshotFile(uid, name); });
}
Status HookedStorageDriver::VerifySnapshot(const std::string& uid) {
  return CallThrough(hook_, {"storage", "verify_snapshot", false},
                     [&] { return inner_.VerifySnapshot(uid); });
}
Status HookedStorageDriver::RemoveSnapshot(const std::string& uid) {
  return CallThrough(hook_, {"storage", "remove_snapshot", true},
                     [&] { return inner_.RemoveSnapshot(uid); });
}
Result<std::vector<std::string>> HookedStorageDriver::ListSnapshots() {
  return CallThrough(hook_, {"storage", "list_snapshots", false},
                     [&] { return inner_.ListSnapshots(); });
}

Status HookedTemplateHolder::Keep(const std::string& uid, const UniqueFd& memfd) {
  return CallThrough(hook_, {"template", "keep", true}, [&] { return inner_.Keep(uid, memfd); });
}
Lookup<UniqueFd> HookedTemplateHolder::Get(const std::string& uid) {
  return CallThrough(hook_, {"template", "get", false}, [&] { return inner_.Get(uid); });
}
Status HookedTemplateHolder::Drop(const std::string& uid) {
  return CallThrough(hook_, {"template", "drop", true}, [&] { return inner_.Drop(uid); });
}
Result<std::vector<storage::TemplateInfo>> HookedTemplateHolder::List() {
  return CallThrough(hook_, {"template", "list", false}, [&] { return inner_.List(); });
}

Result<process::ProcessRecord> HookedHypervisor::Launch(const vmm::MachineSpec& spec,
                                                        const std::stop_token& stop) {
  return CallThrough(hook_, {"hypervisor", "launch", true},
                     [&] { return inner_.Launch(spec, stop); });
}
Status HookedHypervisor::Load(const vmm::MachineRef& ref, const vmm::RestoreSource& source,
                              const std::stop_token& stop) {
  return CallThrough(hook_, {"hypervisor", "load", true},
                     [&] { return inner_.Load(ref, source, stop); });
}
Status HookedHypervisor::Resume(const vmm::MachineRef& ref) {
  return CallThrough(hook_, {"hypervisor", "resume", true}, [&] { return inner_.Resume(ref); });
}
Status HookedHypervisor::Pause(const vmm::MachineRef& ref) {
  return CallThrough(hook_, {"hypervisor", "pause", true}, [&] { return inner_.Pause(ref); });
}
Result<vmm::Capture> HookedHypervisor::Snapshot(const vmm::MachineRef& ref,
                                                const std::string& directory,
                                                const std::stop_token& stop) {
  return CallThrough(hook_, {"hypervisor", "snapshot", true},
                     [&] { return inner_.Snapshot(ref, directory, stop); });
}
Result<vmm::Observation> HookedHypervisor::Query(const vmm::MachineRef& ref) {
  return CallThrough(hook_, {"hypervisor", "query", false}, [&] { return inner_.Query(ref); });
}
Status HookedHypervisor::AskPowerOff(const vmm::MachineRef& ref) {
  return CallThrough(hook_, {"hypervisor", "ask_power_off", true},
                     [&] { return inner_.AskPowerOff(ref); });
}
Status HookedHypervisor::Quit(const vmm::MachineRef& ref) {
  return CallThrough(hook_, {"hypervisor", "quit", true}, [&] { return inner_.Quit(ref); });
}
Result<bool> HookedHypervisor::Adopt(const vmm::MachineRef& ref,
                                     const process::ProcessRecord& record) {
  return CallThrough(hook_, {"hypervisor", "adopt", false},
                     [&] { return inner_.Adopt(ref, record); });
}

}  // namespace forkplane::drivers
