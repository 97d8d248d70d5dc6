// Goal: each field of a Network's spec has its effect on the rules, and what is left out is closed.
#include "reconcilers/network/rules.h"

#include <gtest/gtest.h>

namespace forkplane::network {
namespace {

using drivers::Egress;
using drivers::Opening;

ledger::NetworkLease Lease() {
  ledger::NetworkLease lease;
  lease.parameters.cidr = ParseCidr("10.7.0.0/24").value();
  lease.bridge = 3;
  return lease;
}

drivers::FirewallNetwork Rule(const crd::NetworkSpec& spec) {
  const auto rule = RuleOf(spec, Lease());
  EXPECT_TRUE(rule.ok()) << rule.error().message;
  return *rule;
}

Opening Box(const char* block, std::uint8_t protocol, std::uint16_t first, std::uint16_t last) {
  Opening box = Opening::Of(ParsePrefix(block).value());
  box.protocol_first = box.protocol_last = protocol;
  box.port_first = first;
  box.port_last = last;
  return box;
}

TEST(RulesTest, ASpecWithoutSwitchesIsClosedButForTheInternet) {
  const drivers::FirewallNetwork rule = Rule({});
  drivers::FirewallNetwork expected = ClosedRule(Lease());
  EXPECT_EQ(expected.bridge, "fkbr3");
  EXPECT_TRUE(expected.isolated);
  expected.egress = Egress::kInternet;
  EXPECT_EQ(rule, expected);
}

TEST(RulesTest, WithoutNatEveryAddressIsReachableUnlessThePolicySaysOtherwise) {
  crd::NetworkSpec spec;
  spec.nat = crd::Nat::kNone;
  EXPECT_EQ(Rule(spec).egress, Egress::kAll);
  EXPECT_FALSE(Rule(spec).masquerade);
  spec.egress.policy = crd::EgressPolicy::kInternet;
  EXPECT_EQ(Rule(spec).egress, Egress::kInternet);
  spec.egress.policy = crd::EgressPolicy::kNone;
  EXPECT_EQ(Rule(spec).egress, Egress::kNone);
}

TEST(RulesTest, PortsBecomeBoxes) {
  crd::NetworkSpec spec;
  spec.egress.allow = {
      {"10.50.0.0/16", {}},
      {"10.60.0.0/16", {{crd::Transport::kUdp, 53, {}}}},
      {"10.70.0.0/16", {{crd::Transport::kTcp, 80, 90}, {crd::Transport::kIcmp, {}, {}}}}};
  spec.ingress.allow = {{"198.51.100.0/24", {{crd::Transport::kTcp, 443, {}}}}};
  const drivers::FirewallNetwork rule = Rule(spec);
  EXPECT_EQ(rule.allow,
            (std::vector{Opening::Of(ParsePrefix("10.50.0.0/16").value()),
                         Box("10.60.0.0/16", 17, 53, 53), Box("10.70.0.0/16", 6, 80, 90),
                         Box("10.70.0.0/16", 1, 0, 65535)}));
  EXPECT_EQ(rule.ingress, std::vector{Box("198.51.100.0/24", 6, 443, 443)});
  spec.ingress = {crd::IngressPolicy::kAll, {}};
  EXPECT_EQ(Rule(spec).ingress, std::vector{Opening::Of(ParsePrefix("0.0.0.0/0").value())});
}

TEST(RulesTest, ServersOfDnsAreOpenWhereverTheyAre) {
  crd::NetworkSpec spec;
  spec.dns = {"10.7.0.1"};
  spec.egress.policy = crd::EgressPolicy::kNone;
  const std::vector<Opening> expected = {Box("10.7.0.1/32", 6, 53, 53),
                                         Box("10.7.0.1/32", 17, 53, 53)};
  EXPECT_EQ(Rule(spec).services, expected);
  EXPECT_EQ(Rule(spec).allow, expected);
}

TEST(RulesTest, TheOtherSwitches) {
  crd::NetworkSpec spec;
  spec.host_access = spec.metadata_access = crd::Access::kAllowed;
  spec.uplink.interface = "eth1";
  spec.connections_max = 77;
  const drivers::FirewallNetwork rule = Rule(spec);
  EXPECT_TRUE(rule.host_access);
  EXPECT_TRUE(rule.metadata_access);
  EXPECT_EQ(rule.uplink, "eth1");
  EXPECT_EQ(rule.connections_max, 77u);
}

// The kernel's sets refuse elements that overlap.
TEST(RulesTest, BoxesThatOverlapAreCutAndMeanTheSame) {
  drivers::FirewallNetwork network = {.cidr = ParsePrefix("10.7.0.0/24").value()};
  network.allow = {Box("10.9.0.0/24", 6, 80, 80),
                   Box("10.9.0.128/25", 17, 0, 65535),
                   {{0x0a090040}, {0x0a090103}, 6, 17, 50, 90}};
  const std::vector<Opening> boxes = network.allow;
  const auto cut = drivers::Canonical({{network}, {}, {}}).networks.at(0).allow;
  for (std::size_t i = 0; i < cut.size(); ++i) {
    for (std::size_t j = i + 1; j < cut.size(); ++j) EXPECT_FALSE(cut[i].Overlaps(cut[j]));
  }
  const auto covers = [](const std::vector<Opening>& in, const Opening& point) {
    return std::any_of(in.begin(), in.end(), [&](const Opening& b) { return b.Overlaps(point); });
  };
  for (const std::uint32_t address :
       {0x0a08ffffU, 0x0a090000U, 0x0a09003fU, 0x0a090040U, 0x0a090080U, 0x0a0900ffU, 0x0a090100U,
        0x0a090103U, 0x0a090104U}) {
    for (const std::uint8_t protocol : std::initializer_list<std::uint8_t>{5, 6, 7, 16, 17, 18}) {
      for (const std::uint16_t port :
           std::initializer_list<std::uint16_t>{0, 49, 50, 79, 80, 81, 90, 91, 65535}) {
        const Opening point = {{address}, {address}, protocol, protocol, port, port};
        EXPECT_EQ(covers(cut, point), covers(boxes, point)) << address << ' ' << port;
      }
    }
  }
}

}  // namespace
}  // namespace forkplane::network
