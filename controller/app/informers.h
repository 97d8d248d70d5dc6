// The caches and boards that loops share.
#pragma once

#include "controller/base/clock.h"
#include "controller/base/result.h"
#include "controller/runtime/compute_budget.h"
#include "controller/runtime/facts.h"
#include "controller/runtime/informer.h"
#include "controller/store/object_store.h"
#include "crd/types.h"

namespace forkplane::app {

// One typed cache per kind. Handlers are added before Start; "absent" means nothing before Sync
// returned.
struct Informers {
  explicit Informers(store::ObjectStore& objects);

  // Starts all and waits until each has listed its kind; Unavailable after ten seconds.
  Status Sync(Clock& clock);
  void Stop();

  runtime::Informer<crd::VirtualMachine> vms;
  runtime::Informer<crd::Snapshot> snapshots;
  runtime::Informer<crd::Fork> forks;
  runtime::Informer<crd::ForkSet> fork_sets;
  runtime::Informer<crd::Network> networks;
  runtime::Informer<crd::Host> hosts;

 private:
  template <typename Call>
  void ForEach(Call call);
};

struct Boards {
  runtime::InterfaceFactBoard interfaces;
  runtime::VmmFactBoard vmms;
  runtime::AliasFactBoard aliases;
  runtime::OrphanFactBoard orphans;
  runtime::UplinkFactBoard uplinks;
  runtime::HostConditionBoard host_conditions;
  runtime::ComputeBudget compute;
};

}  // namespace forkplane::app
