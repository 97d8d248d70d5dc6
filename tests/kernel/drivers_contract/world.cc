#include "tests/kernel/drivers_contract/world.h"

#include "drivers/bpf/identity.h"
#include "drivers/fake/drivers.h"
#include "drivers/netlink/events.h"
#include "drivers/netlink/link.h"
#include "drivers/netlink/qdisc.h"
#include "drivers/netlink/route.h"
#include "drivers/netlink/sysctl.h"
#include "drivers/netlink/tap.h"
#include "drivers/nftables/firewall.h"
#include "tests/support/netns.h"

namespace forkplane::drivers {
namespace {

World OpenKernel(RedirectMode mode) {
  World world;
  world.links = *netlink::NetlinkLinkDriver::Open();
  world.routes = *netlink::NetlinkRouteDriver::Open();
  world.taps = *netlink::NetlinkTapDriver::Open();
  world.qdiscs = *netlink::NetlinkQdiscDriver::Open();
  world.identity = *bpf::BpfIdentityDriver::Open({{}, mode});
  world.firewall = *nftables::NftFirewallDriver::Open();
  world.sysctls = std::make_unique<netlink::ProcSysctlDriver>();
  world.events = *netlink::NetlinkLinkEvents::Open();
  return world;
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
  world.events = std::make_unique<fake::FakeLinkEvents>(kernel);
  return world;
}

std::string HostName(const ::testing::TestParamInfo<Host>& info) {
  return info.param == Host::kKernel ? "Kernel" : "Fake";
}

INSTANTIATE_TEST_SUITE_P(Hosts, DriversContract, ::testing::Values(Host::kKernel, Host::kFake),
                         HostName);

}  // namespace

void DriversContract::OnHost(const std::function<void(World&)>& body) {
  OnHost(RedirectMode::kBpf, body);
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
