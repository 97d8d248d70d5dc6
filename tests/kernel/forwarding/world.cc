#include "tests/kernel/forwarding/world.h"

#include "controller/base/network_names.h"
#include "controller/base/rng.h"
#include "tests/support/netns.h"

namespace forkplane::forwarding {
namespace {

constexpr Ipv4 kGateway{0x0a4d0001};

void Must(const Result<runtime::Next>& result, const char* loop) {
  EXPECT_TRUE(result.ok()) << loop << ": " << result.error().message;
}

}  // namespace

Objects::Objects() {
  network.metadata.name = "default";
  network.metadata.uid = "net";
  network.spec.cidr = "10.77.0.0/24";
  network.spec.address_rest = crd::Duration::Of("0s");
}

World::World(drivers::FlowDriver* flows_instead) {
  ledger::Options options;
  options.path = ":memory:";
  ledger = std::move(ledger::Ledger::Open(options, RealClock(), SystemRng())).value();
  host_ = std::make_unique<host::HostReconciler>(
      *ledger, host::Drivers{*links, *qdiscs, *routes, sysctls, *identities}, orphans_,
      host::Options{.host_name = "h", .object = {}, .known = {}, .report = {}});
  network_ = std::make_unique<network::NetworkReconciler>(
      *ledger, objects, network::Drivers{*links, *routes, sysctls, *firewall, *forwarding, *flows},
      "h", clock);
  tap::Options tap_options;
  tap_options.deletion_threads = 0;
  drivers::FlowDriver& flow_driver = flows_instead != nullptr ? *flows_instead : *flows;
  tap_ = std::make_unique<tap::TapReconciler>(
      *ledger, tap::Drivers{*links, *taps, *qdiscs, *identities, *routes, sysctls, flow_driver},
      facts_, vmms_, tap_options);
  Pass();
}

void World::Pass() {
  Must(host_->Reconcile(host::kKey, {}), "host");
  Must(network_->Reconcile("default", {}), "network");
  for (const auto& key : tap_->AllKeys()) Must(tap_->Reconcile(key, {}), "tap");
}

Status World::PassOfRules() {
  RETURN_IF_ERROR(network_->Reconcile(network::kRulesKey, {}));
  return OkStatus();
}

ledger::InterfaceLease World::Claim(const std::string& name, std::optional<Ipv4> address) {
  ledger::VmClaim claim{.owner = {"uid-" + name, "default", name}};
  claim.interfaces = {{.ordinal = 0, .name = "eth0", .network_uid = "net", .address = address}};
  const auto lease = ledger->Claim(claim);
  EXPECT_TRUE(lease.ok()) << lease.error().message;
  Pass();
  ledger::InterfaceLease result = lease->interfaces.at(0);
  // Unshaped traffic falls into the default class, which is enough here.
  return result;
}

void World::Release(const std::string& name) {
  const auto vm = ledger->GetVm("uid-" + name);
  ASSERT_TRUE(vm.has_value());
  ASSERT_TRUE(ledger->Release("uid-" + name).ok());
  // There is no shaping loop: no class was ever added.
  ASSERT_TRUE(ledger->ConfirmAbsent(vm->interfaces.at(0).id, ledger::Part::kClass).ok());
  Pass();
}

traffic::Guest World::GuestOf(const ledger::InterfaceLease& lease) {
  traffic::Guest guest(*taps->Dup(lease.number));
  const auto is_arp = [](const traffic::Bytes& f) { return traffic::Read16(f, 12) == 0x0806; };
  for (int i = 0; i < 50; ++i) {
    EXPECT_TRUE(guest.Send(traffic::ArpRequest(InnerMac(0), kInner, kGateway)));
    if (guest.Receive(is_arp, 200)) return guest;
  }
  ADD_FAILURE() << "no ARP answer for " << ToString(lease.address);
  return guest;
}

void InNamespace(const std::function<void()>& body) {
  const std::string reason = testing::WhyNoNetworkNamespace();
  if (!reason.empty()) GTEST_SKIP() << reason;
  testing::RunInNetworkNamespace(body);
}

}  // namespace forkplane::forwarding
