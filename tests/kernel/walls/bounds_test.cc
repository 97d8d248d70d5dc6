// Goal: one guest cannot fill the host's tables, its neighbours keep theirs, and a stream without
// answers is not taken for many connections. Method: datagrams from many ports of one guest.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>

#include <algorithm>
#include <cstdio>

#include "controller/base/network_names.h"
#include "drivers/netlink/flow.h"
#include "tests/kernel/forwarding/world.h"
#include "tests/kernel/healing/commands.h"

namespace forkplane::forwarding {
namespace {

constexpr std::uint16_t kPort = 5000;
constexpr int kAttack = 1500;

void Send(const traffic::Guest& guest, std::uint16_t port) {
  const traffic::Bytes packet =
      traffic::Packet(InnerMac(0), kInner, kOutside, IPPROTO_UDP, traffic::Udp(port, kPort, 20));
  while (!guest.Send(packet)) poll(nullptr, 0, 1);  // its queue is full
}

std::size_t EntriesOf(World& world, Ipv4 address) {
  std::size_t entries = 0;
  EXPECT_TRUE(world.flows
                  ->FlushIf([&](const drivers::Flow& flow) {
                    if (flow.source == address) ++entries;
                    return false;
                  })
                  .ok());
  return entries;
}

TEST(BoundsTest, OneGuestCannotFillTheTableOfConnections) {
  InNamespace([] {
    World world;
    world.objects.network.spec.connections_max = 100;
    world.Pass();
    const auto greedy = world.Claim("greedy");
    const auto modest = world.Claim("modest");
    const traffic::Guest attacker = world.GuestOf(greedy);
    const traffic::Guest neighbour = world.GuestOf(modest);
    const UniqueFd datagrams = world.outside.Socket(SOCK_DGRAM, kPort);
    for (int i = 0; i < kAttack; ++i) Send(attacker, static_cast<std::uint16_t>(10000 + i));
    const std::size_t held = EntriesOf(world, greedy.address);
    std::printf("attack: %d flows tried, %zu entries of connection tracking\n", kAttack, held);
    EXPECT_LE(held, 100u);
    EXPECT_GT(held, 0u);
    Send(neighbour, 7);
    bool heard = false;
    for (int i = 0; i < kAttack && !heard; ++i) {
      const Datagram datagram = Receive(datagrams);
      if (datagram.from.empty()) break;
      heard = EntriesOf(world, modest.address) == 1;
    }
    EXPECT_TRUE(heard) << "the neighbour is not heard";
    const auto refused = world.firewall->ListRefused();
    ASSERT_TRUE(refused.ok());
    ASSERT_EQ(refused->size(), 1u);
    EXPECT_EQ(refused->front().address, greedy.address);
    EXPECT_GE(refused->front().packets, static_cast<std::uint64_t>(kAttack) / 2);
    world.clock.Advance(std::chrono::seconds(60));
    world.Pass();
    const auto* told =
        crd::FindCondition(world.objects.status.conditions, crd::condition::kConnectionsBounded);
    ASSERT_NE(told, nullptr);
    EXPECT_NE(told->message.find(ToString(greedy.address)), std::string::npos) << told->message;
    EXPECT_EQ(told->message.find(ToString(modest.address)), std::string::npos) << told->message;
  });
}

// Of IPv4, whatever their state.
std::size_t Neighbours() {
  const auto text = healing::RunLine("ip -4 neigh show nud all");
  EXPECT_TRUE(text.ok());
  return static_cast<std::size_t>(std::count(text->begin(), text->end(), '\n'));
}

// Where guests may talk to each other, the host looks for whom they call.
TEST(BoundsTest, OneGuestCannotFillTheTableOfNeighbours) {
  InNamespace([] {
    World world;
    world.objects.network.spec.isolation = false;
    world.Pass();
    const auto greedy = world.Claim("greedy");
    const traffic::Guest attacker = world.GuestOf(greedy);
    const std::size_t before = Neighbours();
    const auto cidr = ParseCidr(world.objects.network.spec.cidr).value();
    const int tried = 250;
    for (int host = 0; host < tried; ++host) {
      const Ipv4 target{cidr.base.value + 5 + static_cast<std::uint32_t>(host)};
      ASSERT_NE(target, greedy.address);
      const auto call =
          traffic::Packet(InnerMac(0), kInner, target, IPPROTO_UDP, traffic::Udp(7, kPort, 20));
      while (!attacker.Send(call)) poll(nullptr, 0, 1);
      while (!attacker.Send(traffic::ArpRequest(InnerMac(0), kInner, target))) poll(nullptr, 0, 1);
    }
    poll(nullptr, 0, 100);  // the last ones are on their way
    const std::size_t after = Neighbours();
    std::printf("attack: %d addresses called and asked for, %zu neighbours before, %zu after\n",
                tried, before, after);
    EXPECT_LE(after, before + 2) << "its own, and that of whoever it really reached";
  });
}

TEST(BoundsTest, AStreamWithoutAnswersIsOneConnection) {
  InNamespace([] {
    World world;
    const auto lease = world.Claim("a");
    const traffic::Guest guest = world.GuestOf(lease);
    for (int i = 0; i < kAttack; ++i) Send(guest, 7);
    EXPECT_EQ(EntriesOf(world, lease.address), 1u);
    EXPECT_TRUE(world.firewall->ListRefused()->empty());
  });
}

}  // namespace
}  // namespace forkplane::forwarding
