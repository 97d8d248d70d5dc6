#include "controller/app/host_drivers.h"

#include "controller/base/log.h"
#include "drivers/bpf/identity.h"
#include "drivers/bpf/packet_injector.h"
#include "drivers/hooked/machines.h"
#include "drivers/hooked/network.h"
#include "drivers/netlink/events.h"
#include "drivers/netlink/flow.h"
#include "drivers/netlink/link.h"
#include "drivers/netlink/qdisc.h"
#include "drivers/netlink/route.h"
#include "drivers/netlink/sysctl.h"
#include "drivers/netlink/tap.h"
#include "drivers/nftables/firewall.h"
#include "drivers/nftables/forwarding_probe.h"
#include "drivers/process/process.h"
#include "drivers/storage/host_storage.h"
#include "drivers/storage/process_template_holder.h"
#include "drivers/trace/trace.h"
#include "drivers/vmm/qemu/qemu.h"
#include "drivers/vmm/simulated/simulated.h"

namespace forkplane::app {
namespace {

// Opens one driver, hands it to `parts` and sets the pointer loops use.
template <typename Interface, typename Driver>
Status Take(Result<std::unique_ptr<Driver>> opened, HostDrivers& host, Interface*& slot) {
  if (!opened.ok()) return std::move(opened).error();
  slot = host.parts.Add(std::move(opened).value());
  return OkStatus();
}

Status OpenForwardingProbe(HostDrivers& host) {
  auto opened = bpf::PacketInjector::Open();
  nftables::NftForwardingProbe::Inject inject;
  if (opened.ok()) {
    auto* injector = host.parts.Add(std::move(opened).value());
    inject = [injector](std::uint32_t index, std::span<const std::uint8_t> frame) {
      return injector->Inject(index, frame);
    };
  } else {
    log::Warn("ForwardingBlocked will not be found", {{"error", opened.error()}});
    inject = [](std::uint32_t, std::span<const std::uint8_t>) -> Status {
      return Invalid("no packet can be injected");
    };
  }
  return Take(nftables::NftForwardingProbe::Open(std::move(inject)), host, host.forwarding);
}

Status OpenNetwork(const Options& options, HostDrivers& host) {
  RETURN_IF_ERROR(Take(netlink::NetlinkLinkDriver::Open(), host, host.links));
  RETURN_IF_ERROR(Take(netlink::NetlinkTapDriver::Open(), host, host.taps));
  constexpr auto kOwn = netlink::OwnChanges::kPassedOver;
  RETURN_IF_ERROR(Take(netlink::NetlinkQdiscDriver::Open(kOwn), host, host.qdiscs));
  RETURN_IF_ERROR(Take(netlink::NetlinkRouteDriver::Open(kOwn), host, host.routes));
  host.sysctls = host.parts.Add(std::make_unique<netlink::ProcSysctlDriver>());
  ASSIGN_OR_RETURN(const auto mode, drivers::ChooseRedirect(options.redirect, bpf::ProbeRedirect));
  RETURN_IF_ERROR(Take(
      bpf::BpfIdentityDriver::Open({.pin_directory = options.bpffs, .mode = mode, .own = kOwn}),
      host, host.identities));
  RETURN_IF_ERROR(Take(nftables::NftFirewallDriver::Open(), host, host.firewall));
  RETURN_IF_ERROR(Take(netlink::NetlinkFlowDriver::Open(), host, host.flows));
  RETURN_IF_ERROR(OpenForwardingProbe(host));
  return Take(netlink::NetlinkLinkEvents::Open(), host, host.events);
}

Status OpenMachines(const Options& options, metrics::Registry& metrics, HostDrivers& host) {
  const std::string& state = options.state_dir;
  auto processes = process::HostProcessDriver::Open({.mount_point = state + "/root"}, &metrics);
  const std::string unbounded = processes.ok() ? (*processes)->controllers().Missing() : "";
  if (!unbounded.empty()) {
    log::Warn("the cgroup tree offers no controller that bounds VMMs; see forkplane doctor",
              {{"missing", unbounded}});
  }
  RETURN_IF_ERROR(Take(std::move(processes), host, host.processes));
  RETURN_IF_ERROR(
      Take(storage::HostStorage::Open({.state_dir = state, .image_roots = options.image_roots}),
           host, host.storage));
  ASSIGN_OR_RETURN(const UidRange uids, ParseUidRange(options.uid_range));
  return Take(storage::ProcessTemplateHolder::Open({.directory = state + "/templates",
                                                    .executable = "/proc/self/exe",
                                                    .user = uids.helper,
                                                    .group = uids.helper},
                                                   host.processes),
              host, host.templates);
}

Status OpenHypervisors(const Options& options, HostDrivers& host) {
  ASSIGN_OR_RETURN(const UidRange uids, ParseUidRange(options.uid_range));
  auto qemu = vmm::Qemu::Open(
      {.binary = options.qemu_binary, .kvm_probe = {.user = uids.helper, .group = uids.helper}},
      host.processes);
  if (qemu.ok()) {
    host.hypervisors.push_back(host.parts.Add(std::move(qemu).value()));
  } else {
    log::Warn("a hypervisor is left out", {{"name", "qemu"}, {"error", qemu.error()}});
  }
  ASSIGN_OR_RETURN(auto simulated, vmm::Simulated::Open({}));
  host.hypervisors.push_back(host.parts.Add(std::move(simulated)));
  return OkStatus();
}

}  // namespace

void HookNetwork(HostDrivers& host, drivers::CallHook& hook) {
  host.links = host.parts.Add(std::make_unique<drivers::HookedLinkDriver>(*host.links, hook));
  host.taps = host.parts.Add(std::make_unique<drivers::HookedTapDriver>(*host.taps, hook));
  host.qdiscs = host.parts.Add(std::make_unique<drivers::HookedQdiscDriver>(*host.qdiscs, hook));
  host.routes = host.parts.Add(std::make_unique<drivers::HookedRouteDriver>(*host.routes, hook));
  host.sysctls = host.parts.Add(std::make_unique<drivers::HookedSysctlDriver>(*host.sysctls, hook));
  host.identities =
      host.parts.Add(std::make_unique<drivers::HookedIdentityDriver>(*host.identities, hook));
  host.firewall =
      host.parts.Add(std::make_unique<drivers::HookedFirewallDriver>(*host.firewall, hook));
  host.flows = host.parts.Add(std::make_unique<drivers::HookedFlowDriver>(*host.flows, hook));
  host.forwarding =
      host.parts.Add(std::make_unique<drivers::HookedForwardingProbe>(*host.forwarding, hook));
}

void HookMachines(HostDrivers& host, drivers::CallHook& hook) {
  host.processes =
      host.parts.Add(std::make_unique<drivers::HookedProcessDriver>(*host.processes, hook));
  host.storage =
      host.parts.Add(std::make_unique<drivers::HookedStorageDriver>(*host.storage, hook));
  host.templates =
      host.parts.Add(std::make_unique<drivers::HookedTemplateHolder>(*host.templates, hook));
  for (vmm::Hypervisor*& hypervisor : host.hypervisors) {
    hypervisor = host.parts.Add(std::make_unique<drivers::HookedHypervisor>(*hypervisor, hook));
  }
}

Result<HostDrivers> OpenHostDrivers(const Options& options, metrics::Registry& metrics) {
  HostDrivers host;
  RETURN_IF_ERROR(OpenNetwork(options, host));
  ASSIGN_OR_RETURN(host.leaf, drivers::ChooseLeaf(options.leaf, *host.qdiscs));
  HookNetwork(host, *host.parts.Add(std::make_unique<trace::CallMetrics>(metrics, RealClock())));
  RETURN_IF_ERROR(OpenMachines(options, metrics, host));
  RETURN_IF_ERROR(OpenHypervisors(options, host));
  return host;
}

}  // namespace forkplane::app
