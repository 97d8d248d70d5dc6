// Goal: in a routed Network each guest stands on a link of its own and finds the same gateway
// there; what holds on a bridge holds here. Proven by packets.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include "tests/kernel/healing/commands.h"
#include "tests/kernel/loops/loops.h"
#include "tests/kernel/traffic/guest.h"

namespace forkplane {
namespace {

using traffic::Bytes;
using traffic::Guest;

constexpr Ipv4 kGateway{0x0a4d0001};
constexpr Ipv4 kInner{0x0a4d0002};
constexpr MacAddress kMac = InnerMac(0);
constexpr std::uint16_t kPort = 5000;
constexpr int kQuietMilliseconds = 300;

bool IsArp(const Bytes& frame) { return traffic::Read16(frame, 12) == 0x0806; }
bool IsUdp(const Bytes& frame) {
  return frame.size() > traffic::kTransport && traffic::Read16(frame, 12) == 0x0800 &&
         frame[traffic::kIp + 9] == IPPROTO_UDP;
}

UniqueFd HostSocket() {
  UniqueFd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(kPort);
  address.sin_addr.s_addr = htonl(kGateway.value);
  CHECK(::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  const timeval timeout = {3, 0};
  CHECK(::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout) == 0);
  return fd;
}

// What the host answers to one datagram of the guest: it is sent back to where it came from.
Ipv4 EchoOnce(const UniqueFd& host) {
  std::array<char, 2048> data = {};
  sockaddr_in from = {};
  socklen_t size = sizeof from;
  auto* address = reinterpret_cast<sockaddr*>(&from);
  const ssize_t n = ::recvfrom(host.get(), data.data(), data.size(), 0, address, &size);
  if (n < 0) return {};
  ::sendto(host.get(), data.data(), static_cast<std::size_t>(n), 0, address, size);
  return {ntohl(from.sin_addr.s_addr)};
}

class Machines {
 public:
  Machines() {
    loops.objects.network_.spec.mode = crd::NetworkMode::kRouted;
    loops.objects.network_.spec.host_access = crd::Access::kAllowed;  // it echoes
    loops.Pass();
    for (const char* name : {"a", "b"}) leases.push_back(loops.Claim(name).interfaces.at(0));
    loops.Pass();
  }
  // Whether the host answers for the second when the first asks for it, and how soon.
  bool IsAnsweredFor() {
    const Guest first = GuestOf(0);
    CHECK(first.Send(traffic::ArpRequest(kMac, kInner, leases[1].address)));
    const auto answer = first.Receive(IsArp, kQuietMilliseconds);
    return answer && std::equal(kGatewayMac.bytes.begin(), kGatewayMac.bytes.end(), &(*answer)[22]);
  }
  Guest GuestOf(std::size_t i) { return Guest(*loops.taps->Dup(leases[i].number)); }
  // Whether a datagram of the first reaches the second by the gateway.
  bool Reaches() {
    const Guest second = GuestOf(1);
    CHECK(GuestOf(0).Send(
        traffic::Packet(kMac, kInner, leases[1].address, IPPROTO_UDP, traffic::Udp(7, kPort, 99))));
    return second.Receive(IsUdp, kQuietMilliseconds).has_value();
  }

  Loops loops;
  std::vector<ledger::InterfaceLease> leases;
};

void RunRouted() {
  Machines machines;
  Loops& loops = machines.loops;
  const UniqueFd host = HostSocket();
  for (std::size_t i = 0; i < machines.leases.size(); ++i) {
    const ledger::InterfaceLease& lease = machines.leases[i];
    const auto fact = loops.facts.Get(ledger::KeyOf(lease.id));
    ASSERT_TRUE(fact && fact->ready && fact->shaped);
    const auto link = *loops.links->Observe(TapIndex(lease.number));
    ASSERT_TRUE(link.has_value());
    EXPECT_EQ(link->master, 0u);
    EXPECT_THAT(*loops.routes->ListHostRoutes(TapIndex(lease.number)),
                ::testing::ElementsAre(lease.address));
    const Guest guest = machines.GuestOf(i);
    ASSERT_TRUE(guest.Send(traffic::ArpRequest(kMac, kInner, kGateway)));
    const auto answer = guest.Receive(IsArp);
    ASSERT_TRUE(answer.has_value());
    EXPECT_TRUE(std::equal(kGatewayMac.bytes.begin(), kGatewayMac.bytes.end(), &(*answer)[22]));
    ASSERT_TRUE(guest.Send(
        traffic::Packet(kMac, kInner, kGateway, IPPROTO_UDP, traffic::Udp(7, kPort, 101))));
    EXPECT_EQ(EchoOnce(host), lease.address);
    const auto echo = guest.Receive(IsUdp);
    ASSERT_TRUE(echo.has_value());
    EXPECT_EQ(traffic::Read32(*echo, traffic::kIp + 16), kInner.value);
  }
  EXPECT_THAT(*loops.routes->ListHostRoutes(BridgeIndex(0)), ::testing::ElementsAre(kInner))
      << "that of the forwarding probe";

  EXPECT_FALSE(machines.Reaches());
  EXPECT_FALSE(machines.IsAnsweredFor());
  loops.objects.network_.spec.isolation = false;
  loops.Pass();
  EXPECT_TRUE(machines.Reaches());
  EXPECT_TRUE(machines.IsAnsweredFor()) << "a guest asks for its neighbours by ARP";

  // What others take comes back.
  const std::string tap = TapName(machines.leases[0].number);
  for (const char* line : {"sysctl -qw net.ipv4.conf.{}.proxy_arp=0",
                           "sysctl -qw net.ipv4.neigh.{}.proxy_delay=1000"}) {
    ASSERT_TRUE(healing::RunAll({fmt::format(fmt::runtime(line), tap)}).ok());
    loops.Pass();
    EXPECT_TRUE(machines.IsAnsweredFor()) << line;
  }
  ASSERT_TRUE(loops.links->SetMac(TapIndex(machines.leases[0].number), OuterMac(9)).ok());
  ASSERT_TRUE(loops.links->Delete(TapIndex(machines.leases[1].number)).ok());
  loops.Pass();
  EXPECT_TRUE(machines.Reaches());

  for (const char* owner : {"uid-a", "uid-b"}) ASSERT_TRUE(loops.ledger_->Release(owner).ok());
  loops.Pass();
  EXPECT_TRUE(loops.ledger_->ListAll().vms.empty());
}

TEST(RoutedTest, GuestsWithoutABridgeTalkToTheHostAndNotToEachOther) {
  const std::string why = testing::WhyNoNetworkNamespace();
  if (!why.empty()) GTEST_SKIP() << why;
  testing::RunInNetworkNamespace(RunRouted);
}

}  // namespace
}  // namespace forkplane
