// Goal: a Network says that another table drops what its guests send out, names it, and says so no
// longer when that is mended; and the probe leaves no trace, on the wire or in the firewall.
// Method: tables as Docker and firewalld make them, with nft; real guests' packets show that the
// verdict is true; what comes out of the uplink is watched from outside.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <linux/if_ether.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netpacket/packet.h>
#include <sys/socket.h>

#include <array>

#include "controller/base/network_names.h"
#include "tests/kernel/forwarding/world.h"
#include "tests/kernel/healing/commands.h"

namespace forkplane::forwarding {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr std::uint16_t kPort = 5000;

// Not what the host itself sends on the bridge (IGMP).
bool IsUdp(const traffic::Bytes& frame) {
  return traffic::Read16(frame, 12) == 0x0800 && frame.at(traffic::kIp + 9) == IPPROTO_UDP;
}

void Say(const std::string& line) {
  const auto output = healing::RunLine(line);
  ASSERT_TRUE(output.ok()) << output.error().message;
}

std::string Tables() { return healing::RunLine("nft list tables").value(); }

// Everything that comes out of the host's uplink.
class Wire {
 public:
  explicit Wire(const Outside& outside) {
    outside.Run([this] {
      socket_ = UniqueFd(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
      sockaddr_ll address = {};
      address.sll_family = AF_PACKET;
      address.sll_protocol = htons(ETH_P_ALL);
      address.sll_ifindex = static_cast<int>(if_nametoindex("ext0"));
      CHECK(bind(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    });
  }
  // IPv4 packets since the last call.
  int Packets() {
    int packets = 0;
    std::array<std::uint8_t, 2048> frame = {};
    while (recv(socket_.get(), frame.data(), frame.size(), 0) > 0) {
      if (frame[12] == 0x08 && frame[13] == 0x00) ++packets;
    }
    return packets;
  }

 private:
  UniqueFd socket_;
};

class BlockedWorld {
 public:
  // What the Network says after a resync; "": it does not say that it is blocked.
  std::string Message() {
    world.clock.Advance(std::chrono::seconds(30));
    world.Pass();
    EXPECT_TRUE(crd::IsTrue(world.objects.status.conditions, crd::condition::kReady))
        << "guests and host still talk";
    const auto* blocked =
        crd::FindCondition(world.objects.status.conditions, crd::condition::kForwardingBlocked);
    return blocked == nullptr ? "" : blocked->message;
  }
  // Whether a guest's datagram comes out and its answer gets back.
  bool GuestIsHeard(const traffic::Guest& guest, const UniqueFd& datagrams) {
    EXPECT_TRUE(guest.Send(
        traffic::Packet(InnerMac(0), kInner, kOutside, IPPROTO_UDP, traffic::Udp(7, kPort, 20))));
    const timeval timeout = {1, 0};
    CHECK(setsockopt(datagrams.get(), SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout) == 0);
    const Datagram heard = Receive(datagrams);
    if (heard.from.empty()) return false;
    Answer(datagrams, heard);
    return guest.Receive(IsUdp, 1000).has_value();
  }

  World world;
};

// As Docker does since 1.13: policy drop in FORWARD of a table that iptables-nft made.
constexpr const char* kDocker =
    "nft 'table ip filter { chain FORWARD { type filter hook forward priority 0 ; policy drop ; }; "
    "}'";

TEST(BlockedTest, APolicyThatDropsIsFoundAndItsEndToo) {
  InNamespace([] {
    BlockedWorld blocked;
    const UniqueFd datagrams = blocked.world.outside.Socket(SOCK_DGRAM, kPort);
    const traffic::Guest guest = blocked.world.GuestOf(blocked.world.Claim("a"));
    EXPECT_EQ(blocked.Message(), "");
    EXPECT_TRUE(blocked.GuestIsHeard(guest, datagrams));

    Say(kDocker);
    EXPECT_THAT(blocked.Message(),
                HasSubstr("what guests on fkbr0 send out is dropped in the forward hook: table ip "
                          "filter, chain FORWARD has policy drop. Allow the bridge there: iptables "
                          "-I FORWARD -i fkbr0 -j ACCEPT; "));
    EXPECT_FALSE(blocked.GuestIsHeard(guest, datagrams));

    // What the message says, in the words that this machine has.
    Say("nft insert rule ip filter FORWARD iifname fkbr0 accept");
    Say("nft insert rule ip filter FORWARD oifname fkbr0 ct state established,related accept");
    EXPECT_EQ(blocked.Message(), "");
    EXPECT_TRUE(blocked.GuestIsHeard(guest, datagrams));

    Say("nft flush chain ip filter FORWARD");
    EXPECT_NE(blocked.Message(), "");
    Say("nft delete table ip filter");
    EXPECT_EQ(blocked.Message(), "");
    EXPECT_TRUE(blocked.GuestIsHeard(guest, datagrams));
  });
}

TEST(BlockedTest, ARuleThatDropsIsFoundInItsTableAndOthersAreNotBlamed) {
  InNamespace([] {
    BlockedWorld blocked;
    // One that drops something else, one that only looks, one of another hook.
    Say("nft 'table inet quiet { chain c { type filter hook forward priority 5 ; counter ; }; }'");
    Say("nft 'table inet local { chain c { type filter hook input priority 5 ; policy drop ; }; "
        "}'");
    EXPECT_EQ(blocked.Message(), "");
    Say("nft 'table inet firewalld { chain deny { reject ; }; chain filter_FORWARD { type filter "
        "hook forward priority 10 ; iifname \"fkbr*\" jump deny ; }; }'");
    const std::string message = blocked.Message();
    EXPECT_THAT(message, HasSubstr("table inet firewalld, chain filter_FORWARD leads to a rule "
                                   "that drops. Allow the bridge there: nft insert rule inet "
                                   "firewalld filter_FORWARD iifname fkbr0 accept; "));
    EXPECT_THAT(message, Not(HasSubstr("quiet")));
    EXPECT_THAT(message, Not(HasSubstr("local")));
    Say("nft insert rule inet firewalld filter_FORWARD iifname fkbr0 accept");
    EXPECT_EQ(blocked.Message(), "");
  });
}

TEST(BlockedTest, TheProbeLeavesNoTrace) {
  InNamespace([] {
    BlockedWorld blocked;
    const std::string before = Tables();
    EXPECT_EQ(before, "table inet forkplane\n");
    const auto rules = *blocked.world.firewall->Observe();
    Wire wire(blocked.world.outside);
    wire.Packets();
    EXPECT_EQ(blocked.Message(), "");
    Say(kDocker);
    EXPECT_NE(blocked.Message(), "");
    Say("nft delete table ip filter");
    EXPECT_EQ(blocked.Message(), "");
    EXPECT_EQ(wire.Packets(), 0) << "a probe came out";
    EXPECT_EQ(Tables(), before);
    EXPECT_EQ(*blocked.world.firewall->Observe(), rules);
    // The wire does see what comes out.
    const UniqueFd datagrams = blocked.world.outside.Socket(SOCK_DGRAM, kPort);
    const traffic::Guest guest = blocked.world.GuestOf(blocked.world.Claim("a"));
    EXPECT_TRUE(blocked.GuestIsHeard(guest, datagrams));
    EXPECT_GT(wire.Packets(), 0);
  });
}

// As in a laboratory that uses the addresses of documentation for itself.
TEST(BlockedTest, ATargetThatIsOursDoesNotHideIt) {
  InNamespace([] {
    BlockedWorld blocked;
    Say("ip addr add 192.0.2.1/24 dev up0");
    Say("ip route add blackhole 198.51.100.1/32");
    EXPECT_EQ(blocked.Message(), "");
    Say(kDocker);
    EXPECT_NE(blocked.Message(), "");
  });
}

TEST(BlockedTest, WithoutAnUplinkNothingIsProbed) {
  InNamespace([] {
    BlockedWorld blocked;
    Say(kDocker);
    Say("ip route delete default");
    EXPECT_EQ(blocked.Message(), "");
  });
}

// Straight to the other's MAC, so that the bridge carries it.
bool HearsItsNeighbour(BlockedWorld& blocked, const ledger::InterfaceLease& from,
                       const ledger::InterfaceLease& to) {
  const traffic::Guest sender = blocked.world.GuestOf(from);
  const traffic::Guest receiver = blocked.world.GuestOf(to);
  traffic::Bytes frame =
      traffic::Packet(InnerMac(0), kInner, to.address, IPPROTO_UDP, traffic::Udp(7, kPort, 20));
  const MacAddress mac = OuterMac(to.number);
  std::copy(mac.bytes.begin(), mac.bytes.end(), frame.begin());
  EXPECT_TRUE(sender.Send(frame));
  return receiver.Receive(IsUdp, 500).has_value();
}

// br_netfilter shows everybody's IP rules what guests on one bridge send each other.
TEST(BlockedTest, WhatGuestsSendToEachOtherIsToldWhereOthersDropIt) {
  InNamespace([] {
    if (!healing::RunLine("sysctl -qw net.bridge.bridge-nf-call-iptables=1").ok()) {
      GTEST_SKIP() << "no br_netfilter";
    }
    BlockedWorld blocked;
    blocked.world.objects.network.spec.isolation = false;
    const auto from = blocked.world.Claim("a");
    const auto to = blocked.world.Claim("b");
    EXPECT_EQ(blocked.Message(), "");
    EXPECT_TRUE(HearsItsNeighbour(blocked, from, to));

    Say(kDocker);
    Say("nft add rule ip filter FORWARD iifname fkbr0 oifname != fkbr0 accept");
    EXPECT_THAT(blocked.Message(),
                HasSubstr("what guests on fkbr0 send to each other is dropped in the forward hook: "
                          "table ip filter, chain FORWARD has policy drop. Allow the bridge there: "
                          "iptables -I FORWARD -i fkbr0 -o fkbr0 -j ACCEPT"));
    EXPECT_FALSE(HearsItsNeighbour(blocked, from, to));
    Say("ip route delete default");
    EXPECT_THAT(blocked.Message(), HasSubstr("send to each other")) << "asked without an uplink";

    Say("nft insert rule ip filter FORWARD iifname fkbr0 oifname fkbr0 accept");
    EXPECT_EQ(blocked.Message(), "");
    EXPECT_TRUE(HearsItsNeighbour(blocked, from, to));

    Say("nft flush chain ip filter FORWARD");
    EXPECT_NE(blocked.Message(), "");
    Say("sysctl -qw net.bridge.bridge-nf-call-iptables=0");
    EXPECT_EQ(blocked.Message(), "") << "the bridge alone decides";
    EXPECT_TRUE(HearsItsNeighbour(blocked, from, to));
  });
}

// In a routed Network everything goes through the forward hook, by links of other names.
TEST(BlockedTest, TheRemedyOfARoutedNetworkNamesItsLinks) {
  InNamespace([] {
    BlockedWorld blocked;
    blocked.world.objects.network.spec.mode = crd::NetworkMode::kRouted;
    Say(kDocker);
    EXPECT_THAT(blocked.Message(),
                HasSubstr("Allow these links there: iptables -I FORWARD -i fk+ "));
    Say("nft insert rule ip filter FORWARD iifname 'fk*' accept");
    Say("nft insert rule ip filter FORWARD oifname 'fk*' ct state established,related accept");
    EXPECT_EQ(blocked.Message(), "");
  });
}

// Everything stands, and waits for a link that may come.
TEST(BlockedTest, AnUplinkThatIsNotThereIsNamedUntilItIs) {
  InNamespace([] {
    World world;
    world.objects.network.spec.uplink.interface = "later0";
    const auto ready = [&] {
      world.Pass();
      return *crd::FindCondition(world.objects.status.conditions, crd::condition::kReady);
    };
    const crd::Condition waits = ready();
    EXPECT_EQ(waits.status, crd::ConditionStatus::kFalse);
    EXPECT_EQ(waits.reason, "UplinkNotFound");
    EXPECT_THAT(waits.message,
                HasSubstr("spec.uplink.interface: this host has no link \"later0\""));
    EXPECT_TRUE(world.links->Observe(BridgeIndex(0))->value().up);
    Say("ip link add later0 type veth peer name later1");
    EXPECT_EQ(ready().reason, "Ready");
  });
}

// A reverse path check, as most distributions have it, lets the probe in.
TEST(BlockedTest, StrictReversePathFilteringDoesNotHideIt) {
  InNamespace([] {
    Say("sysctl -q -w net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.default.rp_filter=1");
    BlockedWorld blocked;
    EXPECT_EQ(blocked.Message(), "");
    Say(kDocker);
    EXPECT_NE(blocked.Message(), "");
  });
}

}  // namespace
}  // namespace forkplane::forwarding
