// Decorators that show every call of a machine driver (processes, storage, templates, hypervisors)
// to a CallHook, as hooked_network.h does for the network. Each refers to an inner driver that must
// outlive it. What cannot fail (paths, capabilities, console lines, callbacks) passes unseen.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "drivers/call_hook.h"
#include "drivers/process_driver.h"
#include "drivers/storage_driver.h"
#include "drivers/template_holder.h"
#include "drivers/vmm/hypervisor.h"

namespace forkplane::drivers {

class HookedProcessDriver final : public process::ProcessDriver {
 public:
  HookedProcessDriver(process::ProcessDriver& inner, CallHook& hook) : inner_(inner), hook_(hook) {}
  Result<process::ProcessRecord> Spawn(const process::SpawnSpec& spec) override;
  Result<process::Observed> Observe(const std::string& owner) override;
  Result<bool> IsAlive(const std::string& owner, const process::ProcessRecord& record) override;
  Status Kill(const std::string& owner) override;
  Result<std::vector<std::string>> List() override;
  Status Watch(const std::string& owner, const process::ProcessRecord& record,
               ExitCallback callback) override;

 private:
  process::ProcessDriver& inner_;
  CallHook& hook_;
};

class HookedStorageDriver final : public storage::StorageDriver {
 public:
  HookedStorageDriver(storage::StorageDriver& inner, CallHook& hook) : inner_(inner), hook_(hook) {}
  std::string VmDirectory(const std::string& uid) const override { return inner_.VmDirectory(uid); }
  Status CreateVmDirectory(const std::string& uid, gid_t group) override;
  Status RemoveVmDirectory(const std::string& uid) override;
  Result<std::vector<std::string>> ListVmDirectories() override;
  Status WriteVmFile(const std::string& uid, const std::string& name,
                     std::string_view content) override;
  Lookup<std::string> ReadVmFileTail(const std::string& uid, const std::string& name,
                                     std::size_t bytes_max) override;
  Status CopyImageToVm(const std::string& image, const std::string& uid, const std::string& name,
                       uid_t user, gid_t group) override;
  Result<UniqueFd> OpenImage(const std::string& path) override;
  std::string SnapshotDirectory(const std::string& uid) const override {
    return inner_.SnapshotDirectory(uid);
  }
  Result<storage::SnapshotStage> BeginSnapshot(const std::string& uid) override;
  Result<UniqueFd> CreateSnapshotFile(const storage::SnapshotStage& stage,
                                      const std::string& name) override;
  Result<storage::SnapshotManifest> CommitSnapshot(const storage::SnapshotStage& stage,
                                                   storage::SnapshotManifest manifest) override;
  Status AbortSnapshot(const storage::SnapshotStage& stage) override;
  Lookup<storage::SnapshotManifest> ReadSnapshot(const std::string& uid) override;
  Result<UniqueFd> OpenSnapshotFile(const std::string& uid, const std::string& name) override;
  Status VerifySnapshot(const std::string& uid) override;
  Status RemoveSnapshot(const std::string& uid) override;
  Result<std::vector<std::string>> ListSnapshots() override;

 private:
  storage::StorageDriver& inner_;
  CallHook& hook_;
};

class HookedTemplateHolder final : public storage::TemplateHolder {
 public:
  HookedTemplateHolder(storage::TemplateHolder& inner, CallHook& hook)
      : inner_(inner), hook_(hook) {}
  Status Keep(const std::string& uid, const UniqueFd& memfd) override;
  Lookup<UniqueFd> Get(const std::string& uid) override;
  Status Drop(const std::string& uid) override;
  Result<std::vector<storage::TemplateInfo>> List() override;

 private:
  storage::TemplateHolder& inner_;
  CallHook& hook_;
};

class HookedHypervisor final : public vmm::Hypervisor {
 public:
  HookedHypervisor(vmm::Hypervisor& inner, CallHook& hook) : inner_(inner), hook_(hook) {}
  const vmm::Capabilities& capabilities() const override { return inner_.capabilities(); }
  Status Check(const vmm::MachineSpec& spec) const override { return inner_.Check(spec); }
  Result<process::ProcessRecord> Launch(const vmm::MachineSpec& spec,
                                        const std::stop_token& stop) override;
  Status Load(const vmm::MachineRef& ref, const vmm::RestoreSource& source,
              const std::stop_token& stop) override;
  Status Resume(const vmm::MachineRef& ref) override;
  Status Pause(const vmm::MachineRef& ref) override;
  Result<vmm::Capture> Snapshot(const vmm::MachineRef& ref, const std::string& directory,
                                const std::stop_token& stop) override;
  Result<vmm::Observation> Query(const vmm::MachineRef& ref) override;
  Status AskPowerOff(const vmm::MachineRef& ref) override;
  Status Quit(const vmm::MachineRef& ref) override;
  Result<bool> Adopt(const vmm::MachineRef& ref, const process::ProcessRecord& record) override;
  std::vector<std::string> ConsoleTail(const vmm::MachineRef& ref, std::size_t lines_max) override {
    return inner_.ConsoleTail(ref, lines_max);
  }
  std::shared_ptr<void> OnExit(std::function<void(const std::string& uid)> callback) override {
    return inner_.OnExit(std::move(callback));
  }

 private:
  vmm::Hypervisor& inner_;
  CallHook& hook_;
};

}  // namespace forkplane::drivers
