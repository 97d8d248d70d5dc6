// The tap loop: one pass for one interface lease (key: the lease id). See plan.h for what it owns
// and promises.
//
// NOTE Wiring (app): add a key for
//   - a ledger Change of kind kInterface (KeyOf) or of kNetwork (every interface of the Network),
//   - a LinkEvent on one of our TAPs, or of a route or neighbour (KeysOf, merged: its own changes
//     come back), on a bridge of ours or on an IFB; kLost: AllKeys,
//   - a VmmFacts change: the interfaces of that VM (KeysOfVm),
//   - a periodic resync: AllKeys.
// `requeue` of Options must go to the same queue; in it, keys that can wait stand behind (CanWait):
// neither a thousand releases nor a resync hold up a fork. One worker: creations at the same time
// would spin on the kernel's one lock, and slow down the one that has it.
//
// NOTE Threading: one key at a time. Deletions and flushes run in the pool; a pass that
// handed one over ends and is queued again when it is done; a failure is that pass's error, which
// backs off.
//
// NOTE Facts: publishes InterfaceFacts.ready and .reason, and takes .shaped back when it has made a
// TBF anew; the fact is retracted when the lease is gone. The ledger is told ConfirmAbsent(kTap)
// only after an observation without any trace, and after the flows of the address were flushed:
// before that it cannot be given out again, whenever this process ends.
#pragma once

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "controller/base/metrics.h"
#include "controller/ledger/ledger.h"
#include "controller/runtime/facts.h"
#include "controller/runtime/reconciler.h"
#include "controller/runtime/repairs.h"
#include "drivers/flow_driver.h"
#include "drivers/link_events.h"
#include "drivers/route_driver.h"
#include "drivers/sysctl_driver.h"
#include "reconcilers/tap/deletion_pool.h"
#include "reconcilers/tap/plan.h"

namespace forkplane::tap {

// All outlive the reconciler.
struct Drivers {
  drivers::LinkDriver& links;
  drivers::TapDriver& taps;
  drivers::QdiscDriver& qdiscs;
  drivers::IdentityDriver& identities;
  drivers::RouteDriver& routes;
  drivers::SysctlDriver& sysctls;
  drivers::FlowDriver& flows;
};

// MakePlan, or in tests a mutant of it that the suite must notice.
using Planner = std::function<std::vector<Action>(const Desired&, const Observed&)>;

struct Options {
  // 0: on the caller's thread. As many as a burst has VMs: each waits ~20 ms, so that a second wave
  // would double the whole. (Groups of eight TAPs, for which the kernel waits once, need four; but
  // to see that nothing else is in the group all links must be listed each time. Measured: 25 TAPs
  // take twice as long, 300 three quarters, 1000 half as long again, and creations beside 1000
  // three times as long.)
  int deletion_threads = 25;
  std::function<void(const std::string& key)> requeue = {};
  // Of the shaping loop: BucketOf and ShapeNewborn. Without them, and where the bucket is not
  // known, a new TBF has the Network's unshapedRate until that loop comes.
  std::function<std::optional<drivers::Tbf>(const ledger::InterfaceLease&)> bucket = {};
  std::function<void(const ledger::InterfaceLease&)> shape = {};
  Planner plan = MakePlan;
  metrics::Registry* registry = nullptr;
};

// What the host sees of the guest.
MacAddress OuterMacOf(const ledger::InterfaceLease& lease);

class TapReconciler final : public runtime::Reconciler {
 public:
  TapReconciler(ledger::Ledger& ledger, Drivers drivers, runtime::InterfaceFactBoard& facts,
                const runtime::VmmFactBoard& vmms, Options options);

  Result<runtime::Next> Reconcile(const std::string& key, const std::stop_token& stop) override;
  Result<std::string> Explain(const std::string& key) override;

  // No fork waits for its pass: it is ready, being released, or gone.
  bool CanWait(const std::string& key) const;

  std::vector<std::string> AllKeys() const;
  std::vector<std::string> KeysOf(const ledger::Change& change) const;
  std::vector<std::string> KeysOf(const drivers::LinkEvent& event) const;
  std::vector<std::string> KeysOfVm(const std::string& owner_uid) const;

  // Before what Options.requeue reaches is destroyed: a deletion under way calls it at its end.
  void StopDeletions() { deletions_.Stop(); }

 private:
  // Of the ports of one bridge.
  std::vector<std::string> KeysOfBridge(std::uint32_t number) const;
  std::vector<std::string> KeysOfAddress(const drivers::LinkEvent& event) const;
  Result<Desired> Desire(const ledger::InterfaceLease& lease) const;
  Result<Observed> Observe(const Desired& desired, const std::string& owner_uid);
  Status ObserveDevice(const Desired& desired, Observed& observed);
  Status ObserveBridge(const Desired& desired, Observed& observed);
  void ObserveVmm(const std::string& owner_uid, Observed& observed) const;
  Status Execute(const ledger::InterfaceLease& lease, const Desired& desired, const Action& action);
  Status ExecuteUnderLook(const ledger::InterfaceLease& lease, const Desired& desired,
                          const Action& action);
  void Publish(const std::string& key, bool ready, const std::string& reason);
  bool IsNewborn(const ledger::InterfaceLease& lease, const Desired& desired) EXCLUDES(mu_);
  bool RaiseUnseen(const ledger::InterfaceLease& lease, const Desired& desired);
  // Made without a look, and not looked at since.
  bool IsUnseen(ledger::LeaseId lease) const EXCLUDES(mu_);
  void SetUnseen(ledger::LeaseId lease, bool unseen) EXCLUDES(mu_);
  void Forget(ledger::LeaseId lease) EXCLUDES(mu_);
  // Nothing of a released lease is left: forgets its flows and says so to the ledger.
  Status Confirm(const ledger::InterfaceLease& lease);
  Result<runtime::Next> Finish(const ledger::InterfaceLease& lease, const Desired& desired,
                               const Observed& observed);

  ledger::Ledger& ledger_;
  Drivers drivers_;
  runtime::InterfaceFactBoard& facts_;
  const runtime::VmmFactBoard& vmms_;
  const Options options_;
  const ledger::LeaseId last_unseen_;  // leases up to it are older than this process
  mutable Mutex mu_;
  std::set<ledger::LeaseId> begun_ GUARDED_BY(mu_);   // younger ones on which a pass has begun
  std::set<ledger::LeaseId> unseen_ GUARDED_BY(mu_);  // of them
  runtime::Repairs<std::string, Desired> repairs_;
  DeletionPool deletions_;  // last: its threads use the rest
};

}  // namespace forkplane::tap
