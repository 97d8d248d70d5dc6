// Goal: with upload shaped on the uplink each guest's packets pass its own class there, the host's
// own pass unbounded, and nobody else's qdisc is touched. Proven by packets through the real
// forwarding path and by the counters of the classes.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/if_packet.h>
#include <sys/socket.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <thread>

#include "tests/kernel/healing/commands.h"
#include "tests/kernel/loops/loops.h"
#include "tests/kernel/traffic/guest.h"

namespace forkplane {
namespace {

using healing::RunAll;
using healing::RunLine;
using traffic::Guest;

constexpr Ipv4 kGateway{0x0a4d0001};
constexpr Ipv4 kInner{0x0a4d0002};
constexpr Ipv4 kFar{0xc6336402};  // 198.51.100.2
constexpr MacAddress kMac = InnerMac(0);
constexpr std::size_t kPayload = 1400;

void Must(const std::vector<std::string>& lines) {
  const Status status = RunAll(lines);
  EXPECT_TRUE(status.ok()) << status.error().message;
}

// A host whose uplink leads to where everything is taken, and two guests on it.
class UplinkHost {
 public:
  UplinkHost() {
    Must({"ip link add up0 type veth peer name up1",
          "sysctl -w net.ipv6.conf.up0.disable_ipv6=1",  // nothing is sent by itself
          "ip link set up0 up", "ip link set up1 up", "ip addr add 198.51.100.1/24 dev up0",
          "ip route add default via 198.51.100.2",
          "ip neigh add 198.51.100.2 lladdr 02:00:00:00:00:02 dev up0 nud permanent"});
    index = loops.routes->DefaultUplink()->value().index;
    loops.Pass();
    for (const char* name : {"a", "b"}) leases.push_back(loops.Claim(name).interfaces.at(0));
    loops.Pass();
    for (const auto& lease : leases) {
      const Guest guest(*loops.taps->Dup(lease.number));
      EXPECT_TRUE(guest.Send(traffic::ArpRequest(kMac, kInner, kGateway)));
    }
  }

  // A guest sends that many datagrams out into the world.
  void SendFrom(std::size_t i, int count) const {
    const Guest guest(*loops.taps->Dup(leases[i].number));
    auto packet = traffic::Packet(kMac, kInner, kFar, IPPROTO_UDP, traffic::Udp(7, 9, kPayload));
    std::copy(kGatewayMac.bytes.begin(), kGatewayMac.bytes.end(), packet.begin());
    for (int n = 0; n < count; ++n) EXPECT_TRUE(guest.Send(packet));
  }
  // The host itself does.
  static void SendFromHost(int count) {
    const UniqueFd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    sockaddr_in to = {};
    to.sin_family = AF_INET;
    to.sin_port = htons(9);
    to.sin_addr.s_addr = htonl(kFar.value);
    const std::array<char, kPayload> data = {};
    for (int n = 0; n < count; ++n) {
      EXPECT_EQ(::sendto(fd.get(), data.data(), data.size(), 0, reinterpret_cast<sockaddr*>(&to),
                         sizeof to),
                static_cast<ssize_t>(data.size()));
    }
  }
  // What a class has let pass, once it has nothing left to send.
  std::uint64_t PacketsOf(std::uint32_t minor) const {
    for (int tries = 0; tries < 100; ++tries) {
      const auto uplink = *loops.qdiscs->ObserveUplink(index);
      for (const auto& is : uplink.classes) {
        if (is.htb.minor == minor && is.counters.backlog_bytes == 0) return is.counters.packets;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    ADD_FAILURE() << "class " << minor << " is missing, or never empty";
    return 0;
  }
  // Packets that left by the uplink since the last call, a moment after they were sent.
  std::uint64_t SentOut() {
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    const auto link = nlohmann::json::parse(*RunLine("ip -j -s link show dev up0")).at(0);
    const std::uint64_t all = link.at("stats64").at("tx").at("packets");
    return all - std::exchange(sent_, all);
  }
  std::uint32_t MinorOfGuest(std::size_t i) const { return MinorOf(leases[i].number); }

  static ledger::Options OneDomain() {
    ledger::Options options;
    options.shaping_domains = 1;
    options.classes_per_domain = kMinorMax;
    return options;
  }

  Loops loops{OneDomain(), 0, drivers::RedirectMode::kMark};
  std::uint32_t index = 0;
  std::vector<ledger::InterfaceLease> leases;

 private:
  std::uint64_t sent_ = 0;
};

void InNamespace(const std::function<void()>& body) {
  const std::string why = testing::WhyNoNetworkNamespace();
  if (!why.empty()) GTEST_SKIP() << why;
  testing::RunInNetworkNamespace(body);
}

TEST(UplinkTest, EachGuestHasItsClassAndTheHostItsOwn) {
  InNamespace([] {
    const UplinkHost host;
    for (const auto& lease : host.leases) {
      const auto fact = host.loops.facts.Get(ledger::KeyOf(lease.id));
      EXPECT_TRUE(fact && fact->ready && fact->shaped) << (fact ? fact->shaped_reason : "no fact");
    }
    EXPECT_FALSE(host.loops.links->Observe(IfbIndex(0))->has_value()) << "no IFB is needed";
    const std::uint64_t host_before = host.PacketsOf(kHostClassMinor);
    host.SendFrom(0, 5);
    host.SendFrom(1, 3);
    UplinkHost::SendFromHost(4);
    EXPECT_EQ(host.PacketsOf(host.MinorOfGuest(0)), 5u);
    EXPECT_EQ(host.PacketsOf(host.MinorOfGuest(1)), 3u);
    EXPECT_EQ(host.PacketsOf(kHostClassMinor) - host_before, 4u);
    EXPECT_EQ(host.PacketsOf(kDefaultClassMinor), 0u);
  });
}

TEST(UplinkTest, WithoutTheTableNothingThatGuestsSendLeaves) {
  InNamespace([] {
    const UplinkHost host;
    Must({"nft flush ruleset"});
    const std::uint64_t host_before = host.PacketsOf(kHostClassMinor);
    host.SendFrom(0, 5);
    EXPECT_EQ(host.PacketsOf(host.MinorOfGuest(0)), 0u);
    EXPECT_EQ(host.PacketsOf(kHostClassMinor), host_before);
    Must({"ip rule del pref 1"});
    host.SendFrom(0, 5);
    EXPECT_EQ(host.PacketsOf(kHostClassMinor) - host_before, 5u) << "the rule is not needed";
  });
}

TEST(UplinkTest, AGuestWithoutAClassIsBoundedByTheSmallOne) {
  InNamespace([] {
    const UplinkHost host;
    Must({fmt::format("tc class del dev up0 classid 7f00:{:x}", host.MinorOfGuest(0))});
    host.SendFrom(0, 4);
    EXPECT_EQ(host.PacketsOf(kDefaultClassMinor), 4u);
  });
}

// The rate itself, from above: what a busy machine does to this test only makes it pass.
TEST(UplinkTest, AGuestGetsNoMoreThanItsRate) {
  InNamespace([] {
    UplinkHost host;
    constexpr std::uint64_t kRate = 1'250'000;
    const auto began = std::chrono::steady_clock::now();
    std::uint64_t passed = 0;
    double seconds = 0;
    do {
      host.SendFrom(0, 100);  // five times as much
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      const auto uplink = *host.loops.qdiscs->ObserveUplink(host.index);
      passed = uplink.classes.front().counters.bytes;
      seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
    } while (seconds < 1);
    const double burst = 2 * drivers::DefaultBurst(kRate, kMtuDefault);
    EXPECT_LE(static_cast<double>(passed), kRate * seconds * 1.03 + burst);
    EXPECT_GE(static_cast<double>(passed), kRate * 0.5) << "it may send at all";
  });
}

TEST(UplinkTest, WhatOthersTakeComesBack) {
  InNamespace([] {
    UplinkHost host;
    const auto works = [&](const char* after) {
      const std::uint64_t before = host.PacketsOf(host.MinorOfGuest(0));
      host.SendFrom(0, 2);
      EXPECT_EQ(host.PacketsOf(host.MinorOfGuest(0)) - before, 2u) << after;
    };
    for (const char* line :
         {"tc filter del dev up0 parent 7f00:", "tc class del dev up0 classid 7f00:fffd",
          "tc qdisc del dev up0 root", "tc class change dev up0 classid 7f00:fffd htb rate 1kbit",
          "tc filter add dev up0 parent 7f00: prio 9 u32 match u32 0 0 classid 7f00:fffd"}) {
      Must({line});
      host.loops.Pass();
      works(line);
      EXPECT_EQ(*host.loops.identities->ObserveClassifier(host.index),
                drivers::ProgramState::kOurs);
    }
  });
}

TEST(UplinkTest, SomebodysRootQdiscIsLeftAlone) {
  InNamespace([] {
    UplinkHost host;
    Must({"tc qdisc replace dev up0 root handle 1: pfifo limit 77"});
    host.loops.Pass();
    EXPECT_THAT(*RunLine("tc qdisc show dev up0"), ::testing::HasSubstr("pfifo 1: root"));
    const auto fact = host.loops.facts.Get(ledger::KeyOf(host.leases[0].id));
    EXPECT_EQ(fact->shaped_reason, "WaitingForUplink");
    host.SentOut();
    host.SendFrom(0, 5);
    EXPECT_EQ(host.SentOut(), 0u) << "its rate would not hold";
    // A new daemon knows nothing of the uplink before its first look, and opens nothing.
    Must({"tc qdisc del dev up0 root"});
    host.loops.RestartNetwork();
    host.loops.ForgetUplink();
    host.loops.NetworkPass();
    host.SendFrom(0, 5);
    EXPECT_EQ(host.SentOut(), 0u);

    host.loops.Pass();
    host.SendFrom(0, 5);
    EXPECT_EQ(host.SentOut(), 5u);
    EXPECT_TRUE(host.loops.facts.Get(ledger::KeyOf(host.leases[0].id))->shaped);
  });
}

TEST(UplinkTest, BackOnIfbsNothingIsLeftOnTheUplink) {
  InNamespace([] {
    UplinkHost host;
    EXPECT_EQ(host.loops.qdiscs->ForeignLinksWithHtb()->size(), 1u);
    Loops ifbs;
    ifbs.Pass();
    EXPECT_TRUE(ifbs.qdiscs->ForeignLinksWithHtb()->empty());
    EXPECT_TRUE(ifbs.links->Observe(IfbIndex(0))->has_value());
  });
}

// Without a default route a new daemon finds the classes where the last one left them: it would
// take those of released interfaces for gone, and lease their numbers again.
TEST(UplinkTest, ANewDaemonShapesWhereTheLastOneDid) {
  InNamespace([] {
    const UplinkHost host;
    Must({"ip route del default"});
    Loops next{UplinkHost::OneDomain(), 0, drivers::RedirectMode::kMark};
    EXPECT_FALSE(next.qdiscs->ObserveUplink(IfbIndex(0)).ok()) << "it does not know";
    ASSERT_TRUE(next.FindUplink().ok());
    const auto uplink = *next.qdiscs->ObserveUplink(IfbIndex(0));
    ASSERT_TRUE(uplink.root.has_value());
    EXPECT_EQ(uplink.root->handle, kHtbHandle);
    EXPECT_TRUE(std::any_of(uplink.classes.begin(), uplink.classes.end(),
                            [&](const auto& is) { return is.htb.minor == host.MinorOfGuest(0); }));
  });
}

// A default route of several next hops (ECMP) leads out too.
void RunSeveralHops() {
  Must({"ip link add up0 type veth peer name up1", "ip link set up0 up", "ip link set up1 up",
        "ip link add up2 type veth peer name up3", "ip link set up2 up", "ip link set up3 up",
        "ip addr add 198.51.100.1/24 dev up0", "ip addr add 203.0.113.1/24 dev up2"});
  const auto routes = *netlink::NetlinkRouteDriver::Open();
  EXPECT_FALSE(routes->DefaultUplink()->has_value());
  Must({"ip route add default nexthop via 203.0.113.2 dev up2 nexthop via 198.51.100.2 dev up0"});
  EXPECT_EQ(routes->DefaultUplink()->value().name, "up2");
  // An object of its own, of which routes know but the number.
  Must({"ip route flush exact 0.0.0.0/0", "ip nexthop add id 1 via 198.51.100.2 dev up0",
        "ip nexthop add id 2 via 203.0.113.2 dev up2", "ip nexthop add id 3 group 1/2",
        "ip route add default nhid 3"});
  EXPECT_EQ(routes->DefaultUplink()->value().name, "up0");
}

TEST(UplinkTest, ADefaultRouteOfSeveralNextHopsIsOne) {
  const std::string why = testing::WhyNoNetworkNamespace();
  if (!why.empty()) GTEST_SKIP() << why;
  testing::RunInNetworkNamespace(RunSeveralHops);
}

}  // namespace
}  // namespace forkplane
