// Everything the snapshot loop talks to. All of it outlives the loop.
#pragma once

#include <string>
#include <vector>

#include "controller/base/clock.h"
#include "controller/ledger/ledger.h"
#include "controller/runtime/event_recorder.h"
#include "controller/runtime/facts.h"
#include "controller/runtime/informer.h"
#include "controller/runtime/status_writer.h"
#include "controller/store/object_store.h"
#include "crd/types.h"
#include "drivers/storage_driver.h"
#include "drivers/template_holder.h"
#include "drivers/vmm/hypervisor.h"

namespace forkplane::snapshot {

struct Deps {
  store::ObjectStore& store;
  const ledger::Ledger& ledger;
  storage::StorageDriver& storage;
  storage::TemplateHolder& templates;
  std::vector<vmm::Hypervisor*> hypervisors;
  runtime::Informer<crd::Snapshot>& snapshots;
  runtime::Informer<crd::VirtualMachine>& vms;
  runtime::Informer<crd::Fork>& forks;
  runtime::Informer<crd::ForkSet>& fork_sets;
  runtime::VmmFactBoard& vmm_facts;
  runtime::StatusWriter& statuses;
  runtime::EventRecorder& events;
  Clock& clock;
  std::string host_name;
};

}  // namespace forkplane::snapshot
