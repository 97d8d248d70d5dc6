// What is wished of an interface, and what is seen of it.
#include <algorithm>

#include "controller/base/network_names.h"
#include "reconcilers/tap/reconciler.h"

namespace forkplane::tap {

// Untranslated guests keep the MAC they have.
MacAddress OuterMacOf(const ledger::InterfaceLease& lease) {
  return lease.translated ? OuterMac(lease.number) : lease.inner_mac;
}

// The ledger alone: a TAP under a running VM is kept and healed also when the store is lost.
Result<Desired> TapReconciler::Desire(const ledger::InterfaceLease& lease) const {
  const auto network = ledger_.GetNetwork(lease.network_uid);
  if (!network) {
    return Unavailable(fmt::format("network {} has no lease", lease.network_name));
  }
  const ledger::NetworkParameters& parameters = network->parameters;
  Desired desired;
  desired.present = lease.state == ledger::InterfaceState::kActive;
  desired.spec.number = lease.number;
  desired.spec.alias = lease.owner.uid;
  desired.spec.vnet_header_bytes = lease.tap.vnet_header_bytes;
  desired.spec.offloads = lease.tap.offloads;
  desired.bridge = lease.bridge;
  desired.routed = parameters.routed;
  desired.isolated = parameters.isolation;
  desired.mtu = parameters.mtu;
  desired.address = lease.address;
  // Untranslated guests were given their outer address: the programs then only pin them to it.
  desired.entry.inner_mac = lease.inner_mac;
  desired.entry.outer_mac = OuterMacOf(lease);
  desired.entry.inner_address = lease.translated ? lease.inner_address : lease.address;
  desired.entry.outer_address = lease.address;
  desired.entry.gateway = parameters.gateway;
  desired.entry.prefix_length = static_cast<std::uint8_t>(parameters.cidr.prefix);
  desired.entry.mtu = static_cast<std::uint16_t>(parameters.mtu);
  desired.entry.dns = parameters.dns;
  const std::uint64_t rate = std::max(parameters.unshaped_rate_bits / drivers::kBitsPerByte,
                                      drivers::RateMin(parameters.mtu));
  desired.unshaped = {rate, drivers::DefaultBurst(rate, parameters.mtu),
                      drivers::DefaultQueueBytes(rate)};
  return desired;
}

Result<Observed> TapReconciler::Observe(const Desired& desired, const std::string& owner_uid) {
  const std::uint32_t number = desired.spec.number;
  const std::uint32_t index = TapIndex(number);
  Observed observed;
  ASSIGN_OR_RETURN(observed.link, drivers_.links.Observe(index));
  ASSIGN_OR_RETURN(observed.file, drivers_.taps.ObserveFile(number));
  ASSIGN_OR_RETURN(observed.entry, drivers_.identities.ObserveEntry(index));
  if (observed.link) RETURN_IF_ERROR(ObserveDevice(desired, observed));
  RETURN_IF_ERROR(ObserveBridge(desired, observed));
  ObserveVmm(owner_uid, observed);
  return observed;
}

Status TapReconciler::ObserveDevice(const Desired& desired, Observed& observed) {
  const std::uint32_t index = TapIndex(desired.spec.number);
  ASSIGN_OR_RETURN(observed.programs, drivers_.identities.ObservePrograms(index));
  // The switch of a link that somebody renamed is not looked for under a name that is not ours.
  if (observed.link->name == TapName(NumberOfTap(index))) {
    const std::string& name = observed.link->name;
    ASSIGN_OR_RETURN(observed.ipv6_disabled, drivers_.sysctls.Ipv6Disabled(name));
    if (desired.routed) {
      ASSIGN_OR_RETURN(observed.switches, drivers::ObserveGuestLink(drivers_.sysctls, name));
    }
  }
  ASSIGN_OR_RETURN(const bool bounded, drivers_.qdiscs.HasTbf(index));
  using drivers::ProgramState;
  if (bounded &&
      observed.programs == drivers::AttachedPrograms{ProgramState::kOurs, ProgramState::kOurs}) {
    // Two programs in two directions stand on a clsact. So nothing is missing, and the look at each
    // qdisc, of which every listener hears, is not needed.
    observed.clsact = true;
    observed.root = Root::kTbf;
    return OkStatus();
  }
  ASSIGN_OR_RETURN(const auto qdiscs, drivers_.qdiscs.ObservePort(index));
  observed.clsact = qdiscs.clsact;
  observed.foreign_ingress = qdiscs.foreign_ingress;
  if (!qdiscs.root) return OkStatus();
  const bool ours = qdiscs.root->tbf && qdiscs.root->handle == kTbfHandle;
  observed.root = ours ? Root::kTbf : Root::kOther;
  return OkStatus();
}

Status TapReconciler::ObserveBridge(const Desired& desired, Observed& observed) {
  ASSIGN_OR_RETURN(const auto link, drivers_.links.Observe(BridgeIndex(desired.bridge)));
  observed.bridge_up = link && link->up;
  if (!(desired.routed ? observed.link : link)) return OkStatus();
  const std::uint32_t way = RouteLink(desired);
  ASSIGN_OR_RETURN(observed.host_route, drivers_.routes.HasHostRoute(way, desired.address));
  ASSIGN_OR_RETURN(observed.neighbour, drivers_.routes.ObserveNeighbour(way, desired.address));
  return OkStatus();
}

void TapReconciler::ObserveVmm(const std::string& owner_uid, Observed& observed) const {
  if (const auto fact = vmms_.Get(owner_uid)) {
    const bool behind = fact->running && fact->holds_taps;
    observed.vmm = behind ? Vmm::kRunning : Vmm::kNone;
    observed.vmm_pid = behind ? fact->pid : 0;
    return;
  }
  const auto vm = ledger_.GetVm(owner_uid);
  const bool on_record = vm && vm->vmm;
  const bool held = observed.link && observed.link->carrier;
  observed.vmm = on_record || held ? Vmm::kUnknown : Vmm::kNone;
}

}  // namespace forkplane::tap
