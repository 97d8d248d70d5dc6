// Decorators that call a function before and after every changing call to the
// ledger, the storage driver, the hypervisor and the store: to count, to fail,
// to crash.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "controller/ledger/ledger.h"
#include "drivers/storage_driver.h"
#include "drivers/vmm/hypervisor.h"
#include "tests/support/forwarding_store.h"

namespace forkplane::testing {

// What a crash test throws. Nothing of ours catches it.
struct SimulatedCrash {};

// Called with (operation, false) before the effect and (operation, true) after
// it. An error before takes the place of the call, one after takes the place of
// its answer.
using Door = std::function<std::optional<Error>(const std::string& operation, bool after)>;

template <typename Call>
auto Through(const Door& door, const char* operation, Call call) -> decltype(call()) {
  if (auto error = door(operation, false)) return *std::move(error);
  auto result = call();
  if (auto error = door(operation, true)) return *std::move(error);
  return result;
}

class LedgerDoor final : public ledger::Ledger {
 public:
  LedgerDoor(ledger::Ledger& next, Door door) : next_(next), door_(std::move(door)) {}

  Result<ledger::VmLease> Claim(const ledger::VmClaim& claim) override {
    return Through(door_, "ledger.Claim", [&] { return next_.Claim(claim); });
  }
  Status Release(const std::string& uid) override {
    return Through(door_, "ledger.Release", [&] { return next_.Release(uid); });
  }
  Status ReleaseInterface(ledger::LeaseId lease) override {
    return Through(door_, "ledger.ReleaseInterface", [&] { return next_.ReleaseInterface(lease); });
  }
  Status ConfirmAbsent(ledger::LeaseId lease, ledger::Part part) override {
    return next_.ConfirmAbsent(lease, part);
  }
  Status ConfirmAbsent(const std::vector<ledger::LeaseId>& leases, ledger::Part part) override {
    return next_.ConfirmAbsent(leases, part);
  }
  Status SetVmm(const std::string& uid, const ledger::VmmRecord& record) override {
    return Through(door_, "ledger.SetVmm", [&] { return next_.SetVmm(uid, record); });
  }
  Status ClearVmm(const std::string& uid) override {
    return Through(door_, "ledger.ClearVmm", [&] { return next_.ClearVmm(uid); });
  }
  Result<std::vector<ledger::Owner>> GrantSlots(const std::string& pool,
                                                std::uint32_t total) override {
    return Through(door_, "ledger.GrantSlots", [&] { return next_.GrantSlots(pool, total); });
  }
  Status FreeSlot(const std::string& uid) override {
    return Through(door_, "ledger.FreeSlot", [&] { return next_.FreeSlot(uid); });
  }
  Result<ledger::NetworkLease> ClaimNetwork(const ledger::NetworkParameters& p) override {
    return next_.ClaimNetwork(p);
  }
  Status BeginReleaseNetwork(const std::string& uid) override {
    return next_.BeginReleaseNetwork(uid);
  }
  Status BeginReleaseBridge(std::uint32_t number) override {
    return next_.BeginReleaseBridge(number);
  }
  Status ConfirmBridgeAbsent(std::uint32_t number) override {
    return next_.ConfirmBridgeAbsent(number);
  }
  std::vector<ledger::NetworkLease> Networks() const override { return next_.Networks(); }
  std::vector<ledger::PoolState> Pools() const override { return next_.Pools(); }
  ledger::LeaseId LastLease() const override { return next_.LastLease(); }
  std::vector<std::uint32_t> Domains() const override { return next_.Domains(); }
  std::size_t PortsOf(std::uint32_t bridge) const override { return next_.PortsOf(bridge); }
  Status ConfirmNetworkAbsent(const std::string& uid) override {
    return next_.ConfirmNetworkAbsent(uid);
  }
  std::optional<ledger::VmLease> GetVm(const std::string& uid) const override {
    return next_.GetVm(uid);
  }
  std::optional<ledger::InterfaceLease> GetInterface(ledger::LeaseId lease) const override {
    return next_.GetInterface(lease);
  }
  std::optional<ledger::InterfaceLease> GetInterfaceByAddress(Ipv4 address) const override {
    return next_.GetInterfaceByAddress(address);
  }
  std::optional<ledger::InterfaceLease> GetInterfaceByNumber(ledger::Number number) const override {
    return next_.GetInterfaceByNumber(number);
  }
  std::optional<ledger::NetworkLease> GetNetwork(const std::string& uid) const override {
    return next_.GetNetwork(uid);
  }
  std::optional<ledger::NetworkLease> GetNetworkByName(const std::string& name) const override {
    return next_.GetNetworkByName(name);
  }
  std::vector<ledger::InterfaceLease> InterfacesOfDomain(std::uint32_t ifb) const override {
    return next_.InterfacesOfDomain(ifb);
  }
  std::vector<ledger::InterfaceLease> InterfacesOfNetwork(const std::string& uid) const override {
    return next_.InterfacesOfNetwork(uid);
  }
  ledger::AddressUse AddressesOf(const std::string& uid) const override {
    return next_.AddressesOf(uid);
  }
  ledger::Listing ListAll() const override { return next_.ListAll(); }
  std::string Identity() const override { return next_.Identity(); }
  std::string StoreIdentity() const override { return next_.StoreIdentity(); }
  Status SetStoreIdentity(const std::string& id) override { return next_.SetStoreIdentity(id); }
  Status Health() const override { return next_.Health(); }
  std::shared_ptr<void> Subscribe(Handler handler) override {
    return next_.Subscribe(std::move(handler));
  }

 private:
  ledger::Ledger& next_;
  Door door_;
};

class StorageDoor final : public storage::StorageDriver {
 public:
  StorageDoor(storage::StorageDriver& next, Door door) : next_(next), door_(std::move(door)) {}

  std::string VmDirectory(const std::string& uid) const override { return next_.VmDirectory(uid); }
  Status CreateVmDirectory(const std::string& uid, gid_t group) override {
    return Through(door_, "storage.CreateVmDirectory",
                   [&] { return next_.CreateVmDirectory(uid, group); });
  }
  Status RemoveVmDirectory(const std::string& uid) override {
    return Through(door_, "storage.RemoveVmDirectory",
                   [&] { return next_.RemoveVmDirectory(uid); });
  }
  Result<std::vector<std::string>> ListVmDirectories() override {
    return next_.ListVmDirectories();
  }
  Status WriteVmFile(const std::string& uid, const std::string& name,
                     std::string_view content) override {
    return Through(door_, "storage.WriteVmFile",
                   [&] { return next_.WriteVmFile(uid, name, content); });
  }
  Lookup<std::string> ReadVmFileTail(const std::string& uid, const std::string& name,
                                     std::size_t bytes_max) override {
    return next_.ReadVmFileTail(uid, name, bytes_max);
  }
  Status CopyImageToVm(const std::string& image, const std::string& uid, const std::string& name,
                       uid_t user, gid_t group) override {
    return next_.CopyImageToVm(image, uid, name, user, group);
  }
  Result<UniqueFd> OpenImage(const std::string& path) override { return next_.OpenImage(path); }
  std::string SnapshotDirectory(const std::string& uid) const override {
    return next_.SnapshotDirectory(uid);
  }
  Result<storage::SnapshotStage> BeginSnapshot(const std::string& uid) override {
    return Through(door_, "storage.BeginSnapshot", [&] { return next_.BeginSnapshot(uid); });
  }
  Result<UniqueFd> CreateSnapshotFile(const storage::SnapshotStage& stage,
                                      const std::string& name) override {
    return Through(door_, "storage.CreateSnapshotFile",
                   [&] { return next_.CreateSnapshotFile(stage, name); });
  }
  Result<storage::SnapshotManifest> CommitSnapshot(const storage::SnapshotStage& stage,
                                                   storage::SnapshotManifest manifest) override {
    return Through(door_, "storage.CommitSnapshot",
                   [&] { return next_.CommitSnapshot(stage, std::move(manifest)); });
  }
  Status AbortSnapshot(const storage::SnapshotStage& stage) override {
    return next_.AbortSnapshot(stage);
  }
  Lookup<storage::SnapshotManifest> ReadSnapshot(const std::string& uid) override {
    return next_.ReadSnapshot(uid);
  }
  Result<UniqueFd> OpenSnapshotFile(const std::string& uid, const std::string& name) override {
    return next_.OpenSnapshotFile(uid, name);
  }
  Status VerifySnapshot(const std::string& uid) override { return next_.VerifySnapshot(uid); }
  Status RemoveSnapshot(const std::string& uid) override {
    return Through(door_, "storage.RemoveSnapshot", [&] { return next_.RemoveSnapshot(uid); });
  }
  Result<std::vector<std::string>> ListSnapshots() override { return next_.ListSnapshots(); }

 private:
  storage::StorageDriver& next_;
  Door door_;
};

class HypervisorDoor final : public vmm::Hypervisor {
 public:
  HypervisorDoor(vmm::Hypervisor& next, Door door) : next_(next), door_(std::move(door)) {}

  const vmm::Capabilities& capabilities() const override { return next_.capabilities(); }
  Status Check(const vmm::MachineSpec& spec) const override { return next_.Check(spec); }
  Result<process::ProcessRecord> Launch(const vmm::MachineSpec& spec,
                                        const std::stop_token& stop) override {
    return Through(door_, "vmm.Launch", [&] { return next_.Launch(spec, stop); });
  }
  Status Load(const vmm::MachineRef& ref, const vmm::RestoreSource& source,
              const std::stop_token& stop) override {
    return Through(door_, "vmm.Load", [&] { return next_.Load(ref, source, stop); });
  }
  Status Resume(const vmm::MachineRef& ref) override {
    return Through(door_, "vmm.Resume", [&] { return next_.Resume(ref); });
  }
  Status Pause(const vmm::MachineRef& ref) override { return next_.Pause(ref); }
  Result<vmm::Capture> Snapshot(const vmm::MachineRef& ref, const std::string& directory,
                                const std::stop_token& stop) override {
    return Through(door_, "vmm.Snapshot", [&] { return next_.Snapshot(ref, directory, stop); });
  }
  Result<vmm::Observation> Query(const vmm::MachineRef& ref) override { return next_.Query(ref); }
  Status AskPowerOff(const vmm::MachineRef& ref) override {
    return Through(door_, "vmm.AskPowerOff", [&] { return next_.AskPowerOff(ref); });
  }
  Status Quit(const vmm::MachineRef& ref) override {
    return Through(door_, "vmm.Quit", [&] { return next_.Quit(ref); });
  }
  Result<bool> Adopt(const vmm::MachineRef& ref, const process::ProcessRecord& record) override {
    return Through(door_, "vmm.Adopt", [&] { return next_.Adopt(ref, record); });
  }
  std::vector<std::string> ConsoleTail(const vmm::MachineRef& ref, std::size_t lines) override {
    return next_.ConsoleTail(ref, lines);
  }
  std::shared_ptr<void> OnExit(std::function<void(const std::string& uid)> callback) override {
    return next_.OnExit(std::move(callback));
  }

 private:
  vmm::Hypervisor& next_;
  Door door_;
};

// Operations are named "store.Create virtualmachines" and so on; status writes
// apart.
class StoreDoor final : public ForwardingStore {
 public:
  StoreDoor(store::ObjectStore& next, Door door) : ForwardingStore(next), door_(std::move(door)) {}
  using ForwardingStore::Create;
  using ForwardingStore::Delete;
  using ForwardingStore::Modify;
  using ForwardingStore::Update;

  Result<store::WriteResult> Create(const store::GroupResource& resource, const std::string& ns,
                                    const std::string& text,
                                    const store::WriteOptions& options) override {
    return Through(door_, ("store.Create " + resource.plural).c_str(),
                   [&] { return ForwardingStore::Create(resource, ns, text, options); });
  }
  Result<store::WriteResult> Update(const store::ObjectKey& key, const std::string& text,
                                    const store::UpdateOptions& options) override {
    return Through(door_, UpdateName(key, options).c_str(),
                   [&] { return ForwardingStore::Update(key, text, options); });
  }
  Result<store::WriteResult> Modify(const store::ObjectKey& key, const store::Edit& edit,
                                    const store::UpdateOptions& options) override {
    return Through(door_, UpdateName(key, options).c_str(),
                   [&] { return ForwardingStore::Modify(key, edit, options); });
  }
  Result<store::DeleteResult> Delete(const store::ObjectKey& key,
                                     const store::DeleteOptions& options) override {
    return Through(door_, ("store.Delete " + key.resource.plural).c_str(),
                   [&] { return ForwardingStore::Delete(key, options); });
  }

 private:
  // Modify writes what Update writes: a fault at one of them is a fault at both.
  static std::string UpdateName(const store::ObjectKey& key, const store::UpdateOptions& options) {
    const char* what =
        options.part == store::Part::kStatus ? "store.UpdateStatus " : "store.Update ";
    return what + key.resource.plural;
  }

  Door door_;
};

}  // namespace forkplane::testing
