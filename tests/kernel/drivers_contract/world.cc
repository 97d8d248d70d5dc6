#include "tests/kernel/drivers_contract/world.h"

#include "drivers/bpf/identity.h"
#include "drivers/netlink/events.h"
#include "drivers/netlink/link.h"
#include "drivers/netlink/qdisc.h"
#include "drivers/netlink/route.h"
#include "drivers/netlink/sysctl.h"
#include "drivers/netlink/tap.h"
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
  world.sysctls = std::make_unique<netlink::ProcSysctlDriver>();
  world.events = *netlink::NetlinkLinkEvents::Open();
  return world;
}

std::string HostName(const ::testing::TestParamInfo<Host>& info) {
  return info.param == Host::kKernel ? "Kernel" : "Fake";
}

INSTANTIATE_TEST_SUITE_P(Hosts, DriversContract, ::testing::Values(Host::kKernel), HostName);

}  // namespace

void DriversContract::OnHost(const std::function<void(World&)>& body) {
  OnHost(RedirectMode::kBpf, body);
}

void DriversContract::OnHost(RedirectMode mode, const std::function<void(World&)>& body) {
  const std::string reason = testing::WhyNoNetworkNamespace();
  if (!reason.empty()) GTEST_SKIP() << reason;
  testing::RunInNetworkNamespace([&] {
    World world = OpenKernel(mode);
    body(world);
  });
}

}  // namespace forkplane::drivers
