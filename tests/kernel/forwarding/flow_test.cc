// Goal: who gets a released address gets nothing of what its last owner talked about, and nobody
// else's connections are broken off.
// Method: real guests' packets, masqueraded to a namespace outside; connection tracking is read
// whole. The same is done without the flush, to show that the entries would stand and what they do.
#include <gmock/gmock.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <set>
#include <thread>

#include "controller/base/network_names.h"
#include "drivers/netlink/flow_message.h"
#include "tests/kernel/forwarding/world.h"

namespace forkplane::forwarding {
namespace {

using traffic::Bytes;

constexpr std::uint16_t kGuestPort = 7;
constexpr std::uint16_t kPort = 5000;

// Forgets nothing, as a daemon would that does not flush.
class NoFlush final : public drivers::FlowDriver {
 public:
  Result<std::size_t> FlushAddress(Ipv4) override { return std::size_t{0}; }
  Result<std::size_t> FlushIf(const std::function<bool(const drivers::Flow&)>&) override {
    return std::size_t{0};
  }
};

// The original sources of all entries, each as often as it stands there.
std::multiset<Ipv4> TrackedSources() {
  netlink::Socket socket = *netlink::Socket::Open(NETLINK_NETFILTER);
  std::multiset<Ipv4> sources;
  const Status listed =
      socket.Dump([] { return netlink::ListFlows(); }, "list flows", [&] { sources.clear(); },
                  [&](const nlmsghdr* message) {
                    if (const auto flow = netlink::ReadFlow(message))
                      sources.insert(flow->addresses[0]);
                  });
  EXPECT_TRUE(listed.ok()) << listed.error().message;
  return sources;
}

// What the outside sees of a datagram and of a connection of that guest.
Datagram Talk(const traffic::Guest& guest, const UniqueFd& datagrams) {
  EXPECT_TRUE(guest.Send(traffic::Packet(InnerMac(0), kInner, kOutside, IPPROTO_TCP,
                                         traffic::TcpSyn(kGuestPort, kPort))));
  EXPECT_TRUE(guest.Receive([](const Bytes& f) {
    return traffic::Read16(f, 12) == 0x0800 && f[traffic::kIp + 9] == IPPROTO_TCP;
  })) << "no answer to the SYN";
  EXPECT_TRUE(guest.Send(traffic::Packet(InnerMac(0), kInner, kOutside, IPPROTO_UDP,
                                         traffic::Udp(kGuestPort, kPort, 20))));
  return Receive(datagrams);
}

bool IsDatagram(const Bytes& frame) {
  return traffic::Read16(frame, 12) == 0x0800 && frame[traffic::kIp + 9] == IPPROTO_UDP;
}

// A talks, goes, and its address goes to B; C talks all the while. True: an answer to A reached B.
bool AnswerReachesTheNextOwner(World& world, bool flushed) {
  const UniqueFd datagrams = world.outside.Socket(SOCK_DGRAM, kPort);
  const UniqueFd connections = world.outside.Socket(SOCK_STREAM, kPort);
  const auto a = world.Claim("a");
  const auto c = world.Claim("c");
  const Datagram of_a = Talk(world.GuestOf(a), datagrams);
  EXPECT_EQ(of_a.from, kHostOutside) << "masqueraded";
  const Datagram of_c = Talk(world.GuestOf(c), datagrams);
  EXPECT_EQ(TrackedSources().count(a.address), 2u) << "a datagram and a connection";
  EXPECT_EQ(TrackedSources().count(c.address), 2u);
  world.Release("a");
  EXPECT_EQ(TrackedSources().count(a.address), flushed ? 0u : 2u);
  EXPECT_EQ(TrackedSources().count(c.address), 2u) << "flows of another guest stay";
  const auto b = world.Claim("b", a.address);
  EXPECT_EQ(b.address, a.address);
  const traffic::Guest guest_b = world.GuestOf(b);
  const traffic::Guest guest_c = world.GuestOf(c);
  Answer(datagrams, of_a);
  Answer(datagrams, of_c);
  EXPECT_TRUE(guest_c.Receive(IsDatagram)) << "C still hears the answer to what it said";
  return guest_b.Receive(IsDatagram, 300).has_value();
}

TEST(FlowTest, WhoGetsAReleasedAddressHearsNothingForItsLastOwner) {
  InNamespace([] {
    World world;
    EXPECT_FALSE(AnswerReachesTheNextOwner(world, true));
  });
}

TEST(FlowTest, WithoutTheFlushItWould) {
  InNamespace([] {
    NoFlush none;
    World world(&none);
    EXPECT_TRUE(AnswerReachesTheNextOwner(world, false));
  });
}

// Whatever way it looks, and whoever else asks at the same time.
TEST(FlowTest, ManyAtOnceEachGetTheirOwn) {
  InNamespace([] {
    World world;
    const UniqueFd datagrams = world.outside.Socket(SOCK_DGRAM, kPort);
    const UniqueFd connections = world.outside.Socket(SOCK_STREAM, kPort);
    std::vector<Ipv4> talkers;
    for (const char* name : {"a", "b", "c", "d", "e"}) {
      const auto lease = world.Claim(name);
      Talk(world.GuestOf(lease), datagrams);
      talkers.push_back(lease.address);
    }
    const Ipv4 last = talkers.back();
    talkers.pop_back();
    {
      std::vector<std::jthread> threads;
      threads.reserve(talkers.size());
      for (const Ipv4 address : talkers) {
        threads.emplace_back([&world, address] {
          const auto removed = world.flows->FlushAddress(address);
          EXPECT_TRUE(removed.ok() && *removed == 2) << ToString(address);
        });
      }
    }
    const auto left = TrackedSources();
    for (const Ipv4 address : talkers) EXPECT_FALSE(left.contains(address));
    EXPECT_EQ(left.count(last), 2u);
  });
}

// Of many entries the kernel picks those asked for: what others have costs no message.
TEST(FlowTest, TheKernelFilters) {
  InNamespace([] {
    World world;
    const UniqueFd datagrams = world.outside.Socket(SOCK_DGRAM, kPort);
    const UniqueFd connections = world.outside.Socket(SOCK_STREAM, kPort);
    const auto a = world.Claim("a");
    const auto b = world.Claim("b");
    Talk(world.GuestOf(a), datagrams);
    const traffic::Guest guest = world.GuestOf(b);
    constexpr std::uint16_t kFlows = 200;
    for (std::uint16_t port = 1; port <= kFlows; ++port) {
      ASSERT_TRUE(guest.Send(traffic::Packet(InnerMac(0), kInner, kOutside, IPPROTO_UDP,
                                             traffic::Udp(port, kPort, 1))));
      ASSERT_EQ(Receive(datagrams).from, kHostOutside);
    }
    const auto filtering = *netlink::NetlinkFlowDriver::Open(0);
    const netlink::Traffic before = netlink::TrafficSoFar();
    EXPECT_EQ(*filtering->FlushAddress(a.address), 2u);
    const std::uint64_t answers = netlink::TrafficSoFar().answers - before.answers;
    EXPECT_LT(answers, 20u) << "the count, four lists and two removals";
    EXPECT_EQ(TrackedSources().count(a.address), 0u);
    EXPECT_EQ(TrackedSources().count(b.address), kFlows);
    EXPECT_EQ(*world.flows->FlushAddress(b.address), kFlows);
  });
}

}  // namespace
}  // namespace forkplane::forwarding
