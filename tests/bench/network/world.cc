#include "tests/bench/network/world.h"

#include <algorithm>

#include "controller/base/network_names.h"
#include "controller/runtime/limits.h"
#include "reconcilers/host/reconciler.h"

namespace forkplane::bench {
namespace {

constexpr std::chrono::seconds kPatience{30};
constexpr std::int64_t kBitsPerByte = 8;

void AddAll(runtime::Controller& controller, const std::vector<std::string>& keys) {
  for (const std::string& key : keys) controller.Add(key);
}

}  // namespace

ledger::NetworkParameters BenchNetwork() {
  ledger::NetworkParameters parameters;
  parameters.uid = kNetworkUid;
  parameters.name = "default";
  parameters.cidr = Cidr{Ipv4{kGateway.value & 0xffff0000U}, int{kPrefixLength}};
  parameters.gateway = kGateway;
  parameters.address_rest = {};
  return parameters;
}

ledger::VmClaim ClaimOf(const std::string& uid) {
  ledger::VmClaim claim;
  claim.owner = {uid, "default", uid};
  claim.slot_pool = "qemu";
  ledger::InterfaceClaim interface;
  interface.name = "eth0";
  interface.network_uid = kNetworkUid;
  claim.interfaces.push_back(std::move(interface));
  return claim;
}

Result<std::unique_ptr<Drivers>> OpenDrivers() {
  auto drivers = std::make_unique<Drivers>();
  ASSIGN_OR_RETURN(drivers->links, netlink::NetlinkLinkDriver::Open());
  ASSIGN_OR_RETURN(drivers->taps, netlink::NetlinkTapDriver::Open());
  ASSIGN_OR_RETURN(drivers->qdiscs,
                   netlink::NetlinkQdiscDriver::Open(netlink::OwnChanges::kPassedOver));
  ASSIGN_OR_RETURN(drivers->routes,
                   netlink::NetlinkRouteDriver::Open(netlink::OwnChanges::kPassedOver));
  ASSIGN_OR_RETURN(drivers->flows, netlink::NetlinkFlowDriver::Open());
  ASSIGN_OR_RETURN(drivers->identities,
                   bpf::BpfIdentityDriver::Open({{}, {}, netlink::OwnChanges::kPassedOver}));
  return drivers;
}

namespace {

constexpr std::uint8_t kHostPrefixLength = 32;

Status RaiseBridge(Drivers& drivers, std::uint32_t n, std::uint8_t prefix_length) {
  RETURN_IF_ERROR(drivers.links->CreateBridge({n, kGatewayMac, kNetworkUid, kMtuDefault}));
  RETURN_IF_ERROR(drivers.sysctls.DisableIpv6(BridgeName(n)));
  RETURN_IF_ERROR(drivers.sysctls.SwitchOn(BridgeName(n), drivers::LinkSwitch::kForwarding));
  RETURN_IF_ERROR(drivers.routes->AddAddress(BridgeIndex(n), {kGateway, prefix_length}));
  return drivers.links->SetUp(BridgeIndex(n), true);
}

// Answers to guests come in by them.
Status OpenLinks(netlink::ProcSysctlDriver& sysctls) {
  ASSIGN_OR_RETURN(const auto links, sysctls.ForeignForwarding());
  for (const auto& [name, on] : links) RETURN_IF_ERROR(sysctls.SetForeignForwarding(name, true));
  return OkStatus();
}

}  // namespace

Status RaiseHost(Drivers& drivers, const ledger::Ledger& ledger, std::uint64_t capacity_bits) {
  const runtime::OrphanFactBoard orphans;
  auto host = std::make_shared<crd::Host>();
  if (capacity_bits > 0) {
    crd::HostUplink uplink;
    uplink.capacity.emplace();
    uplink.capacity->upload = crd::Quantity::FromDecimal(static_cast<std::int64_t>(capacity_bits));
    host->spec.uplinks = {uplink};
  }
  host::Options options;
  options.host_name = "bench";
  options.object = [host] { return host; };
  host::HostReconciler loop(
      ledger,
      {*drivers.links, *drivers.qdiscs, *drivers.routes, drivers.sysctls, *drivers.identities},
      orphans, std::move(options));
  if (auto pass = loop.Reconcile(host::kKey, {}); !pass.ok()) return std::move(pass).error();
  // No network loop runs here that would make bridges, the second for those above a thousand, and
  // let them forward.
  RETURN_IF_ERROR(OpenLinks(drivers.sysctls));
  RETURN_IF_ERROR(RaiseBridge(drivers, 0, kPrefixLength));
  return RaiseBridge(drivers, 1, kHostPrefixLength);
}

void Specs::Set(const std::string& uid, crd::Bandwidth bandwidth) {
  auto vm = std::make_shared<crd::VirtualMachine>();
  vm->metadata.uid = uid;
  vm->spec.interfaces.front().bandwidth = std::move(bandwidth);
  const MutexLock lock(mu_);
  vms_[uid] = std::move(vm);
}

std::shared_ptr<const crd::VirtualMachine> Specs::Vm(const std::string& uid) const {
  const MutexLock lock(mu_);
  const auto vm = vms_.find(uid);
  return vm == vms_.end() ? nullptr : vm->second;
}

crd::Bandwidth Limits(std::uint64_t download_bits, std::uint64_t upload_bits,
                      std::uint64_t upload_ceil_bits) {
  const auto bits = [](std::uint64_t n) {
    return crd::Quantity::FromDecimal(static_cast<std::int64_t>(n));
  };
  crd::Bandwidth bandwidth;
  bandwidth.download = crd::DownloadLimit{bits(download_bits), std::nullopt};
  bandwidth.upload = crd::UploadLimit{bits(upload_bits), bits(upload_ceil_bits), std::nullopt};
  return bandwidth;
}

World::World(std::unique_ptr<Drivers> drivers, std::unique_ptr<ledger::Ledger> ledger,
             std::unique_ptr<netlink::NetlinkLinkEvents> events)
    : drivers_(std::move(drivers)),
      ledger_(std::move(ledger)),
      events_(std::move(events)),
      tap_loop_(*ledger_,
                {*drivers_->links, *drivers_->taps, *drivers_->qdiscs, *drivers_->identities,
                 *drivers_->routes, drivers_->sysctls, *drivers_->flows},
                facts_, vmms_,
                {.requeue = [this](const std::string& key) { tap_.Add(key); },
                 .bucket = [this](const auto& lease) { return shaping_loop_.BucketOf(lease); },
                 .shape = [this](const auto& lease) { shaping_loop_.ShapeNewborn(lease); },
                 .registry = &metrics_}),
      shaping_loop_(
          *ledger_, specs_, *drivers_->qdiscs, facts_,
          {.later = [this](const std::string& key, auto delay) { shaping_.AddAfter(key, delay); },
           .registry = &metrics_}),
      tap_({.name = "tap",
            .behind = [this](const std::string& key) { return tap_loop_.CanWait(key); }},
           tap_loop_, RealClock(), SystemRng(), metrics_),
      shaping_({.name = "shaping"}, shaping_loop_, RealClock(), SystemRng(), metrics_) {}

World::~World() {
  subscription_.reset();
  events_->Stop();
  tap_.Stop();
  shaping_.Stop();
}

Result<std::unique_ptr<World>> World::Open(const std::string& directory,
                                           std::uint64_t capacity_bits) {
  ASSIGN_OR_RETURN(auto drivers, OpenDrivers());
  ledger::Options options;
  options.path = directory + "/ledger.db";
  ASSIGN_OR_RETURN(auto ledger, ledger::Ledger::Open(std::move(options), RealClock(), SystemRng()));
  if (auto network = ledger->ClaimNetwork(BenchNetwork()); !network.ok()) {
    return std::move(network).error();
  }
  RETURN_IF_ERROR(RaiseHost(*drivers, *ledger, capacity_bits));
  ASSIGN_OR_RETURN(auto events, netlink::NetlinkLinkEvents::Open());
  std::unique_ptr<World> world(new World(std::move(drivers), std::move(ledger), std::move(events)));
  RETURN_IF_ERROR(world->Start());
  return world;
}

Status World::Start() {
  subscription_ = ledger_->Subscribe([this](const ledger::Change& change) {
    AddAll(tap_, tap_loop_.KeysOf(change));
    shaping_loop_.Learn(change);
    AddAll(shaping_, shaping_loop_.KeysOf(change));
    const MutexLock lock(mu_);  // else a waiter between its look and its wait misses this
    changed_.NotifyAll();
  });
  facts_.Subscribe([this](const std::string& lease) {
    AddAll(shaping_, shaping_loop_.KeyOfFact(lease));
    const MutexLock lock(mu_);
    changed_.NotifyAll();
  });
  RETURN_IF_ERROR(events_->Start([this](const drivers::LinkEvent& event) {
    for (const std::string& key : tap_loop_.KeysOf(event)) {
      tap_.AddMerged(key, runtime::kEventMergeWindow);
    }
    for (const std::string& key : shaping_loop_.KeysOf(event)) {
      shaping_.AddMerged(key, shaping::ShapingReconciler::MergeWindow(key));
    }
  }));
  tap_.Start();
  shaping_.Start();
  return OkStatus();
}

Result<ledger::VmLease> World::Claim(const std::string& uid) {
  return ledger_->Claim(ClaimOf(uid));
}

Status World::WaitUntilShaped(const std::string& key) {
  const MutexLock lock(mu_);
  const bool done = changed_.WaitUntil(mu_, {}, std::chrono::steady_clock::now() + kPatience, [&] {
    const auto facts = facts_.Get(key);
    return facts && facts->ready && facts->shaped;
  });
  if (done) return OkStatus();
  const auto facts = facts_.Get(key).value_or(runtime::InterfaceFacts{.reason = "no fact"});
  return Unavailable(fmt::format("lease {} is not ready and shaped: ready {} {}, shaped {} {}", key,
                                 facts.ready, facts.reason, facts.shaped, facts.shaped_reason));
}

Status World::WaitForRates(const std::string& key, const crd::Bandwidth& bandwidth) {
  const auto whole_bytes = [](const crd::Quantity& bits) {
    return static_cast<std::uint64_t>(bits.Value() / kBitsPerByte * kBitsPerByte);
  };
  const std::uint64_t down = whole_bytes(*bandwidth.download->rate);
  const std::uint64_t up = whole_bytes(*bandwidth.upload->rate);
  const std::uint64_t ceil = whole_bytes(*bandwidth.upload->ceil);
  const auto holds = [&] {
    const auto facts = facts_.Get(key);
    return facts && facts->shaped && facts->download_rate_bits_per_second == down &&
           facts->upload_rate_bits_per_second == up && facts->upload_ceil_bits_per_second == ceil;
  };
  const MutexLock lock(mu_);
  if (changed_.WaitUntil(mu_, {}, std::chrono::steady_clock::now() + kPatience, holds)) {
    return OkStatus();
  }
  return Unavailable("the new rates were not seen in the kernel");
}

Status World::Shape(const std::string& uid, const crd::Bandwidth& bandwidth) {
  const auto vm = ledger_->GetVm(uid);
  if (!vm) return NotFound(fmt::format("VM {}", uid));
  specs_.Set(uid, bandwidth);
  AddAll(shaping_, shaping_loop_.KeysOfVm(uid));
  return WaitForRates(ledger::KeyOf(vm->interfaces.front().id), bandwidth);
}

// From the last one, which is likely to go last: asked at each change.
bool World::AnyLeft(const std::vector<ledger::VmLease>& vms) const {
  return std::any_of(vms.rbegin(), vms.rend(),
                     [this](const auto& vm) { return ledger_->GetVm(vm.owner.uid).has_value(); });
}

Status World::ReleaseAll(const std::string& prefix) {
  auto vms = ledger_->ListAll().vms;
  std::erase_if(vms, [&](const auto& vm) { return !vm.owner.uid.starts_with(prefix); });
  RETURN_IF_ERROR(crew_.Run(static_cast<std::uint32_t>(vms.size()), [&](std::uint32_t n) {
    return ledger_->Release(vms[n - 1].owner.uid);
  }));
  const MutexLock lock(mu_);
  const bool gone = changed_.WaitUntil(mu_, {}, std::chrono::steady_clock::now() + kPatience,
                                       [&] { return !AnyLeft(vms); });
  return gone ? OkStatus() : Status(Unavailable("leases are still being released"));
}

}  // namespace forkplane::bench
