// Goal: what the network loop does in each situation, and in which order. Method: a table of worlds
// with the printed plan.
#include "reconcilers/network/plan.h"

#include <gtest/gtest.h>

#include "controller/base/network_names.h"

namespace forkplane::network {
namespace {

Desired Wanted() {
  Desired desired;
  desired.alias = "uid-net";
  desired.gateway = ParsePrefix("10.0.0.1/24").value();
  desired.cidr = ParsePrefix("10.0.0.0/24").value();
  desired.firewall = drivers::FirewallRules{{{.cidr = ParsePrefix("10.0.0.0/24").value()}}};
  return desired;
}

Observed Converged() {
  Observed observed;
  drivers::Link link;
  link.name = BridgeName(0);
  link.kind = drivers::LinkKind::kBridge;
  link.alias = "uid-net";
  link.mac = kGatewayMac;
  link.mtu = 1500;
  link.up = true;
  observed.link = link;
  observed.ipv6_disabled = true;
  observed.switches = {drivers::kGuestLinkSwitches.begin(), drivers::kGuestLinkSwitches.end()};
  observed.routes.blackhole = true;
  observed.probe_route = true;
  observed.addresses = {Wanted().gateway};
  observed.firewall = Wanted().firewall;
  observed.unjudged_rule = true;
  return observed;
}

std::string Printed(const std::vector<Action>& plan) {
  std::string text;
  for (const Action& action : plan) text += (text.empty() ? "" : ", ") + ToString(action);
  return text;
}

struct Case {
  const char* name;
  std::function<void(Desired&, Observed&)> change;
  std::string plan;
};

void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

class NetworkPlanTest : public ::testing::TestWithParam<Case> {};

TEST_P(NetworkPlanTest, IsAsWritten) {
  Desired desired = Wanted();
  Observed observed = Converged();
  GetParam().change(desired, observed);
  EXPECT_EQ(Printed(MakePlan(desired, observed)), GetParam().plan);
}

const Case kCases[] = {
    {"converged", [](Desired&, Observed&) {}, ""},
    {"nothing there: rules before the bridge", [](Desired&, Observed& o) { o = {}; },
     "AddUnjudgedRule, ReplaceFirewall, FlushFlows, AddBlackhole, CreateBridge, DisableIpv6, "
     "SwitchOn forwarding, "
     "SwitchOn rp_filter, SwitchOn src_valid_mark, AddAddress, SetUp, AddProbeRoute"},
    {"renamed", [](Desired&, Observed& o) { o.link->name = "mine0"; },
     "SetDown, SetName, SetUp, AddProbeRoute"},
    {"forwarding switched off",
     [](Desired&, Observed& o) { o.switches.erase(drivers::LinkSwitch::kForwarding); },
     "SwitchOn forwarding"},
    {"guests may talk to each other",
     [](Desired& d, Observed& o) {
       d.isolated = false;
       o.switches.erase(drivers::LinkSwitch::kProxyArp);
     },
     "SwitchOn proxy_arp"},
    {"a link of others is opened when the rules close it to others",
     [](Desired& d, Observed& o) {
       d.firewall->opened = {"eth0", "gone0"};
       o.foreign = {{"eth0", false}, {"lan0", false}};
     },
     "ReplaceFirewall, OpenLink eth0"},
    {"somebody switched it off",
     [](Desired& d, Observed& o) {
       d.firewall->opened = o.firewall->opened = {"eth0", "lan0"};
       o.foreign = {{"eth0", false}, {"lan0", true}};
     },
     "OpenLink eth0"},
    {"the host has become a router: nothing is closed",
     [](Desired&, Observed& o) {
       o.firewall->opened = {"eth0"};
       o.foreign = {{"eth0", true}};
       o.host_forwards = true;
     },
     "ReplaceFirewall"},
    {"the last Network goes: links are closed while the rules stand",
     [](Desired& d, Observed& o) {
       d.present = false;
       d.firewall->networks.clear();
       o.firewall->opened = {"eth0", "gone0", "lan0"};
       o.foreign = {{"eth0", true}, {"lan0", false}};
     },
     "CloseLink eth0, RemoveFirewall, DeleteUnjudgedRule, DeleteLink, DeleteBlackhole"},
    {"rule of unjudged packets deleted: the table stays",
     [](Desired&, Observed& o) { o.unjudged_rule = false; }, "AddUnjudgedRule"},
    {"rule and table deleted",
     [](Desired&, Observed& o) {
       o.unjudged_rule = false;
       o.firewall.reset();
     },
     "AddUnjudgedRule, ReplaceFirewall, FlushFlows"},
    {"main table flushed", [](Desired&, Observed& o) { o.routes.blackhole = false; },
     "AddBlackhole"},
    {"the kernel's route of the net, as earlier versions had it",
     [](Desired&, Observed& o) { o.routes.connected = true; }, "DeleteConnectedRoute"},
    {"mac drifted", [](Desired&, Observed& o) { o.link->mac = OuterMac(1); }, "SetMac"},
    {"mtu changed", [](Desired& d, Observed&) { d.mtu = 1400; }, "SetMtu"},
    {"gateway moved", [](Desired& d, Observed&) { d.gateway = ParsePrefix("10.0.0.9/24").value(); },
     "DeleteAddress 10.0.0.1/24, AddAddress"},
    {"foreign address",
     [](Desired&, Observed& o) { o.addresses.push_back(ParsePrefix("10.9.0.1/24").value()); },
     "DeleteAddress 10.9.0.1/24"},
    {"taken down", [](Desired&, Observed& o) { o.link->up = false; }, "SetUp, AddProbeRoute"},
    {"not a bridge", [](Desired&, Observed& o) { o.link->kind = drivers::LinkKind::kOther; },
     "DeleteLink, CreateBridge, DisableIpv6, SwitchOn forwarding, SwitchOn rp_filter, SwitchOn "
     "src_valid_mark, AddAddress, "
     "SetUp, AddProbeRoute"},
    {"rules edited by hand", [](Desired&, Observed& o) { o.firewall->unexpected = {"accept"}; },
     "ReplaceFirewall, FlushFlows"},
    {"table deleted", [](Desired&, Observed& o) { o.firewall.reset(); },
     "ReplaceFirewall, FlushFlows"},
    {"isolation switched off",
     [](Desired& d, Observed&) { d.firewall->networks.at(0).isolated = false; },
     "ReplaceFirewall, FlushFlows"},
    {"another Network: nobody's connections end",
     [](Desired& d, Observed&) {
       d.firewall->networks.push_back({.cidr = ParsePrefix("10.1.0.0/24").value()});
     },
     "ReplaceFirewall"},
    {"connections of before this daemon", [](Desired& d, Observed&) { d.flows_doubtful = true; },
     "FlushFlows"},
    {"a further bridge has no part in the rules",
     [](Desired& d, Observed& o) {
       d.firewall.reset();
       d.cidr.reset();
       o = {};
     },
     "CreateBridge, DisableIpv6, SwitchOn forwarding, SwitchOn rp_filter, SwitchOn src_valid_mark, "
     "AddAddress, SetUp"},
    {"removed, and the last: rules first",
     [](Desired& d, Observed&) {
       d.present = false;
       d.firewall->networks.clear();
     },
     "RemoveFirewall, DeleteUnjudgedRule, DeleteLink, DeleteBlackhole"},
    {"removed and gone",
     [](Desired& d, Observed& o) {
       d.present = false;
       d.firewall->networks.clear();
       o = {};
     },
     ""},
};
INSTANTIATE_TEST_SUITE_P(Worlds, NetworkPlanTest, ::testing::ValuesIn(kCases));

}  // namespace
}  // namespace forkplane::network
