// Goal: forwarding is asked about when something changed and once per resync, never more; the
// message names every suspect and a command for the first; nft's listings are read as printed.
#include "reconcilers/network/forwarding.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "drivers/nftables/probe_text.h"

namespace forkplane::network {
namespace {

using drivers::ForwardChain;
using drivers::Forwarding;
using drivers::ForwardingVerdict;

class Answers final : public drivers::ForwardingProbe {
 public:
  Result<ForwardingVerdict> Probe(std::uint32_t, Ipv4, const std::vector<Ipv4>& targets) override {
    ++asked;
    if (targets != drivers::kOutsideTargets) return between;
    return answer;
  }
  int asked = 0;
  Result<ForwardingVerdict> answer = ForwardingVerdict{Forwarding::kOpen, {}, {}};
  Result<ForwardingVerdict> between = ForwardingVerdict{Forwarding::kOpen, {}, {}};
};

class ForwardingWatchTest : public ::testing::Test {
 protected:
  std::string Ask(bool changed = false, const std::string& uid = "net") {
    return watch_.WhoBlocks(uid, question_, changed);
  }
  ForwardingQuestion question_{.source = {0x0a000002}, .outwards = true};
  Answers probe_;
  ManualClock clock_;
  ForwardingWatch watch_{probe_, clock_};
};

TEST_F(ForwardingWatchTest, AsksFirstThenAfterAChangeAndAtEachResync) {
  EXPECT_EQ(Ask(), "");
  EXPECT_EQ(probe_.asked, 1);
  for (int port = 0; port < 100; ++port) Ask();
  EXPECT_EQ(probe_.asked, 1);
  Ask(true);
  EXPECT_EQ(probe_.asked, 2);
  Ask(false, "another");
  EXPECT_EQ(probe_.asked, 3);
  clock_.Advance(std::chrono::seconds(30));
  Ask();
  Ask();
  EXPECT_EQ(probe_.asked, 4);
}

TEST_F(ForwardingWatchTest, RepeatsWhatItKnowsUntilItIsToldOtherwise) {
  probe_.answer = ForwardingVerdict{Forwarding::kBlocked, {}, {{"ip", "filter", "FORWARD", true}}};
  const std::string blocked = Ask();
  EXPECT_NE(blocked, "");
  EXPECT_EQ(Ask(), blocked);
  probe_.answer = ForwardingVerdict{Forwarding::kOpen, {}, {}};
  EXPECT_EQ(Ask(), blocked) << "not asked yet";
  clock_.Advance(std::chrono::seconds(30));
  EXPECT_EQ(Ask(), "");
}

TEST_F(ForwardingWatchTest, WhatCannotBeToldIsNotCalledBlocked) {
  probe_.answer = ForwardingVerdict{Forwarding::kUnknown, "no route", {}};
  EXPECT_EQ(Ask(), "");
  probe_.answer = Unavailable("nft");
  EXPECT_EQ(Ask(true), "");
}

TEST_F(ForwardingWatchTest, WhatGuestsSendToEachOtherIsAskedWhereItCanBeDropped) {
  probe_.between = ForwardingVerdict{Forwarding::kBlocked, {}, {{"ip", "filter", "FORWARD", true}}};
  EXPECT_EQ(Ask(), "");
  EXPECT_EQ(probe_.asked, 1);
  question_.neighbours = {Ipv4{0x0a000003}};
  EXPECT_EQ(Ask(true),
            "what guests on fkbr0 send to each other is dropped in the forward hook: table ip "
            "filter, chain FORWARD has policy drop. Allow the bridge there: iptables -I FORWARD -i "
            "fkbr0 -o fkbr0 -j ACCEPT");
  question_.many_links = true;
  EXPECT_THAT(Ask(true), ::testing::HasSubstr("Allow these links there: iptables -I FORWARD -i fk+ "
                                              "-o fk+ -j ACCEPT"));
  probe_.answer = ForwardingVerdict{Forwarding::kBlocked, {}, {{"inet", "fw", "fwd", true}}};
  EXPECT_THAT(Ask(true),
              ::testing::HasSubstr("what guests on fk* send out is dropped in the forward "
                                   "hook: table inet fw, chain fwd has policy drop. Allow "
                                   "these links there: nft insert rule inet fw fwd "
                                   "iifname 'fk*' accept; "))
      << "one message is enough";
}

TEST(BlockedMessageTest, NamesEverySuspectAndACommandForTheFirst) {
  EXPECT_EQ(BlockedMessage(Way::kOutwards, "fkbr3",
                           {{"ip", "filter", "FORWARD", true},
                            {"inet", "firewalld", "filter_FORWARD", false}}),
            "what guests on fkbr3 send out is dropped in the forward hook: table ip filter, chain "
            "FORWARD has policy drop; table inet firewalld, chain filter_FORWARD leads to a rule "
            "that drops. Allow the bridge there: iptables -I FORWARD -i fkbr3 -j ACCEPT; iptables "
            "-I FORWARD -o fkbr3 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT");
  EXPECT_EQ(
      BlockedMessage(Way::kOutwards, "fkbr0", {{"inet", "fw", "fwd", true}}),
      "what guests on fkbr0 send out is dropped in the forward hook: table inet fw, chain fwd "
      "has policy drop. Allow the bridge there: nft insert rule inet fw fwd iifname fkbr0 "
      "accept; nft insert rule inet fw fwd oifname fkbr0 ct state established,related accept");
  EXPECT_EQ(
      BlockedMessage(Way::kOutwards, "fkbr0", {{"iptables-legacy", "filter", "FORWARD", false}}),
      "what guests on fkbr0 send out is dropped in the forward hook: table filter of "
      "iptables-legacy may drop it. Allow the bridge there: iptables-legacy -I FORWARD -i "
      "fkbr0 -j ACCEPT; iptables-legacy -I FORWARD -o fkbr0 -m conntrack --ctstate "
      "RELATED,ESTABLISHED -j ACCEPT");
  EXPECT_EQ(BlockedMessage(Way::kOutwards, "fkbr0", {}),
            "what guests on fkbr0 send out is dropped in the forward hook; no table of nftables or "
            "iptables that does it was found");
}

TEST(ProbeTextTest, ForwardChainsAreReadWithoutOurs) {
  const auto chains = nftables::ReadForwardChains(R"(table inet forkplane {
	chain forward {
		type filter hook forward priority 0; policy drop;
	}
}
table ip filter {
	chain INPUT {
		type filter hook input priority 0; policy drop;
	}
	chain DOCKER-USER {
	}
	chain FORWARD {
		type filter hook forward priority 0; policy drop;
	}
}
table ip6 filter {
	chain FORWARD {
		type filter hook forward priority 0; policy drop;
	}
}
table inet fw {
	chain fwd {
		type filter hook forward priority 10; policy accept;
	}
}
)");
  const std::vector<ForwardChain> wanted = {{"ip", "filter", "FORWARD", true},
                                            {"inet", "fw", "fwd", false}};
  EXPECT_EQ(chains, wanted);
}

TEST(ProbeTextTest, ARuleThatDropsIsToldFromAPolicy) {
  EXPECT_FALSE(nftables::HoldsDrop("type filter hook forward priority 0; policy drop;"));
  EXPECT_FALSE(nftables::HoldsDrop("counter packets 1 bytes 2 jump dropped"));
  EXPECT_TRUE(nftables::HoldsDrop("counter packets 1 bytes 2 drop"));
  EXPECT_TRUE(nftables::HoldsDrop("reject with icmpx type port-unreachable"));
  EXPECT_TRUE(nftables::HoldsDrop("xt target \"REJECT\""));
}

TEST(ProbeTextTest, CountsAreReadOrRefused) {
  const auto counts = nftables::ReadProbeCounts(
      "udp dport 9 counter packets 3 bytes 96\nudp dport 9 counter packets 1 bytes 32 drop\n");
  ASSERT_TRUE(counts.has_value());
  EXPECT_EQ(counts->entered, 3u);
  EXPECT_EQ(counts->passed, 1u);
  EXPECT_FALSE(nftables::ReadProbeCounts("").has_value());
  EXPECT_FALSE(nftables::ReadProbeCounts("counter packets 3 bytes 96\n").has_value());
}

}  // namespace
}  // namespace forkplane::network
