// Every driver the loops use, behind its interface: the real ones, or what a test puts around or
// instead of them.
#pragma once

#include <memory>
#include <vector>

#include "controller/app/options.h"
#include "controller/base/metrics.h"
#include "controller/base/result.h"
#include "drivers/call_hook.h"
#include "drivers/firewall_driver.h"
#include "drivers/flow_driver.h"
#include "drivers/forwarding_probe.h"
#include "drivers/identity_driver.h"
#include "drivers/link_driver.h"
#include "drivers/link_events.h"
#include "drivers/process_driver.h"
#include "drivers/qdisc_driver.h"
#include "drivers/route_driver.h"
#include "drivers/storage_driver.h"
#include "drivers/sysctl_driver.h"
#include "drivers/tap_driver.h"
#include "drivers/template_holder.h"
#include "drivers/vmm/hypervisor.h"

namespace forkplane::app {

// Never null once opened. What stands behind the pointers is owned by `parts`; a decorator put in
// front of one later is destroyed before it.
struct HostDrivers {
  drivers::LinkDriver* links = nullptr;
  drivers::TapDriver* taps = nullptr;
  drivers::QdiscDriver* qdiscs = nullptr;
  drivers::RouteDriver* routes = nullptr;
  drivers::SysctlDriver* sysctls = nullptr;
  drivers::IdentityDriver* identities = nullptr;
  drivers::FirewallDriver* firewall = nullptr;
  drivers::FlowDriver* flows = nullptr;
  drivers::ForwardingProbe* forwarding = nullptr;
  drivers::LinkEvents* events = nullptr;
  process::ProcessDriver* processes = nullptr;
  storage::StorageDriver* storage = nullptr;
  storage::TemplateHolder* templates = nullptr;
  std::vector<vmm::Hypervisor*> hypervisors;  // the first is the host's default
  drivers::LeafKind leaf = drivers::LeafKind::kBfifo;

  // Destroys in the reverse order of making.
  class Parts {
   public:
    Parts() = default;
    Parts(Parts&&) = default;
    Parts& operator=(Parts&&) = default;
    ~Parts() {
      while (!owned_.empty()) owned_.pop_back();
    }
    template <typename T>
    T* Add(std::unique_ptr<T> part) {
      T* raw = part.get();
      owned_.push_back(std::shared_ptr<void>(std::move(part)));
      return raw;
    }

   private:
    std::vector<std::shared_ptr<void>> owned_;
  };
  Parts parts;
};

// Puts `hook` around every network driver. It must outlive them.
void HookNetwork(HostDrivers& drivers, drivers::CallHook& hook);
// The same for processes, storage, templates and hypervisors.
void HookMachines(HostDrivers& drivers, drivers::CallHook& hook);

// The kernel's, with metrics around the network ones. An error names what is missing; `forkplane
// doctor` says more. A hypervisor that is not installed is left out with a warning: the simulated
// one is always there.
Result<HostDrivers> OpenHostDrivers(const Options& options, metrics::Registry& metrics);

}  // namespace forkplane::app
