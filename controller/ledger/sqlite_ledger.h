// The one Ledger there is. See ledger.h for what it promises.
//
// Two copies of the rows are kept: `working_`, where a batch of requests is tried out, and
// `committed_`, which readers see and which follows only when the transaction is on disk. When the
// disk refuses, the working copy is thrown away and taken from the committed one again.
#pragma once

#include "controller/base/mutex.h"
#include "controller/ledger/allocate.h"
#include "controller/ledger/database.h"

namespace forkplane::ledger {

class SqliteLedger final : public Ledger {
 public:
  SqliteLedger(Options options, Clock& clock, Database database, Loaded loaded,
               metrics::Registry* metrics);

  Result<VmLease> Claim(const VmClaim& claim) override;
  Status Release(const std::string& owner_uid) override;
  Status ReleaseInterface(LeaseId lease) override;
  Status ConfirmAbsent(LeaseId lease, Part part) override;
  Status ConfirmAbsent(const std::vector<LeaseId>& leases, Part part) override;
  Status SetVmm(const std::string& owner_uid, const VmmRecord& record) override;
  Status ClearVmm(const std::string& owner_uid) override;
  Result<std::vector<Owner>> GrantSlots(const std::string& pool, std::uint32_t total) override;
  Status FreeSlot(const std::string& owner_uid) override;
  Result<NetworkLease> ClaimNetwork(const NetworkParameters& parameters) override;
  Status BeginReleaseNetwork(const std::string& uid) override;
  Status ConfirmNetworkAbsent(const std::string& uid) override;
  Status BeginReleaseBridge(std::uint32_t number) override;
  Status ConfirmBridgeAbsent(std::uint32_t number) override;
  std::optional<VmLease> GetVm(const std::string& owner_uid) const override;
  std::optional<InterfaceLease> GetInterface(LeaseId lease) const override;
  std::optional<InterfaceLease> GetInterfaceByNumber(Number number) const override;
  std::optional<InterfaceLease> GetInterfaceByAddress(Ipv4 address) const override;
  std::optional<NetworkLease> GetNetwork(const std::string& uid) const override;
  std::optional<NetworkLease> GetNetworkByName(const std::string& name) const override;
  std::vector<NetworkLease> Networks() const override;
  std::vector<PoolState> Pools() const override;
  LeaseId LastLease() const override;
  std::vector<std::uint32_t> Domains() const override;
  std::vector<InterfaceLease> InterfacesOfDomain(std::uint32_t ifb) const override;
  std::vector<InterfaceLease> InterfacesOfNetwork(const std::string& uid) const override;
  std::size_t PortsOf(std::uint32_t bridge) const override;
  AddressUse AddressesOf(const std::string& network_uid) const override;
  Listing ListAll() const override;
  std::string Identity() const override;
  std::string StoreIdentity() const override;
  Status SetStoreIdentity(const std::string& identity) override;
  Status Health() const override;
  std::shared_ptr<void> Subscribe(Handler handler) override;

  // Writes what Load found to be written back. Called once, by Open.
  Status WriteBack(Mutations mutations);

 private:
  using Plan = std::function<Result<Mutations>(const Index&)>;

  // A caller's request while it waits for its transaction.
  struct Pending {
    const Plan* plan = nullptr;
    const std::function<void(const Index&)>* applied = nullptr;
    bool taken = false;  // into a batch
    bool done = false;
    Status status = OkStatus();
  };

  // Runs the plan inside the next transaction; returns when it is on disk. `applied` sees the rows
  // right after the plan's own mutations and takes the answer from them.
  Status Commit(const Plan& plan, const std::function<void(const Index&)>& applied = {});
  Result<Mutations> IfHealthy(Result<Mutations> planned) const;
  Result<Mutations> GrantsIfHealthy(Result<Mutations> planned) const;
  // What subscribers are to be told.
  std::vector<Change> RunBatch(const std::vector<Pending*>& batch);
  Status Transact(const std::vector<Pending*>& batch, Mutations& applied);
  Status ApplyAll(const Mutations& mutations);
  std::vector<Change> ChangesOf(const Mutations& applied) const REQUIRES(mu_);
  void Notify(const std::vector<Change>& changes);
  void CountLeases(const Index& index);
  Instant At() const { return {clock_.Now(), clock_.WallNow()}; }
  std::string MetaValue(const std::string& key) const;

  const Options options_;
  const Limits limits_;
  Clock& clock_;
  const std::string unreadable_;  // empty: healthy

  // Touched by the one thread that leads a batch; handed on under queue_mu_.
  Database database_;
  Index working_;
  int commits_ = 0;

  Mutex queue_mu_;
  CondVar batch_done_;
  std::vector<Pending*> queue_ GUARDED_BY(queue_mu_);
  bool leading_ GUARDED_BY(queue_mu_) = false;

  mutable Mutex mu_;
  Index committed_ GUARDED_BY(mu_);

  // Shared with the handles, which may outlive the ledger.
  struct Subscribers {
    Mutex mu;
    std::map<std::uint64_t, std::shared_ptr<const Handler>> handlers GUARDED_BY(mu);
    std::uint64_t next GUARDED_BY(mu) = 1;
  };
  const std::shared_ptr<Subscribers> subscribers_ = std::make_shared<Subscribers>();

  metrics::Counter commits_ok_;
  metrics::Counter commits_failed_;
  metrics::Histogram commit_seconds_;
  metrics::Gauge vm_leases_;
  metrics::Gauge interface_leases_;
  metrics::Gauge network_leases_;
  metrics::Gauge resting_;
};

}  // namespace forkplane::ledger
