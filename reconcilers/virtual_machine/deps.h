// Everything the virtual_machine loop talks to. All of it outlives the loop.
#pragma once

#include <string>
#include <vector>

#include "controller/base/clock.h"
#include "controller/ledger/ledger.h"
#include "controller/runtime/compute_budget.h"
#include "controller/runtime/event_recorder.h"
#include "controller/runtime/facts.h"
#include "controller/runtime/informer.h"
#include "controller/runtime/status_writer.h"
#include "controller/store/object_store.h"
#include "crd/types.h"
#include "drivers/storage_driver.h"
#include "drivers/tap_driver.h"
#include "drivers/template_holder.h"
#include "drivers/vmm/hypervisor.h"

namespace forkplane::virtual_machine {

struct Deps {
  store::ObjectStore& store;
  ledger::Ledger& ledger;
  storage::StorageDriver& storage;
  storage::TemplateHolder& templates;
  drivers::TapDriver& taps;
  std::vector<vmm::Hypervisor*> hypervisors;  // the first is the host's default
  runtime::Informer<crd::VirtualMachine>& vms;
  runtime::Informer<crd::Network>& networks;
  runtime::Informer<crd::Snapshot>& snapshots;
  runtime::Informer<crd::Host>& hosts;
  runtime::InterfaceFactBoard& interface_facts;
  runtime::VmmFactBoard& vmm_facts;
  runtime::AliasFactBoard& alias_facts;
  runtime::UplinkFactBoard& uplink_facts;
  runtime::ComputeBudget& compute;
  runtime::StatusWriter& statuses;
  runtime::EventRecorder& events;
  Clock& clock;
  std::string host_name;
  runtime::ComputeAmount capacity = {};  // of the host, without its uplink's; 0: not known
};

}  // namespace forkplane::virtual_machine
