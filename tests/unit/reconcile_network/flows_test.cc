// Goal: a connection that stands is judged as its first packet would be.
#include "reconcilers/network/flows.h"

#include <gtest/gtest.h>
#include <netinet/in.h>

namespace forkplane::network {
namespace {

using drivers::Egress;
using drivers::FirewallRules;
using drivers::Flow;
using drivers::Opening;

Ipv4 At(const char* text) { return ParseIpv4(text).value(); }

const Ipv4 kGuest = At("10.1.0.11");
const Ipv4 kOther = At("10.1.0.12");
const Ipv4 kStranger = At("10.2.0.11");
const Ipv4 kHost = At("203.0.113.2");
const Ipv4 kInternet = At("192.0.2.9");
const Ipv4 kPrivate = At("10.50.0.2");
const Ipv4 kMetadata = At("169.254.169.254");

Flow Plain(Ipv4 from, Ipv4 to) { return {from, to, to, from, IPPROTO_TCP, 80}; }
Flow Masqueraded(Ipv4 from, Ipv4 to) { return {from, to, to, kHost, IPPROTO_TCP, 80}; }

FirewallRules Rules(const std::function<void(drivers::FirewallNetwork&)>& change = {}) {
  FirewallRules rules;
  rules.networks = {{.cidr = ParsePrefix("10.1.0.0/24").value()},
                    {.cidr = ParsePrefix("10.2.0.0/24").value()}};
  for (auto& network : rules.networks) network.egress = Egress::kInternet;
  if (change) change(rules.networks[0]);
  return rules;
}

bool Ends(const FirewallRules& rules, const Flow& flow) {
  return IsForbidden(rules, {kHost}, flow);
}

TEST(FlowsTest, WithDefaultsOnlyTheInternetIsLeftAndOnlyMasqueraded) {
  const FirewallRules rules = Rules();
  EXPECT_FALSE(Ends(rules, Masqueraded(kGuest, kInternet)));
  EXPECT_TRUE(Ends(rules, Plain(kGuest, kInternet))) << "begun in a gap";
  EXPECT_TRUE(Ends(rules, Masqueraded(kGuest, kPrivate)));
  EXPECT_TRUE(Ends(rules, Masqueraded(kGuest, kMetadata)));
  EXPECT_TRUE(Ends(rules, Plain(kGuest, kOther)));
  EXPECT_TRUE(Ends(rules, Plain(kGuest, kStranger)));
  EXPECT_TRUE(Ends(rules, Plain(kGuest, kHost)));
  EXPECT_TRUE(Ends(rules, Plain(kInternet, kGuest)));
  EXPECT_FALSE(Ends(rules, Plain(kHost, kGuest))) << "the host may";
  EXPECT_FALSE(Ends(rules, Plain(kPrivate, kInternet))) << "nobody of ours";
  Flow echo = Plain(kGuest, kHost);
  echo.protocol = IPPROTO_ICMP;
  echo.port = 0;
  EXPECT_FALSE(Ends(rules, echo));
}

TEST(FlowsTest, EachSwitchKeepsWhatItOpens) {
  const auto opens = [](const std::function<void(drivers::FirewallNetwork&)>& change,
                        const Flow& flow) {
    EXPECT_TRUE(Ends(Rules(), flow));
    return !Ends(Rules(change), flow);
  };
  EXPECT_TRUE(opens([](auto& n) { n.isolated = false; }, Plain(kGuest, kOther)));
  EXPECT_FALSE(opens([](auto& n) { n.isolated = false; }, Plain(kGuest, kStranger)));
  EXPECT_TRUE(opens([](auto& n) { n.host_access = true; }, Plain(kGuest, kHost)));
  EXPECT_TRUE(opens([](auto& n) { n.metadata_access = true; }, Masqueraded(kGuest, kMetadata)));
  EXPECT_TRUE(opens([](auto& n) { n.egress = Egress::kAll; }, Masqueraded(kGuest, kPrivate)));
  EXPECT_TRUE(opens([](auto& n) { n.masquerade = false; }, Plain(kGuest, kInternet)));
  const Opening http = {kPrivate, kPrivate, IPPROTO_TCP, IPPROTO_TCP, 80, 80};
  EXPECT_TRUE(opens([&](auto& n) { n.allow = {http}; }, Masqueraded(kGuest, kPrivate)));
  EXPECT_TRUE(opens([&](auto& n) { n.ingress = {http}; }, Plain(kPrivate, kGuest)));
  Opening ssh = http;
  ssh.port_first = ssh.port_last = 22;
  EXPECT_FALSE(opens([&](auto& n) { n.ingress = {ssh}; }, Plain(kPrivate, kGuest)));
}

TEST(FlowsTest, WhomAPacketReachesCountsNotWhomItCalled) {
  Flow forwarded = Plain(kInternet, kHost);  // a port of the host that leads to a guest
  forwarded.reply_source = kGuest;
  EXPECT_TRUE(Ends(Rules(), forwarded));
}

TEST(FlowsTest, ANetworkMoreClosesNothing) {
  FirewallRules more = Rules();
  more.networks.push_back({.cidr = ParsePrefix("10.3.0.0/24").value()});
  EXPECT_FALSE(Closes(Rules(), more));
  EXPECT_TRUE(Closes(more, Rules()));
  EXPECT_TRUE(Closes(Rules([](auto& n) { n.host_access = true; }), Rules()));
  FirewallRules drifted = Rules();
  drifted.unexpected = {"a rule"};
  EXPECT_TRUE(Closes(drifted, Rules()));
}

}  // namespace
}  // namespace forkplane::network
