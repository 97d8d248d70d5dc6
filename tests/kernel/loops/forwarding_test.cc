// Goal: guests get out by every link and their answers come back, and nobody else finds a way
// through this host that was not there before. Method: the switches of two links of others and the
// rules, through what administrators and daemons do to them. That the rules close what `opened`
// names is the walls' test (NothingPassesFromAnOpenedLinkToOthers).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/kernel/healing/commands.h"
#include "tests/kernel/loops/loops.h"

namespace forkplane {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

void Must(const std::vector<std::string>& lines) {
  const Status status = healing::RunAll(lines);
  ASSERT_TRUE(status.ok()) << status.error().message;
}

struct Host {
  Host() { Must({"sysctl -qw net.ipv4.ip_forward=0", "ip link add up0 type veth peer name lan0"}); }

  std::set<std::string> Opened() const {
    const auto rules = *loops.firewall->Observe();
    return rules ? rules->opened : std::set<std::string>{"no table"};
  }
  // That forward.
  std::set<std::string> Forwarding() {
    std::set<std::string> names;
    const auto links = *loops.sysctls.ForeignForwarding();
    for (const auto& [name, on] : links) {
      if (on) names.insert(name);
    }
    return names;
  }
  bool IsRouter() { return *loops.sysctls.Ipv4Forwarding(); }

  Loops loops;
};

void InNamespace(const std::function<void()>& body) {
  const std::string why = testing::WhyNoNetworkNamespace();
  if (!why.empty()) GTEST_SKIP() << why;
  testing::RunInNetworkNamespace(body);
}

TEST(ForwardingTest, LinksAreOpenedForGuestsAloneAndClosedWithTheLastNetwork) {
  InNamespace([] {
    Host host;
    host.loops.RulesPass();
    EXPECT_THAT(host.Forwarding(), IsEmpty()) << "without a Network there are no guests";
    host.loops.Pass();
    EXPECT_FALSE(host.IsRouter());
    EXPECT_THAT(host.Opened(), ElementsAre("lan0", "up0"));
    EXPECT_THAT(host.Forwarding(), ElementsAre("lan0", "up0"));
    Must({"ip link add eth9 type bridge", "sysctl -qw net.ipv4.conf.up0.forwarding=0"});
    host.loops.RulesPass();
    EXPECT_THAT(host.Opened(), ElementsAre("eth9", "lan0", "up0"));
    EXPECT_THAT(host.Forwarding(), ElementsAre("eth9", "lan0", "up0"));
    // Whoever names a link so closes it for guests, and does them no other harm.
    Must({"ip link add br*\"x type bridge"});
    host.loops.RulesPass();
    EXPECT_THAT(host.Opened(), ElementsAre("eth9", "lan0", "up0"));
    EXPECT_THAT(host.Forwarding(), ElementsAre("eth9", "lan0", "up0"));
    Must({"ip link set eth9 name eth10"});
    host.loops.RulesPass();
    EXPECT_THAT(host.Opened(), ElementsAre("eth10", "lan0", "up0")) << "by another name";
    host.loops.objects.network_.metadata.deletion_timestamp = "2026-01-01T00:00:00Z";
    host.loops.NetworkPass();
    EXPECT_THAT(host.Opened(), ElementsAre("no table"));
    EXPECT_THAT(host.Forwarding(), IsEmpty());
  });
}

TEST(ForwardingTest, WhatAnAdministratorHasOpenedStaysHis) {
  InNamespace([] {
    Host host;
    Must({"sysctl -qw net.ipv4.conf.lan0.forwarding=1"});
    host.loops.Pass();
    EXPECT_THAT(host.Opened(), ElementsAre("up0"));
    host.loops.RestartNetwork();
    host.loops.Pass();
    EXPECT_THAT(host.Opened(), ElementsAre("up0")) << "the table tells a new daemon";
    Must({"nft flush ruleset"});
    host.loops.Pass();
    EXPECT_THAT(host.Opened(), ElementsAre("up0")) << "this one remembers";
    Must({"nft flush ruleset"});
    host.loops.RestartNetwork();
    host.loops.Pass();
    EXPECT_THAT(host.Opened(), ElementsAre("lan0", "up0")) << "nobody knows: closed to others";
    host.loops.objects.network_.metadata.deletion_timestamp = "2026-01-01T00:00:00Z";
    host.loops.NetworkPass();
    EXPECT_THAT(host.Opened(), ElementsAre("no table"));
  });
}

// Docker, libvirt and administrators write ip_forward.
TEST(ForwardingTest, ARouterIsLeftARouter) {
  InNamespace([] {
    Host host;
    host.loops.Pass();
    Must({"sysctl -qw net.ipv4.ip_forward=1"});
    host.loops.RulesPass();
    EXPECT_THAT(host.Opened(), IsEmpty()) << "no rule of ours is in the way";
    Must({"sysctl -qw net.ipv4.ip_forward=0"});
    EXPECT_THAT(host.Forwarding(), IsEmpty()) << "which switches every link off";
    host.loops.Pass();
    EXPECT_THAT(host.Opened(), ElementsAre("lan0", "up0"));
    EXPECT_THAT(host.Forwarding(), ElementsAre("lan0", "up0"));
    Must({"sysctl -qw net.ipv4.ip_forward=1"});
    host.loops.RestartNetwork();
    host.loops.objects.network_.metadata.deletion_timestamp = "2026-01-01T00:00:00Z";
    host.loops.NetworkPass();
    EXPECT_THAT(host.Forwarding(), ElementsAre("lan0", "up0")) << "as somebody else wants it";
    EXPECT_TRUE(host.IsRouter());
  });
}

}  // namespace
}  // namespace forkplane
