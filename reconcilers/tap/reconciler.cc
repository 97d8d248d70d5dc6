#include "reconcilers/tap/reconciler.h"

#include "controller/base/log.h"
#include "controller/base/network_names.h"
#include "controller/runtime/converge.h"
#include "reconcilers/tap/explain.h"

namespace forkplane::tap {
namespace {

constexpr std::uint64_t kBitsPerByte = 8;

std::optional<ledger::InterfaceLease> LeaseOf(const ledger::Ledger& ledger,
                                              const std::string& key) {
  const auto id = ledger::LeaseIdOf(key);
  return id ? ledger.GetInterface(*id) : std::nullopt;
}

// Untranslated guests keep the MAC they have.
MacAddress OuterMacOf(const ledger::InterfaceLease& lease) {
  return lease.translated ? OuterMac(lease.number) : lease.inner_mac;
}

// One driver call per action.
struct Executor {
  const Drivers& on;
  const Desired& want;
  std::uint32_t number;
  std::uint32_t tap;     // index
  std::uint32_t bridge;  // index

  Status operator()(const SetEntry&) { return on.identities.SetEntry(tap, want.entry); }
  Status operator()(const CreateTap&) { return on.taps.Create(want.spec); }
  Status operator()(const ReattachTap& a) { return on.taps.Reattach(want.spec, a.pid); }
  Status operator()(const AdoptTap& a) { return on.taps.Adopt(number, a.pid); }
  Status operator()(const ForgetFile&) { return on.taps.Forget(number); }
  Status operator()(const DeleteTap&) { return on.taps.Delete(number); }
  Status operator()(const DeleteLink&) { return on.links.Delete(tap); }
  Status operator()(const SetName&) { return on.links.SetName(tap, TapName(number)); }
  Status operator()(const SetAlias&) { return on.links.SetAlias(tap, want.spec.alias); }
  Status operator()(const SetMtu&) { return on.links.SetMtu(tap, want.mtu); }
  Status operator()(const DisableIpv6&) { return on.sysctls.DisableIpv6(TapName(number)); }
  Status operator()(const DeleteIngress&) { return on.qdiscs.DeleteClsact(tap); }
  Status operator()(const AddClsact&) { return on.qdiscs.AddClsact(tap); }
  Status operator()(const Attach& a) { return on.identities.Attach(tap, a.direction); }
  Status operator()(const DeleteRoot&) { return on.qdiscs.DeleteRoot(tap); }
  Status operator()(const AddTbf&) { return on.qdiscs.AddTbf(tap, want.unshaped); }
  Status operator()(const SetDown&) { return on.links.SetUp(tap, false); }
  Status operator()(const SetMaster&) { return on.links.SetMaster(tap, bridge); }
  Status operator()(const SetPortUp&) { return on.links.SetPortUp(tap, want.isolated); }
  Status operator()(const SetPortIsolation&) {
    return on.links.SetPortIsolation(tap, want.isolated);
  }
  Status operator()(const AddHostRoute&) { return on.routes.AddHostRoute(bridge, want.address); }
  Status operator()(const SetNeighbour&) {
    return on.routes.SetNeighbour(bridge, {want.address, want.entry.outer_mac});
  }
  Status operator()(const DeleteHostRoute&) {
    return on.routes.DeleteHostRoute(bridge, want.address);
  }
  Status operator()(const DeleteNeighbour&) {
    return on.routes.DeleteNeighbour(bridge, want.address);
  }
  Status operator()(const DeleteEntry&) { return on.identities.DeleteEntry(tap); }
};

}  // namespace

TapReconciler::TapReconciler(ledger::Ledger& ledger, Drivers drivers,
                             runtime::InterfaceFactBoard& facts, const runtime::VmmFactBoard& vmms,
                             Options options)
    : ledger_(ledger),
      drivers_(drivers),
      facts_(facts),
      vmms_(vmms),
      options_(std::move(options)),
      repairs_(options_.registry, "tap", {"tap", "filter", "tbf", "entry", "route", "neighbour"}),
      deletions_(options_.deletion_threads, [this](const std::string& key, const Status& status) {
        if (!status.ok() && status.error().code != Code::kNotFound) {
          log::Warn("cannot delete a TAP; trying again", {{"lease", key}, {"err", status.error()}});
        }
        if (options_.requeue) options_.requeue(key);
      }) {}

Result<runtime::Next> TapReconciler::Reconcile(const std::string& key,
                                               const std::stop_token& stop) {
  const auto lease = LeaseOf(ledger_, key);
  if (!lease) {
    facts_.Retract(key);
    repairs_.Forget(key);
    return runtime::Next::Done();
  }
  if (deletions_.IsPending(key)) return runtime::Next::Done();  // its end queues the key
  ASSIGN_OR_RETURN(const Desired desired, Desire(*lease));
  repairs_.Want(key, desired);
  bool handed_over = false;
  const auto observe = [&] {
    if (options_.looking) options_.looking(key);
    return Observe(desired, lease->owner.uid);
  };
  const auto plan = [&](const Observed& observed) { return options_.plan(desired, observed); };
  const auto execute = [&](const Action& action) {
    const bool slow = std::holds_alternative<DeleteTap>(action);
    if (!slow || options_.deletion_threads == 0) return Execute(key, desired, action);
    handed_over = true;
    deletions_.Submit(key, [this, key, desired, action] { return Execute(key, desired, action); });
    return Status(Cancelled("handed to the deletion pool"));
  };
  auto observed = runtime::Converge<Observed>(observe, plan, execute, stop);
  if (handed_over) {
    Publish(key, false, desired.present ? "Recreating" : "Releasing");
    return runtime::Next::Done();
  }
  if (!observed.ok()) {
    Publish(key, false, "Retrying");
    return std::move(observed).error().WithContext(
        fmt::format("tap {} of {}", TapName(lease->number), ToString(lease->owner)));
  }
  return Finish(*lease, desired, *observed);
}

Result<runtime::Next> TapReconciler::Finish(const ledger::InterfaceLease& lease,
                                            const Desired& desired, const Observed& observed) {
  const std::string key = ledger::KeyOf(lease.id);
  const std::string waits = WaitsFor(desired, observed);
  Publish(key, waits.empty(), waits);
  // Without the bridge an empty plan is not all of it.
  if (desired.present && observed.link && observed.bridge_up) repairs_.Saw(key, desired);
  if (desired.present || !IsAbsent(observed)) return runtime::Next::Done();
  RETURN_IF_ERROR(ledger_.ConfirmAbsent(lease.id, ledger::Part::kTap));
  if (!ledger_.GetInterface(lease.id)) facts_.Retract(key);
  return runtime::Next::Done();
}

void TapReconciler::Publish(const std::string& key, bool ready, const std::string& reason) {
  facts_.Amend(key, [&](runtime::InterfaceFacts& facts) {
    facts.ready = ready;
    facts.reason = reason;
  });
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
  desired.bridge = network->bridge;
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
  const std::uint64_t rate = parameters.unshaped_rate_bits / kBitsPerByte;
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
  if (observed.link) RETURN_IF_ERROR(ObserveDevice(index, observed));
  RETURN_IF_ERROR(ObserveBridge(desired, observed));
  ObserveVmm(owner_uid, observed);
  return observed;
}

Status TapReconciler::ObserveDevice(std::uint32_t index, Observed& observed) {
  ASSIGN_OR_RETURN(observed.programs, drivers_.identities.ObservePrograms(index));
  // The switch of a link that somebody renamed is not looked for under a name that is not ours.
  if (observed.link->name == TapName(NumberOfTap(index))) {
    ASSIGN_OR_RETURN(observed.ipv6_disabled, drivers_.sysctls.Ipv6Disabled(observed.link->name));
  }
  ASSIGN_OR_RETURN(const bool bounded, drivers_.qdiscs.HasTbf(index));
  using drivers::ProgramState;
  if (bounded &&
      observed.programs == drivers::AttachedPrograms{ProgramState::kOurs, ProgramState::kOurs}) {
    // Two programs in two directions stand on a clsact. So nothing is missing, and the list of
    // every qdisc of the host, which alone would tell what is, need not be asked for.
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
  const std::uint32_t bridge = BridgeIndex(desired.bridge);
  ASSIGN_OR_RETURN(const auto link, drivers_.links.Observe(bridge));
  if (!link) return OkStatus();
  observed.bridge_up = link->up;
  ASSIGN_OR_RETURN(observed.host_route, drivers_.routes.HasHostRoute(bridge, desired.address));
  ASSIGN_OR_RETURN(observed.neighbour, drivers_.routes.ObserveNeighbour(bridge, desired.address));
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

Status TapReconciler::Execute(const std::string& key, const Desired& desired,
                              const Action& action) {
  log::Debug("tap action", {{"lease", key}, {"action", ToString(action)}});
  const std::uint32_t number = desired.spec.number;
  // What this loop takes away itself it does not put back.
  if (std::holds_alternative<DeleteTap>(action)) repairs_.Forget(key);
  RETURN_IF_ERROR(std::visit(
      Executor{drivers_, desired, number, TapIndex(number), BridgeIndex(desired.bridge)}, action));
  repairs_.Did(key, PartOf(action));
  return OkStatus();
}

Result<std::string> TapReconciler::Explain(const std::string& key) {
  const auto lease = LeaseOf(ledger_, key);
  if (!lease) return NotFound(fmt::format("interface lease {}", key));
  ASSIGN_OR_RETURN(const Desired desired, Desire(*lease));
  ASSIGN_OR_RETURN(const Observed observed, Observe(desired, lease->owner.uid));
  return ExplainText(*lease, desired, observed);
}

std::vector<std::string> TapReconciler::AllKeys() const {
  std::vector<std::string> keys;
  for (const auto& vm : ledger_.ListAll().vms) {
    for (const auto& lease : vm.interfaces) keys.push_back(ledger::KeyOf(lease.id));
  }
  return keys;
}

std::vector<std::string> TapReconciler::KeysOfVm(const std::string& owner_uid) const {
  std::vector<std::string> keys;
  if (const auto vm = ledger_.GetVm(owner_uid)) {
    for (const auto& lease : vm->interfaces) keys.push_back(ledger::KeyOf(lease.id));
  }
  return keys;
}

std::vector<std::string> TapReconciler::KeysOf(const ledger::Change& change) const {
  if (change.kind == ledger::Change::Kind::kInterface) return {ledger::KeyOf(change.lease)};
  if (change.kind != ledger::Change::Kind::kNetwork) return {};
  std::vector<std::string> keys;
  for (const auto& lease : ledger_.InterfacesOfNetwork(change.network_uid)) {
    keys.push_back(ledger::KeyOf(lease.id));
  }
  return keys;
}

std::vector<std::string> TapReconciler::KeysOf(const drivers::LinkEvent& event) const {
  if (event.kind == drivers::LinkEventKind::kLost) return AllKeys();
  if (IsTapIndex(event.index)) {
    const auto lease = ledger_.GetInterfaceByNumber(NumberOfTap(event.index));
    return lease ? std::vector<std::string>{ledger::KeyOf(lease->id)} : std::vector<std::string>{};
  }
  using drivers::LinkEventKind;
  if (event.kind == LinkEventKind::kRoute || event.kind == LinkEventKind::kNeighbour) {
    return KeysOfAddress(event);
  }
  // The filter that redirects to an IFB names it, and forgets it when it goes.
  const bool mirred = drivers_.identities.Mode() == drivers::RedirectMode::kMirred;
  if (mirred && event.turned && IsIfbIndex(event.index)) {
    std::vector<std::string> keys;
    for (const auto& lease : ledger_.InterfacesOfDomain(event.index - kIfbIndexBase)) {
      keys.push_back(ledger::KeyOf(lease.id));
    }
    return keys;
  }
  // A bridge takes its ports, routes and neighbours with it without a word about them, when it
  // goes, when it goes down and when it loses its last address. What else happens to it, a port
  // that joins above all, is no news here.
  const bool matters = event.kind == LinkEventKind::kLinkGone ||
                       event.kind == LinkEventKind::kAddressGone || event.turned;
  return matters && IsBridgeIndex(event.index) ? AllKeys() : std::vector<std::string>{};
}

// A neighbour that stands as it should is what we wrote ourselves.
std::vector<std::string> TapReconciler::KeysOfAddress(const drivers::LinkEvent& event) const {
  const auto lease = ledger_.GetInterfaceByAddress(event.address);
  if (!lease || event.mac == OuterMacOf(*lease)) return {};
  return {ledger::KeyOf(lease->id)};
}

}  // namespace forkplane::tap
