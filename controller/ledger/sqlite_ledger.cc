#include "controller/ledger/sqlite_ledger.h"

#include <unistd.h>

#include "controller/base/log.h"

namespace forkplane::ledger {
namespace {

// What subscribers hear about one row. Deleted rows are described from the index before the change.
struct ChangeOf {
  const Index& before;

  std::optional<Change> operator()(const VmRow& row) const {
    return Change{.kind = Change::Kind::kVm, .owner_uid = row.owner.uid};
  }
  std::optional<Change> operator()(const DeleteVm& row) const {
    return Change{.kind = Change::Kind::kVm, .owner_uid = row.owner_uid};
  }
  std::optional<Change> operator()(const InterfaceLease& row) const {
    return Change{.kind = Change::Kind::kInterface,
                  .owner_uid = row.owner.uid,
                  .lease = row.id,
                  .number = row.number,
                  .network_uid = row.network_uid,
                  .network_name = row.network_name};
  }
  std::optional<Change> operator()(const DeleteInterface& row) const {
    const auto it = before.interfaces.find(row.id);
    if (it == before.interfaces.end()) return std::nullopt;
    return (*this)(it->second);
  }
  std::optional<Change> operator()(const NetworkLease& row) const {
    return Change{.kind = Change::Kind::kNetwork,
                  .network_uid = row.parameters.uid,
                  .network_name = row.parameters.name};
  }
  std::optional<Change> operator()(const DeleteNetwork& row) const {
    const auto it = before.networks.find(row.uid);
    if (it == before.networks.end()) return std::nullopt;
    return (*this)(it->second);
  }
  std::optional<Change> operator()(const BridgeRow& row) const {
    const auto it = before.networks.find(row.network_uid);
    if (it == before.networks.end()) return std::nullopt;
    return (*this)(it->second);
  }
  std::optional<Change> operator()(const DeleteBridge& row) const {
    const auto it = before.bridges.find(row.number);
    if (it == before.bridges.end()) return std::nullopt;
    return (*this)(it->second);
  }
  std::optional<Change> operator()(const SlotRow& row) const {
    return Change{.kind = Change::Kind::kSlot, .owner_uid = row.owner_uid, .pool = row.pool};
  }
  std::optional<Change> operator()(const DeleteSlot& row) const {
    const auto it = before.slots.find(row.owner_uid);
    if (it == before.slots.end()) return std::nullopt;
    return (*this)(it->second);
  }
  // Nobody waits for these: a total is set by the loop that reads it, a rest ends with time.
  std::optional<Change> operator()(const PoolRow&) const { return std::nullopt; }
  std::optional<Change> operator()(const RestRow&) const { return std::nullopt; }
  std::optional<Change> operator()(const MetaRow&) const { return std::nullopt; }
  std::optional<Change> operator()(const DeleteRest&) const { return std::nullopt; }
};

}  // namespace

SqliteLedger::SqliteLedger(Options options, Clock& clock, Database database, Loaded loaded,
                           metrics::Registry* metrics)
    : options_(std::move(options)),
      limits_{options_.uid_first,          options_.uid_count,        options_.shaping_domains,
              options_.classes_per_domain, options_.ports_per_bridge, options_.slots_default},
      clock_(clock),
      unreadable_(Summary(loaded.unreadable)),
      database_(std::move(database)),
      working_(loaded.index),
      committed_(std::move(loaded.index)) {
  if (metrics == nullptr) return;
  const auto commits = [metrics](const char* code) {
    return metrics->AddCounter("forkplane_ledger_commits_total", "Transactions of the host ledger.",
                               {{"code", code}});
  };
  commits_ok_ = commits("OK");
  commits_failed_ = commits("Error");
  commit_seconds_ = metrics->AddHistogram("forkplane_ledger_commit_duration_seconds",
                                          "Time of one ledger transaction, fsync included.");
  const auto leases = [metrics](const char* kind) {
    return metrics->AddGauge("forkplane_ledger_leases", "Leases the host ledger holds.",
                             {{"kind", kind}});
  };
  vm_leases_ = leases("vm");
  interface_leases_ = leases("interface");
  network_leases_ = leases("network");
  resting_ = leases("resting_address");
  metrics
      ->AddGauge("forkplane_ledger_unreadable_records",
                 "Records the ledger could not read at open; nothing new is leased while above 0.")
      .Set(static_cast<double>(loaded.unreadable.size()));
  CountLeases(working_);
}

void SqliteLedger::CountLeases(const Index& index) {
  vm_leases_.Set(static_cast<double>(index.vms.size()));
  interface_leases_.Set(static_cast<double>(index.interfaces.size()));
  network_leases_.Set(static_cast<double>(index.networks.size()));
  resting_.Set(static_cast<double>(index.rests.size()));
}

// ---- group commit -----------------------------------------------------------------------------

// The first caller to find nobody leading leads: it takes everything that waits, its own request
// among it, and commits it as one transaction while later callers gather for the next. Those may
// lead before its subscribers have heard; nobody of the batch is answered before they have.
Status SqliteLedger::Commit(const Plan& plan, const std::function<void(const Index&)>& applied) {
  Pending mine{&plan, &applied};
  std::vector<Pending*> batch;
  {
    MutexLock lock(queue_mu_);
    queue_.push_back(&mine);
    batch_done_.Wait(queue_mu_, std::stop_token{}, [&]() NO_THREAD_SAFETY_ANALYSIS {
      return mine.done || (!leading_ && !mine.taken);
    });
    if (mine.done) return mine.status;
    leading_ = true;
    batch.swap(queue_);
    for (Pending* pending : batch) pending->taken = true;
  }
  const std::vector<Change> changes = RunBatch(batch);
  {
    MutexLock lock(queue_mu_);
    leading_ = false;
  }
  batch_done_.NotifyAll();
  Notify(changes);
  {
    MutexLock lock(queue_mu_);
    for (Pending* pending : batch) pending->done = true;
  }
  batch_done_.NotifyAll();
  return mine.status;
}

std::vector<Change> SqliteLedger::RunBatch(const std::vector<Pending*>& batch) {
  Mutations applied;
  const MonotonicTime begin = clock_.Now();
  const auto status = Transact(batch, applied);
  if (!status.ok()) {
    commits_failed_.Increment();
    log::Err("ledger transaction failed", {{"error", status.error().message}});
    for (Pending* pending : batch) {
      if (pending->status.ok()) pending->status = status;
    }
    MutexLock lock(mu_);
    working_ = committed_;
    return {};
  }
  if (applied.empty()) return {};
  commits_ok_.Increment();
  commit_seconds_.Observe(std::chrono::duration<double>(clock_.Now() - begin).count());
  CountLeases(working_);
  MutexLock lock(mu_);
  std::vector<Change> changes = ChangesOf(applied);
  for (const Mutation& mutation : applied) committed_.Apply(mutation);
  return changes;
}

// Each request is planned on what the ones before it left. A refusal is that caller's alone; an
// error of the disk or of a constraint is everybody's, and nothing of the batch happened.
Status SqliteLedger::Transact(const std::vector<Pending*>& batch, Mutations& applied) {
  applied = PlanExpireRests(working_, clock_.Now());
  for (const Mutation& mutation : applied) working_.Apply(mutation);
  for (Pending* pending : batch) {
    auto planned = (*pending->plan)(working_);
    if (!planned.ok()) {
      pending->status = std::move(planned).error();
      continue;
    }
    for (const Mutation& mutation : *planned) {
      working_.Apply(mutation);
      applied.push_back(mutation);
    }
    if (*pending->applied) (*pending->applied)(working_);
  }
  if (applied.empty()) return OkStatus();
  RETURN_IF_ERROR(database_.Begin());
  auto written = ApplyAll(applied);
  if (!written.ok()) {
    const auto rolled_back = database_.Rollback();  // the first error is the one to tell
    if (!rolled_back.ok()) {
      log::Err("ledger rollback failed", {{"error", rolled_back.error().message}});
    }
  }
  return written;
}

Status SqliteLedger::ApplyAll(const Mutations& mutations) {
  for (const Mutation& mutation : mutations) {
    RETURN_IF_ERROR(database_.Write(mutation, options_.boot_id));
  }
  ++commits_;
  if (options_.commit_hook) options_.commit_hook(commits_, false);
  RETURN_IF_ERROR(database_.Commit());
  if (options_.commit_hook) options_.commit_hook(commits_, true);
  return OkStatus();
}

std::vector<Change> SqliteLedger::ChangesOf(const Mutations& applied) const {
  std::vector<Change> changes;
  for (const Mutation& mutation : applied) {
    auto change = std::visit(ChangeOf{committed_}, mutation);
    if (change) changes.push_back(std::move(*change));
  }
  return changes;
}

void SqliteLedger::Notify(const std::vector<Change>& changes) {
  std::vector<std::shared_ptr<const Handler>> handlers;
  {
    MutexLock lock(subscribers_->mu);
    for (const auto& [id, handler] : subscribers_->handlers) handlers.push_back(handler);
  }
  for (const auto& handler : handlers) {
    for (const Change& change : changes) (*handler)(change);
  }
}

Status SqliteLedger::WriteBack(Mutations mutations) {
  return Commit([&](const Index&) -> Result<Mutations> { return std::move(mutations); });
}

// ---- requests ---------------------------------------------------------------------------------

Status SqliteLedger::Health() const {
  if (unreadable_.empty()) return OkStatus();
  return Internal(fmt::format("the ledger leases nothing new: {}", unreadable_));
}

// What is held already is returned also by an unhealthy ledger: a running VM needs no new lease.
Result<Mutations> SqliteLedger::IfHealthy(Result<Mutations> planned) const {
  if (planned.ok() && !planned->empty()) RETURN_IF_ERROR(Health());
  return planned;
}

// What could not be read may be a slot that is out: nobody who waits is granted another's.
Result<Mutations> SqliteLedger::GrantsIfHealthy(Result<Mutations> planned) const {
  if (planned.ok() && !Health().ok()) {
    std::erase_if(*planned, [](const Mutation& mutation) {
      const auto* slot = std::get_if<SlotRow>(&mutation);
      return slot != nullptr && slot->granted;
    });
  }
  return planned;
}

Result<VmLease> SqliteLedger::Claim(const VmClaim& claim) {
  VmLease lease;
  RETURN_IF_ERROR(
      Commit([&](const Index& index) { return IfHealthy(PlanClaim(index, claim, At(), limits_)); },
             [&](const Index& index) { lease = index.BuildVm(index.vms.at(claim.owner.uid)); }));
  return lease;
}

Status SqliteLedger::Release(const std::string& owner_uid) {
  return Commit([&](const Index& index) {
    return GrantsIfHealthy(PlanRelease(index, owner_uid, At(), limits_));
  });
}

Status SqliteLedger::ReleaseInterface(LeaseId lease) {
  return Commit([&](const Index& index) { return PlanReleaseInterface(index, lease, At()); });
}

Status SqliteLedger::ConfirmAbsent(LeaseId lease, Part part) {
  return Commit([&](const Index& index) { return PlanConfirmAbsent(index, lease, part, At()); });
}

Status SqliteLedger::ConfirmAbsent(const std::vector<LeaseId>& leases, Part part) {
  if (leases.empty()) return OkStatus();
  return Commit([&](const Index& index) { return PlanConfirmAbsent(index, leases, part, At()); });
}

Status SqliteLedger::SetVmm(const std::string& owner_uid, const VmmRecord& record) {
  return Commit([&](const Index& index) { return PlanSetVmm(index, owner_uid, record); });
}

Status SqliteLedger::ClearVmm(const std::string& owner_uid) {
  return Commit([&](const Index& index) { return PlanSetVmm(index, owner_uid, std::nullopt); });
}

Result<std::vector<Owner>> SqliteLedger::GrantSlots(const std::string& pool, std::uint32_t total) {
  std::vector<Owner> granted;
  const auto plan = [&](const Index& index) -> Result<Mutations> {
    ASSIGN_OR_RETURN(Mutations mutations,
                     GrantsIfHealthy(PlanGrantSlots(index, pool, total, At())));
    for (const Mutation& mutation : mutations) {
      const auto* slot = std::get_if<SlotRow>(&mutation);
      if (slot != nullptr) granted.push_back(index.vms.at(slot->owner_uid).owner);
    }
    return mutations;
  };
  RETURN_IF_ERROR(Commit(plan));
  return granted;
}

Status SqliteLedger::FreeSlot(const std::string& owner_uid) {
  return Commit([&](const Index& index) {
    return GrantsIfHealthy(PlanFreeSlot(index, owner_uid, At(), limits_));
  });
}

Result<NetworkLease> SqliteLedger::ClaimNetwork(const NetworkParameters& parameters) {
  NetworkLease lease;
  RETURN_IF_ERROR(Commit(
      [&](const Index& index) { return IfHealthy(PlanClaimNetwork(index, parameters, At())); },
      [&](const Index& index) { lease = index.networks.at(parameters.uid); }));
  return lease;
}

Status SqliteLedger::BeginReleaseNetwork(const std::string& uid) {
  return Commit([&](const Index& index) { return PlanBeginReleaseNetwork(index, uid); });
}

Status SqliteLedger::ConfirmNetworkAbsent(const std::string& uid) {
  return Commit([&](const Index& index) { return PlanConfirmNetworkAbsent(index, uid); });
}

Status SqliteLedger::BeginReleaseBridge(std::uint32_t number) {
  return Commit([&](const Index& index) { return PlanBeginReleaseBridge(index, number); });
}

Status SqliteLedger::ConfirmBridgeAbsent(std::uint32_t number) {
  return Commit([&](const Index& index) { return PlanConfirmBridgeAbsent(index, number); });
}

Status SqliteLedger::SetStoreIdentity(const std::string& identity) {
  return Commit([&](const Index& index) -> Result<Mutations> {
    const auto it = index.meta.find(kStoreIdentityKey);
    if (it != index.meta.end() && it->second == identity) return Mutations{};
    return Mutations{MetaRow{kStoreIdentityKey, identity}};
  });
}

std::shared_ptr<void> SqliteLedger::Subscribe(Handler handler) {
  std::uint64_t id = 0;
  {
    MutexLock lock(subscribers_->mu);
    id = subscribers_->next++;
    subscribers_->handlers[id] = std::make_shared<const Handler>(std::move(handler));
  }
  // The deleter keeps the list alive, not the ledger.
  return {this, [list = subscribers_, id](void*) {
            MutexLock lock(list->mu);
            list->handlers.erase(id);
          }};
}

Result<std::unique_ptr<Ledger>> Ledger::Open(Options options, Clock& clock, Rng& rng,
                                             metrics::Registry* metrics) {
  if (options.boot_id.empty()) {
    ASSIGN_OR_RETURN(options.boot_id, ReadBootId());
  }
  if (options.uid_count == 0 || options.shaping_domains == 0 || options.shaping_domains > kIfbMax ||
      options.ports_per_bridge == 0) {
    return Invalid("open ledger: uid-range, shaping domains and bridges must not be empty");
  }
  ASSIGN_OR_RETURN(Database database, Database::Open(options.path, NewUuid(rng)));
  const BootTime boot{options.boot_id, clock.Now()};
  ASSIGN_OR_RETURN(Loaded loaded, database.Load(boot, options.uid_first));
  for (const std::string& record : loaded.unreadable) {
    log::Err("ledger record is unreadable; nothing new will be leased", {{"record", record}});
  }
  Mutations restamped = std::move(loaded.restamped);
  auto ledger = std::make_unique<SqliteLedger>(std::move(options), clock, std::move(database),
                                               std::move(loaded), metrics);
  if (!restamped.empty()) RETURN_IF_ERROR(ledger->WriteBack(std::move(restamped)));
  return std::unique_ptr<Ledger>(std::move(ledger));
}

}  // namespace forkplane::ledger
