// Goal: two clones with equal MAC and address talk to the host as two, cannot pretend to be others,
// and are bounded in both directions. Proven by packets, never by listing what is configured.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <memory>

#include "controller/base/network_names.h"
#include "drivers/bpf/identity.h"
#include "drivers/netlink/link.h"
#include "drivers/netlink/qdisc.h"
#include "drivers/netlink/route.h"
#include "drivers/netlink/sysctl.h"
#include "drivers/netlink/tap.h"
#include "tests/kernel/traffic/guest.h"
#include "tests/support/netns.h"

namespace forkplane::traffic {
namespace {

using drivers::Direction;
using drivers::DropReason;
using drivers::HtbClass;
using drivers::RedirectMode;

constexpr Ipv4 kGateway{0x0a4d0001};  // 10.77.0.1
constexpr Ipv4 kInner{0x0a4d0002};
constexpr MacAddress kMac = InnerMac(0);
constexpr std::uint16_t kPort = 5000;
constexpr std::uint16_t kClosedPort = 9;
constexpr std::uint64_t kWide = 125'000'000;  // bytes per second: no bound that a test would meet
constexpr drivers::Tbf kWideTbf{kWide, 1'250'000, 6'250'000};

Ipv4 OuterOf(std::uint32_t number) { return {0x0a4d0100 + number}; }

#define MUST(call)                                          \
  do {                                                      \
    const auto outcome_ = (call);                           \
    ASSERT_TRUE(outcome_.ok()) << outcome_.error().message; \
  } while (false)

// A host with one bridge, one IFB and clones 1 and 2.
struct Lab {
  std::unique_ptr<netlink::NetlinkLinkDriver> links = *netlink::NetlinkLinkDriver::Open();
  std::unique_ptr<netlink::NetlinkRouteDriver> routes = *netlink::NetlinkRouteDriver::Open();
  std::unique_ptr<netlink::NetlinkTapDriver> taps = *netlink::NetlinkTapDriver::Open();
  std::unique_ptr<netlink::NetlinkQdiscDriver> qdiscs = *netlink::NetlinkQdiscDriver::Open();
  std::unique_ptr<bpf::BpfIdentityDriver> identity;

  explicit Lab(RedirectMode mode) : identity(*bpf::BpfIdentityDriver::Open({{}, mode})) {}

  static HtbClass ClassOf(std::uint32_t minor, std::uint64_t rate, std::uint32_t burst) {
    const std::uint32_t parent = minor == kRootClassMinor ? 0 : kRootClassMinor;
    return {minor, parent, rate, rate, burst, burst, drivers::kQuantumBytes};
  }

  void Build() {
    MUST(links->CreateBridge({0, kGatewayMac, "", 1500}));
    MUST(routes->AddAddress(BridgeIndex(0), {kGateway, 16}));
    MUST(links->SetUp(BridgeIndex(0), true));
    MUST(links->CreateIfb({0, ""}));
    // Else its own router solicitations are counted in the default class.
    MUST(netlink::ProcSysctlDriver().DisableIpv6(IfbName(0)));
    MUST(qdiscs->AddHtb(IfbIndex(0), kDefaultClassMinor));
    MUST(qdiscs->AddClass(IfbIndex(0), ClassOf(kRootClassMinor, kWide, 1'250'000)));
    MUST(qdiscs->AddClass(IfbIndex(0), ClassOf(kDefaultClassMinor, 125'000, 3'036)));
    MUST(links->SetUp(IfbIndex(0), true));
  }

  static drivers::TapSpec SpecOf(std::uint32_t number) {
    drivers::TapSpec spec;
    spec.number = number;
    spec.alias = "vm-uid";
    return spec;
  }

  // In the order of architecture.md 5: everything before up.
  void AddClone(std::uint32_t number) {
    MUST(taps->Create(SpecOf(number)));
    Equip(number);
    MUST(qdiscs->AddClass(IfbIndex(0), ClassOf(number, kWide, 1'250'000)));
    MUST(qdiscs->SetLeaf(IfbIndex(0), number, {drivers::LeafKind::kBfifo, 65'536}));
    MUST(routes->AddHostRoute(BridgeIndex(0), OuterOf(number)));
    MUST(routes->SetNeighbour(BridgeIndex(0), {OuterOf(number), OuterMac(number)}));
  }

  void Equip(std::uint32_t number) {
    const std::uint32_t index = TapIndex(number);
    MUST(qdiscs->AddClsact(index));
    MUST(identity->SetEntry(index, {kMac, OuterMac(number), kInner, OuterOf(number), kGateway}));
    MUST(identity->Attach(index, Direction::kIngress));
    MUST(identity->Attach(index, Direction::kEgress));
    MUST(qdiscs->AddTbf(index, kWideTbf));
    MUST(links->SetMaster(index, BridgeIndex(0)));
    MUST(links->SetPortUp(index, true));
  }

  // A bridge carries frames some time after its first port is up (linkwatch); a guest asks again.
  void Settle(std::uint32_t number) {
    const Guest guest = GuestOf(number);
    const auto is_arp = [](const Bytes& f) { return Read16(f, 12) == 0x0806; };
    for (int i = 0; i < 50; ++i) {
      ASSERT_TRUE(guest.Send(ArpRequest(kMac, kInner, kGateway)));
      if (guest.Receive(is_arp, 200)) return;
    }
    FAIL() << "clone " << number << " gets no ARP answer";
  }

  Guest GuestOf(std::uint32_t number) { return Guest(*taps->Dup(number)); }
  std::uint64_t Drops(std::uint32_t number, DropReason reason) {
    return identity->Counters(number == 0 ? 0 : TapIndex(number))->Drops(reason);
  }
  drivers::ObservedClass ClassSeen(std::uint32_t minor) {
    const auto uplink = *qdiscs->ObserveUplink(IfbIndex(0));
    for (const auto& observed : uplink.classes) {
      if (observed.htb.minor == minor) return observed;
    }
    return {};
  }
};

// A UDP socket of the host on the gateway address.
UniqueFd HostSocket(std::uint16_t port) {
  UniqueFd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(kGateway.value);
  CHECK(bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  const timeval timeout = {3, 0};
  CHECK(setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout) == 0);
  return fd;
}

sockaddr_in AddressOf(Ipv4 address, std::uint16_t port) {
  sockaddr_in socket_address = {};
  socket_address.sin_family = AF_INET;
  socket_address.sin_port = htons(port);
  socket_address.sin_addr.s_addr = htonl(address.value);
  return socket_address;
}

// The sender of the next datagram; the kernel has checked its checksum. Zero: none came.
Ipv4 SenderOfNext(int fd) {
  std::array<char, 2048> data = {};
  sockaddr_in from = {};
  socklen_t size = sizeof from;
  if (recvfrom(fd, data.data(), data.size(), 0, reinterpret_cast<sockaddr*>(&from), &size) < 0) {
    return {};
  }
  return {ntohl(from.sin_addr.s_addr)};
}

bool SendTo(int fd, Ipv4 to, std::uint16_t port, std::size_t size) {
  const Bytes data(size, 'y');
  const sockaddr_in address = AddressOf(to, port);
  return sendto(fd, data.data(), data.size(), 0, reinterpret_cast<const sockaddr*>(&address),
                sizeof address) == static_cast<ssize_t>(size);
}

bool IsProtocol(const Bytes& frame, std::uint8_t protocol) {
  return frame.size() > kTransport && Read16(frame, 12) == 0x0800 && frame[kIp + 9] == protocol;
}

// Addressed to the inner identity, with every checksum right.
void ExpectDelivered(const Bytes& frame) {
  EXPECT_TRUE(std::equal(kMac.bytes.begin(), kMac.bytes.end(), frame.begin()));
  EXPECT_EQ(Read32(frame, kIp + 16), kInner.value);
  EXPECT_EQ(Checksum(frame, kIp, kTransport), 0);
  const std::size_t end = kIp + Read16(frame, kIp + 2);
  const bool icmp = frame[kIp + 9] == IPPROTO_ICMP;
  EXPECT_EQ(Checksum(frame, kTransport, end, icmp ? 0 : PseudoHeader(frame)), 0);
}

class TrafficTest : public ::testing::TestWithParam<RedirectMode> {
 protected:
  void InLab(const std::function<void(Lab&)>& body) {
    const std::string reason = testing::WhyNoNetworkNamespace();
    if (!reason.empty()) GTEST_SKIP() << reason;
    testing::RunInNetworkNamespace([&] {
      Lab lab(GetParam());
      lab.Build();
      lab.AddClone(1);
      lab.AddClone(2);
      lab.Settle(1);
      lab.Settle(2);
      if (!HasFatalFailure()) body(lab);
    });
  }
};

INSTANTIATE_TEST_SUITE_P(Redirects, TrafficTest,
                         ::testing::Values(RedirectMode::kBpf, RedirectMode::kMirred),
                         [](const auto& mode) {
                           return mode.param == RedirectMode::kBpf ? "Bpf" : "Mirred";
                         });

TEST_P(TrafficTest, BothClonesGetTheirOwnArpAnswer) {
  InLab([](Lab& lab) {
    for (const std::uint32_t number : {1u, 2u}) {
      const Guest guest = lab.GuestOf(number);
      ASSERT_TRUE(guest.Send(ArpRequest(kMac, kInner, kGateway)));
      const auto answer = guest.Receive([](const Bytes& f) { return Read16(f, 12) == 0x0806; });
      ASSERT_TRUE(answer.has_value()) << number;
      EXPECT_TRUE(std::equal(kMac.bytes.begin(), kMac.bytes.end(), answer->begin()));
      EXPECT_EQ(Read16(*answer, 20), 2);  // a reply
      EXPECT_EQ(Read32(*answer, 28), kGateway.value);
      EXPECT_TRUE(std::equal(kMac.bytes.begin(), kMac.bytes.end(), answer->begin() + 32));
      EXPECT_EQ(Read32(*answer, 38), kInner.value);
    }
  });
}

TEST_P(TrafficTest, DatagramsAreTranslatedBothWays) {
  InLab([](Lab& lab) {
    const UniqueFd host = HostSocket(kPort);
    for (const std::uint32_t number : {1u, 2u}) {
      const Guest guest = lab.GuestOf(number);
      ASSERT_TRUE(guest.Send(Packet(kMac, kInner, kGateway, IPPROTO_UDP, Udp(7, kPort, 101))));
      EXPECT_EQ(SenderOfNext(host.get()), OuterOf(number));
      ASSERT_TRUE(SendTo(host.get(), OuterOf(number), 7, 333));
      const auto got = guest.Receive([](const Bytes& f) { return IsProtocol(f, IPPROTO_UDP); });
      ASSERT_TRUE(got.has_value());
      ExpectDelivered(*got);
    }
  });
}

TEST_P(TrafficTest, TcpChecksumsAreRightBothWays) {
  InLab([](Lab& lab) {
    const Guest guest = lab.GuestOf(1);
    ASSERT_TRUE(guest.Send(Packet(kMac, kInner, kGateway, IPPROTO_TCP, TcpSyn(7, kClosedPort))));
    // A wrong checksum would be dropped in silence; a right one is refused.
    const auto reset = guest.Receive([](const Bytes& f) { return IsProtocol(f, IPPROTO_TCP); });
    ASSERT_TRUE(reset.has_value());
    ExpectDelivered(*reset);
    EXPECT_NE((*reset)[kTransport + 13] & 0x04, 0);
  });
}

TEST_P(TrafficTest, AnIcmpErrorToTheGuestQuotesWhatItSent) {
  InLab([](Lab& lab) {
    const Guest guest = lab.GuestOf(2);
    const Bytes sent = Packet(kMac, kInner, kGateway, IPPROTO_UDP, Udp(7, kClosedPort, 20));
    ASSERT_TRUE(guest.Send(sent));
    const auto error = guest.Receive([](const Bytes& f) { return IsProtocol(f, IPPROTO_ICMP); });
    ASSERT_TRUE(error.has_value());
    ExpectDelivered(*error);
    const std::size_t quote = kTransport + 8;
    EXPECT_EQ(Read32(*error, quote + 12), kInner.value);
    EXPECT_EQ(Checksum(*error, quote, quote + 20), 0);
    // The quoted datagram's own checksum is again the one the guest made.
    EXPECT_EQ(Read16(*error, quote + 20 + 6), Read16(sent, kTransport + 6));
  });
}

TEST_P(TrafficTest, AnIcmpErrorFromTheGuestReachesTheSocketItIsAbout) {
  InLab([](Lab& lab) {
    const Guest guest = lab.GuestOf(1);
    const UniqueFd host = HostSocket(kPort);
    const sockaddr_in to = AddressOf(OuterOf(1), kClosedPort);
    ASSERT_EQ(connect(host.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to), 0);
    ASSERT_EQ(send(host.get(), "hello", 5, 0), 5);
    const auto got = guest.Receive([](const Bytes& f) { return IsProtocol(f, IPPROTO_UDP); });
    ASSERT_TRUE(got.has_value());
    ASSERT_TRUE(guest.Send(Packet(kMac, kInner, kGateway, IPPROTO_ICMP, IcmpUnreachable(*got))));
    std::array<char, 16> data = {};
    EXPECT_EQ(recv(host.get(), data.data(), data.size(), 0), -1);
    EXPECT_EQ(errno, ECONNREFUSED);
  });
}

TEST_P(TrafficTest, SpoofedFramesAreDroppedAndCountedByReason) {
  InLab([](Lab& lab) {
    const Guest guest = lab.GuestOf(1);
    const UniqueFd host = HostSocket(kPort);
    const std::uint64_t passed = lab.identity->Counters(TapIndex(1))->from_guest_packets;
    const Bytes good = Packet(kMac, kInner, kGateway, IPPROTO_UDP, Udp(7, kPort, 10));
    const auto expect_dropped = [&](const Bytes& frame, DropReason reason) {
      const std::uint64_t before = lab.Drops(1, reason);
      ASSERT_TRUE(guest.Send(frame));
      EXPECT_EQ(lab.Drops(1, reason), before + 1) << ToString(reason);
    };
    expect_dropped(Packet(OuterMac(2), kInner, kGateway, IPPROTO_UDP, Udp(7, kPort, 10)),
                   DropReason::kSourceMac);
    expect_dropped(Packet(kMac, OuterOf(2), kGateway, IPPROTO_UDP, Udp(7, kPort, 10)),
                   DropReason::kSourceAddress);
    expect_dropped(ArpRequest(kMac, kGateway, OuterOf(2)), DropReason::kArpSender);
    Bytes frame = good;
    Write16(frame, 12, 0x86dd);
    expect_dropped(frame, DropReason::kEtherType);
    frame = good;
    frame.insert(frame.begin() + 12, {0x81, 0x00, 0x00, 0x05});  // a VLAN tag
    expect_dropped(frame, DropReason::kEtherType);
    frame.assign(good.begin(), good.begin() + kIp + 10);
    expect_dropped(frame, DropReason::kMalformed);
    expect_dropped(Packet(kMac, kInner, kGateway, IPPROTO_ICMP, IcmpUnreachable(good)),
                   DropReason::kQuoted);  // about a packet it did not receive
    ASSERT_TRUE(guest.Send(good));
    EXPECT_EQ(SenderOfNext(host.get()), OuterOf(1));  // the first that came
    EXPECT_EQ(lab.identity->Counters(TapIndex(1))->from_guest_packets, passed + 1);
  });
}

TEST_P(TrafficTest, WithoutAnEntryNothingPasses) {
  InLab([](Lab& lab) {
    const Guest guest = lab.GuestOf(1);
    const UniqueFd host = HostSocket(kPort);
    ASSERT_TRUE(lab.identity->DeleteEntry(TapIndex(1)).ok());
    const std::uint64_t before = lab.Drops(0, DropReason::kNoEntry);
    ASSERT_TRUE(guest.Send(Packet(kMac, kInner, kGateway, IPPROTO_UDP, Udp(7, kPort, 10))));
    ASSERT_TRUE(SendTo(host.get(), OuterOf(1), 7, 10));
    EXPECT_GE(lab.Drops(0, DropReason::kNoEntry), before + 2);
    EXPECT_FALSE(guest.Receive([](const Bytes&) { return true; }, 50).has_value());
  });
}

TEST_P(TrafficTest, UploadIsCountedInItsClassAndBoundedByIt) {
  InLab([](Lab& lab) {
    constexpr std::uint64_t kRate = 125'000;
    constexpr std::uint32_t kBurst = 4'000;
    ASSERT_TRUE(lab.qdiscs->ChangeClass(IfbIndex(0), Lab::ClassOf(1, kRate, kBurst)).ok());
    const Guest guest = lab.GuestOf(1);
    const drivers::TcCounters others = lab.ClassSeen(2).counters;
    const std::uint64_t bytes_before = lab.ClassSeen(1).counters.bytes;
    const auto start = std::chrono::steady_clock::now();
    const Bytes frame = Packet(kMac, kInner, kGateway, IPPROTO_UDP, Udp(7, kClosedPort, 958));
    for (int i = 0; i < 200; ++i) guest.Send(frame);
    const auto seen = lab.ClassSeen(1);
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    const double allowed = kBurst + 1'000 + 1.03 * kRate * elapsed.count();
    EXPECT_LE(static_cast<double>(seen.counters.bytes - bytes_before), allowed);
    EXPECT_GE(seen.counters.bytes, 2'000u);
    EXPECT_GT(seen.counters.backlog_bytes, 50'000u);
    EXPECT_LE(seen.counters.backlog_bytes, 65'536u);
    EXPECT_EQ(lab.ClassSeen(kDefaultClassMinor).counters.packets, 0u);
    EXPECT_EQ(lab.ClassSeen(2).counters, others);
  });
}

TEST_P(TrafficTest, DownloadIsBoundedByTheTbf) {
  InLab([](Lab& lab) {
    constexpr drivers::Tbf kTbf{125'000, 4'000, 65'536};
    ASSERT_TRUE(lab.qdiscs->ChangeTbf(TapIndex(1), kTbf, drivers::Queue::kDrop).ok());
    const UniqueFd host = HostSocket(kPort);
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < 200; ++i) ASSERT_TRUE(SendTo(host.get(), OuterOf(1), 7, 958));
    const auto root = *lab.qdiscs->ObservePort(TapIndex(1))->root;
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    const double allowed = 6'000 + 1.03 * 125'000 * elapsed.count();
    EXPECT_LE(static_cast<double>(root.counters.bytes), allowed);
    EXPECT_GE(root.counters.bytes, 2'000u);
    EXPECT_GT(root.counters.drops, 0u);
    EXPECT_LE(root.counters.backlog_bytes, 65'536u);
  });
}

// A packet of many segments that was let in under a wide bucket never gets enough tokens of a
// narrower one: it would stand at the head of the queue, and the guest hear nothing, for ever.
TEST_P(TrafficTest, ANarrowerBucketDoesNotBlockTheGuest) {
  InLab([](Lab& lab) {
    constexpr drivers::Tbf kSlow{12'500, 64'000, 1'000'000};
    constexpr drivers::Tbf kNarrow{kWide, 4'000, 65'536};
    ASSERT_TRUE(lab.qdiscs->ChangeTbf(TapIndex(1), kSlow, drivers::Queue::kDrop).ok());
    const SegmentSender sender(TapIndex(1));
    const Bytes segments = Segments(OuterMac(1), OuterOf(1), 40'000);
    ASSERT_TRUE(sender.Send(segments));  // takes the tokens
    ASSERT_TRUE(sender.Send(segments));  // waits
    ASSERT_GE(lab.qdiscs->ObservePort(TapIndex(1))->root->counters.backlog_bytes, 40'000u);
    ASSERT_TRUE(lab.qdiscs->ChangeTbf(TapIndex(1), kNarrow, drivers::Queue::kDrop).ok());
    const Guest guest = lab.GuestOf(1);
    const UniqueFd host = HostSocket(kPort);
    ASSERT_TRUE(SendTo(host.get(), OuterOf(1), 7, 10));
    EXPECT_TRUE(guest.Receive([](const Bytes& f) { return IsProtocol(f, IPPROTO_UDP); }));
    EXPECT_EQ(lab.qdiscs->ObservePort(TapIndex(1))->root->counters.backlog_bytes, 0u);
  });
}

// A daemon that was restarted holds no file; the VMM (a child that just waits) has the only one.
TEST_P(TrafficTest, ATapDeletedUnderARunningVmmIsHealed) {
  InLab([](Lab& lab) {
    std::array<int, 2> ends = {};
    ASSERT_EQ(pipe(ends.data()), 0);
    UniqueFd keep_alive(ends[1]);
    const UniqueFd child_end(ends[0]);
    UniqueFd tap = *lab.taps->Dup(1);
    const pid_t vmm = fork();
    if (vmm == 0) {
      close(ends[1]);
      char byte = 0;
      _exit(read(ends[0], &byte, 1) == 0 ? 0 : 1);
    }
    const auto restarted = *netlink::NetlinkTapDriver::Open();
    const Status adopted = restarted->Adopt(1, vmm);
    EXPECT_TRUE(adopted.ok()) << adopted.error().message;
    ASSERT_TRUE(restarted->Forget(1).ok());
    ASSERT_TRUE(lab.taps->Forget(1).ok());
    ASSERT_TRUE(lab.links->Delete(TapIndex(1)).ok());
    const Guest guest(std::move(tap));  // shares the open file with the child
    EXPECT_FALSE(guest.Send(ArpRequest(kMac, kInner, kGateway)));
    const Status healed = restarted->Reattach(Lab::SpecOf(1), vmm);
    ASSERT_TRUE(healed.ok()) << healed.error().message;
    lab.Equip(1);
    ASSERT_TRUE(guest.Send(ArpRequest(kMac, kInner, kGateway)));
    EXPECT_TRUE(guest.Receive([](const Bytes& f) { return Read16(f, 12) == 0x0806; }).has_value());
    keep_alive.Reset();
    int status = -1;
    EXPECT_EQ(waitpid(vmm, &status, 0), vmm);
    EXPECT_EQ(status, 0);
  });
}

TEST_P(TrafficTest, CreationTimeIsReported) {
  InLab([](Lab& lab) {
    constexpr std::uint32_t kFirst = 100;
    constexpr std::uint32_t kCount = 25;
    const auto start = std::chrono::steady_clock::now();
    for (std::uint32_t n = kFirst; n < kFirst + kCount; ++n) lab.AddClone(n);
    const std::chrono::duration<double, std::micro> elapsed =
        std::chrono::steady_clock::now() - start;
    EXPECT_EQ(lab.links->ListOwned()->size(), kCount + 4);
    RecordProperty("microseconds_per_tap", std::to_string(elapsed.count() / kCount));
    std::printf("%.0f us per TAP with all its objects, one writer\n", elapsed.count() / kCount);
  });
}

}  // namespace
}  // namespace forkplane::traffic
