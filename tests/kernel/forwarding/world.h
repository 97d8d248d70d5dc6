// A host with an uplink, one masqueraded Network and guests on it, raised by the loops of host,
// network and tap, pass by pass, without threads.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>

#include "controller/ledger/ledger.h"
#include "drivers/bpf/identity.h"
#include "drivers/netlink/flow.h"
#include "drivers/netlink/link.h"
#include "drivers/netlink/qdisc.h"
#include "drivers/netlink/route.h"
#include "drivers/netlink/sysctl.h"
#include "drivers/netlink/tap.h"
#include "drivers/nftables/firewall.h"
#include "reconcilers/host/reconciler.h"
#include "reconcilers/network/reconciler.h"
#include "reconcilers/tap/reconciler.h"
#include "tests/kernel/forwarding/outside.h"
#include "tests/kernel/traffic/guest.h"
#include "tests/support/forwarding_probe.h"
#include "tests/support/redirect.h"

namespace forkplane::forwarding {

// The one Network, and what is reported of it.
class Objects final : public network::Objects {
 public:
  Objects();
  std::shared_ptr<const crd::Network> Get(const std::string&) const override {
    return std::make_shared<crd::Network>(network);
  }
  Status AddFinalizer(const crd::Network&) override { return OkStatus(); }
  Status RemoveFinalizer(const crd::Network&) override { return OkStatus(); }
  void Report(const crd::Network&, const crd::NetworkStatus& reported) override {
    status = reported;
  }

  crd::Network network;
  crd::NetworkStatus status;
};

class World {
 public:
  // `flows`: instead of the kernel's.
  explicit World(drivers::FlowDriver* flows = nullptr);

  // One pass of every loop.
  void Pass();
  // What the kernel's word about our table wakes.
  Status PassOfRules();
  // The address is given out at once when it is given.
  ledger::InterfaceLease Claim(const std::string& name, std::optional<Ipv4> address = {});
  void Release(const std::string& name);
  // Its TAP's other end, when its bridge carries frames.
  traffic::Guest GuestOf(const ledger::InterfaceLease& lease);

  Outside outside;
  Objects objects;
  std::unique_ptr<netlink::NetlinkLinkDriver> links = *netlink::NetlinkLinkDriver::Open();
  std::unique_ptr<netlink::NetlinkRouteDriver> routes = *netlink::NetlinkRouteDriver::Open();
  std::unique_ptr<netlink::NetlinkTapDriver> taps = *netlink::NetlinkTapDriver::Open();
  std::unique_ptr<netlink::NetlinkQdiscDriver> qdiscs = *netlink::NetlinkQdiscDriver::Open();
  std::unique_ptr<bpf::BpfIdentityDriver> identities =
      *bpf::BpfIdentityDriver::Open({{}, testing::WorkingRedirect()});
  std::unique_ptr<nftables::NftFirewallDriver> firewall = *nftables::NftFirewallDriver::Open();
  std::unique_ptr<netlink::NetlinkFlowDriver> flows = *netlink::NetlinkFlowDriver::Open();
  std::unique_ptr<nftables::NftForwardingProbe> forwarding = testing::OpenForwardingProbe();
  netlink::ProcSysctlDriver sysctls;
  ManualClock clock;  // of the network loop
  std::unique_ptr<ledger::Ledger> ledger;

 private:
  runtime::InterfaceFactBoard facts_;
  runtime::VmmFactBoard vmms_;
  runtime::OrphanFactBoard orphans_;
  std::unique_ptr<host::HostReconciler> host_;
  std::unique_ptr<network::NetworkReconciler> network_;
  std::unique_ptr<tap::TapReconciler> tap_;
};

// In a network namespace of its own; skips the test where that is impossible.
void InNamespace(const std::function<void()>& body);

inline constexpr Ipv4 kInner{0x0a4d0002};  // 10.77.0.2: what every guest believes to be

}  // namespace forkplane::forwarding
