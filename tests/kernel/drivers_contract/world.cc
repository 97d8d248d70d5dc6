#include "tests/kernel/drivers_contract/world.h"

#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <netinet/in.h>

#include "drivers/bpf/identity.h"
#include "drivers/fake/drivers.h"
#include "drivers/netlink/events.h"
#include "drivers/netlink/flow.h"
#include "drivers/netlink/link.h"
#include "drivers/netlink/qdisc.h"
#include "drivers/netlink/route.h"
#include "drivers/netlink/sysctl.h"
#include "drivers/netlink/tap.h"
#include "drivers/nftables/firewall.h"
#include "tests/kernel/healing/commands.h"
#include "tests/support/forwarding_probe.h"
#include "tests/support/netns.h"
#include "tests/support/redirect.h"

namespace forkplane::drivers {
namespace {

constexpr const char* kDropForwarding =
    "nft 'table ip filter { chain FORWARD { type filter hook forward priority 0 ; policy drop ; }; "
    "}'";

void AddTuple(netlink::Message& message, int type, Ipv4 from, Ipv4 to) {
  message.Nest(type | NLA_F_NESTED, [&](netlink::Message& tuple) {
    tuple.Nest(CTA_TUPLE_IP | NLA_F_NESTED, [&](netlink::Message& ip) {
      ip.U32(CTA_IP_V4_SRC, htonl(from.value)).U32(CTA_IP_V4_DST, htonl(to.value));
    });
    tuple.Nest(CTA_TUPLE_PROTO | NLA_F_NESTED, [&](netlink::Message& protocol) {
      protocol.U8(CTA_PROTO_NUM, IPPROTO_UDP);
      protocol.Struct(CTA_PROTO_SRC_PORT, htons(1000)).Struct(CTA_PROTO_DST_PORT, htons(2000));
    });
  });
}

void AddFlow(const fake::FakeFlow& flow) {
  auto socket = netlink::Socket::Open(NETLINK_NETFILTER);
  ASSERT_TRUE(socket.ok()) << MessageOf(socket);
  netlink::Message message((NFNL_SUBSYS_CTNETLINK << 8) | IPCTNL_MSG_CT_NEW,
                           NLM_F_CREATE | NLM_F_EXCL);
  message.Header(nfgenmsg{AF_INET, NFNETLINK_V0, 0});
  AddTuple(message, CTA_TUPLE_ORIG, flow.source, flow.destination);
  AddTuple(message, CTA_TUPLE_REPLY, flow.reply_source, flow.reply_destination);
  message.U32(CTA_TIMEOUT, htonl(600));
  EXPECT_OK(socket->Request(message, "add a flow"));
}

World OpenKernel(RedirectMode mode) {
  World world;
  world.links = *netlink::NetlinkLinkDriver::Open();
  world.routes = *netlink::NetlinkRouteDriver::Open();
  world.taps = *netlink::NetlinkTapDriver::Open();
  world.qdiscs = *netlink::NetlinkQdiscDriver::Open();
  world.identity = *bpf::BpfIdentityDriver::Open({{}, mode});
  world.firewall = *nftables::NftFirewallDriver::Open();
  world.sysctls = std::make_unique<netlink::ProcSysctlDriver>();
  world.flows = *netlink::NetlinkFlowDriver::Open(0);  // the way of a host with many flows
  world.events = *netlink::NetlinkLinkEvents::Open();
  world.forwarding = testing::OpenForwardingProbe();
  world.add_flow = AddFlow;
  world.add_uplink = [] {
    EXPECT_OK(healing::RunAll({"ip link add up0 type veth peer name up1", "ip link set up0 up",
                               "ip link set up1 up", "ip addr add 198.51.100.1/24 dev up0",
                               "ip route add default via 198.51.100.2"}));
  };
  world.drop_forwarding = [](bool drop) {
    EXPECT_OK(healing::RunLine(drop ? kDropForwarding : "nft delete table ip filter"));
  };
  world.bridged_frames_meet_ip_rules = [](bool meet) {
    return healing::RunLine(
               fmt::format("sysctl -qw net.bridge.bridge-nf-call-iptables={}", meet ? 1 : 0))
        .ok();
  };
  return world;
}

void AddUplink(fake::FakeKernel& kernel) {
  kernel.Change([](fake::State& state) {
    state.uplink = Uplink{};
    state.foreign_forwarding["up0"] = false;
    return true;
  });
}

void DropForwarding(fake::FakeKernel& kernel, bool drop) {
  kernel.Change([&](fake::State& state) {
    state.forward_drops.clear();
    if (drop) state.forward_drops.push_back({"ip", "filter", "FORWARD", true});
    return true;
  });
}

World OpenFake(fake::FakeKernel& kernel, RedirectMode mode) {
  World world;
  world.links = std::make_unique<fake::FakeLinkDriver>(kernel);
  world.routes = std::make_unique<fake::FakeRouteDriver>(kernel);
  world.taps = std::make_unique<fake::FakeTapDriver>(kernel);
  world.qdiscs = std::make_unique<fake::FakeQdiscDriver>(kernel);
  world.identity = std::make_unique<fake::FakeIdentityDriver>(kernel, mode);
  world.firewall = std::make_unique<fake::FakeFirewallDriver>(kernel);
  world.sysctls = std::make_unique<fake::FakeSysctlDriver>(kernel);
  world.flows = std::make_unique<fake::FakeFlowDriver>(kernel);
  world.events = std::make_unique<fake::FakeLinkEvents>(kernel);
  world.forwarding = std::make_unique<fake::FakeForwardingProbe>(kernel);
  world.add_uplink = [&kernel] { AddUplink(kernel); };
  world.drop_forwarding = [&kernel](bool drop) { DropForwarding(kernel, drop); };
  world.bridged_frames_meet_ip_rules = [&kernel](bool meet) {
    return kernel.Change([&](fake::State& state) {
      state.bridged_frames_meet_ip_rules = meet;
      return true;
    });
  };
  world.add_flow = [&kernel](const fake::FakeFlow& flow) {
    kernel.Change([&](fake::State& state) {
      state.flows.push_back(flow);
      return true;
    });
  };
  return world;
}

std::string HostName(const ::testing::TestParamInfo<Host>& info) {
  return info.param == Host::kKernel ? "Kernel" : "Fake";
}

INSTANTIATE_TEST_SUITE_P(Hosts, DriversContract, ::testing::Values(Host::kKernel, Host::kFake),
                         HostName);

}  // namespace

void DriversContract::OnHost(const std::function<void(World&)>& body) {
  OnHost(testing::WorkingRedirect(), body);
}

void DriversContract::OnHost(RedirectMode mode, const std::function<void(World&)>& body) {
  if (GetParam() == Host::kFake) {
    fake::FakeKernel kernel;
    World world = OpenFake(kernel, mode);
    body(world);
    return;
  }
  const std::string reason = testing::WhyNoNetworkNamespace();
  if (!reason.empty()) GTEST_SKIP() << reason;
  testing::RunInNetworkNamespace([&] {
    World world = OpenKernel(mode);
    body(world);
  });
}

}  // namespace forkplane::drivers
