// The four loops on the real kernel, in the network namespace of the calling thread; run pass by
// pass, without threads but for deletions, so that every step is certain.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "controller/base/mutex.h"
#include "controller/base/rng.h"
#include "drivers/bpf/identity.h"
#include "drivers/hooked/network.h"
#include "drivers/netlink/flow.h"
#include "drivers/netlink/link.h"
#include "drivers/netlink/qdisc.h"
#include "drivers/netlink/route.h"
#include "drivers/netlink/sysctl.h"
#include "drivers/netlink/tap.h"
#include "drivers/nftables/firewall.h"
#include "reconcilers/host/reconciler.h"
#include "reconcilers/network/reconciler.h"
#include "reconcilers/shaping/reconciler.h"
#include "reconcilers/tap/reconciler.h"
#include "tests/support/forwarding_probe.h"
#include "tests/support/netns.h"
#include "tests/support/redirect.h"

namespace forkplane {

// The objects of a store that nobody writes to but the test.
class Objects final : public network::Objects, public shaping::Specs {
 public:
  Objects() {
    network_.metadata.name = "default";
    network_.metadata.uid = "net";
    network_.spec.cidr = "10.77.0.0/24";
    vm_.spec.interfaces[0].bandwidth =
        crd::Bandwidth{crd::DownloadLimit{crd::Quantity::Of("50M"), std::nullopt},
                       crd::UploadLimit{crd::Quantity::Of("10M"), std::nullopt, std::nullopt}};
  }
  std::shared_ptr<const crd::Network> Get(const std::string&) const override {
    return std::make_shared<crd::Network>(network_);
  }
  std::shared_ptr<const crd::Network> Network(const std::string& name) const override {
    return Get(name);
  }
  // Every VM is this one.
  std::shared_ptr<const crd::VirtualMachine> Vm(const std::string&) const override {
    return std::make_shared<crd::VirtualMachine>(vm_);
  }
  Status AddFinalizer(const crd::Network&) override {
    network_.metadata.AddFinalizer(network::kFinalizer);
    return OkStatus();
  }
  Status RemoveFinalizer(const crd::Network&) override {
    network_.metadata.RemoveFinalizer(network::kFinalizer);
    return OkStatus();
  }
  void Report(const crd::Network&, const crd::NetworkStatus& status) override { status_ = status; }

  double Overcommit() const override { return overcommit_; }

  crd::Network network_;
  crd::VirtualMachine vm_;
  double overcommit_ = 1;
  crd::NetworkStatus status_;
};

// What the tap loop asks of its drivers, on deletion threads too.
class Calls final : public drivers::CallHook {
 public:
  std::optional<Error> Before(const drivers::CallInfo& call,
                              const std::function<void()>&) override {
    const MutexLock lock(mu_);
    (call.mutates ? changes : looks).push_back(fmt::format("{}.{}", call.driver, call.op));
    return std::nullopt;
  }
  std::optional<Error> After(const drivers::CallInfo&, const Error*) override {
    return std::nullopt;
  }
  // To be read while no thread deletes.
  std::vector<std::string> changes;
  std::vector<std::string> looks;

 private:
  Mutex mu_;
};

// Every loop on the kernel of the calling thread's namespace.
class Loops {
 public:
  explicit Loops(ledger::Options options = {}, int deletion_threads = 0,
                 drivers::RedirectMode mode = testing::WorkingRedirect())
      : identities(*bpf::BpfIdentityDriver::Open({{}, mode})) {
    options.path = ":memory:";
    ledger_ = std::move(ledger::Ledger::Open(options, RealClock(), SystemRng())).value();
    host_ = std::make_unique<host::HostReconciler>(
        *ledger_, host::Drivers{*links, *qdiscs, *routes, sysctls, *identities}, orphans_,
        host::Options{.host_name = "h",
                      .object = [this] { return host_object; },
                      .known = {},
                      .report = {},
                      .uplinks = &uplinks_});
    RestartNetwork();
    tap::Options tap_options;
    tap_options.deletion_threads = deletion_threads;
    tap_options.bucket = [this](const auto& lease) { return shaping_->BucketOf(lease); };
    tap_options.shape = [this](const auto& lease) { shaping_->ShapeNewborn(lease); };
    tap_ = std::make_unique<tap::TapReconciler>(
        *ledger_,
        tap::Drivers{hooked_links_, hooked_taps_, hooked_qdiscs_, hooked_identities_,
                     hooked_routes_, hooked_sysctls_, hooked_flows_},
        facts, vmms_, tap_options);
    RestartShaping();
  }

  // One pass of every loop; shaping before the TAPs, as in a fork, and after them.
  void Pass() {
    HostPass();
    NetworkPass();
    ShapingPass();
    TapPass();
    ShapingPass();
  }

  void HostPass() { Must(host_->Reconcile(host::kKey, {}), "host"); }
  void NetworkPass() { Must(network_->Reconcile("default", {}), "network"); }
  void ShapingPass() {
    for (const auto& key : shaping_->AllKeys()) Must(shaping_->Reconcile(key, {}), "shaping");
  }
  void TapPass() {
    for (const auto& key : tap_->AllKeys()) Must(tap_->Reconcile(key, {}), "tap");
  }

  // A new daemon's.
  void RestartNetwork() {
    network_ = std::make_unique<network::NetworkReconciler>(
        *ledger_, objects,
        network::Drivers{*links, *routes, sysctls, *firewall, *forwarding, *flows}, "h",
        RealClock(), nullptr, &uplinks_);
  }
  void RulesPass() { Must(network_->Reconcile(network::kRulesKey, {}), "rules"); }

  // What a daemon does before its loops start.
  void ForgetUplink() { uplinks_.Retract("h"); }
  Status FindUplink() { return host_->FindUplink(); }

  // A new daemon's: what was promised it sees in the kernel.
  void RestartShaping() {
    shaping_ = std::make_unique<shaping::ShapingReconciler>(*ledger_, objects, *qdiscs, facts,
                                                            shaping::Options{});
  }

  // As if the tap loop had been there and could make none.
  void PassOverTaps() {
    for (const auto& key : tap_->AllKeys()) facts.Amend(key, [](runtime::InterfaceFacts&) {});
  }

  void TapPass(const ledger::InterfaceLease& lease) { Must(TryTapPass(lease), "tap"); }
  Result<runtime::Next> TryTapPass(const ledger::InterfaceLease& lease) {
    return tap_->Reconcile(ledger::KeyOf(lease.id), {});
  }

  static void Must(const Result<runtime::Next>& result, const char* loop) {
    EXPECT_TRUE(result.ok()) << loop << ": " << result.error().message;
  }

  ledger::VmLease Claim(const std::string& name, std::uint32_t interfaces = 1) {
    ledger::VmClaim claim{.owner = {"uid-" + name, "default", name}};
    for (std::uint32_t i = 0; i < interfaces; ++i) {
      claim.interfaces.push_back(
          {.ordinal = i, .name = "eth" + std::to_string(i), .network_uid = "net"});
    }
    auto lease = ledger_->Claim(claim);
    EXPECT_TRUE(lease.ok()) << lease.error().message;
    return *lease;
  }

  Objects objects;
  std::shared_ptr<const crd::Host> host_object;  // null: the uplink says what it can carry
  std::unique_ptr<netlink::NetlinkLinkDriver> links = *netlink::NetlinkLinkDriver::Open();
  std::unique_ptr<netlink::NetlinkRouteDriver> routes = *netlink::NetlinkRouteDriver::Open();
  std::unique_ptr<netlink::NetlinkTapDriver> taps = *netlink::NetlinkTapDriver::Open();
  std::unique_ptr<netlink::NetlinkQdiscDriver> qdiscs = *netlink::NetlinkQdiscDriver::Open();
  std::unique_ptr<bpf::BpfIdentityDriver> identities;
  std::unique_ptr<nftables::NftFirewallDriver> firewall = *nftables::NftFirewallDriver::Open();
  std::unique_ptr<netlink::NetlinkFlowDriver> flows = *netlink::NetlinkFlowDriver::Open();
  std::unique_ptr<nftables::NftForwardingProbe> forwarding = testing::OpenForwardingProbe();
  netlink::ProcSysctlDriver sysctls;
  runtime::InterfaceFactBoard facts;
  runtime::VmmFactBoard vmms_;
  std::unique_ptr<ledger::Ledger> ledger_;
  std::unique_ptr<network::NetworkReconciler> network_;
  Calls calls;

 private:
  drivers::HookedLinkDriver hooked_links_{*links, calls};
  drivers::HookedTapDriver hooked_taps_{*taps, calls};
  drivers::HookedQdiscDriver hooked_qdiscs_{*qdiscs, calls};
  drivers::HookedIdentityDriver hooked_identities_{*identities, calls};
  drivers::HookedRouteDriver hooked_routes_{*routes, calls};
  drivers::HookedSysctlDriver hooked_sysctls_{sysctls, calls};
  drivers::HookedFlowDriver hooked_flows_{*flows, calls};
  runtime::OrphanFactBoard orphans_;
  runtime::UplinkFactBoard uplinks_;
  std::unique_ptr<host::HostReconciler> host_;
  std::unique_ptr<tap::TapReconciler> tap_;
  std::unique_ptr<shaping::ShapingReconciler> shaping_;
};

}  // namespace forkplane
