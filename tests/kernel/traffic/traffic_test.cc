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

#include "controller/base/network_names.h"
#include "tests/kernel/traffic/guest.h"
#include "tests/kernel/traffic/lab.h"

namespace forkplane::traffic {
namespace {

using drivers::DropReason;

constexpr std::uint16_t kPort = 5000;
constexpr std::uint16_t kClosedPort = 9;

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

using TrafficTest = LabTest;

INSTANTIATE_TEST_SUITE_P(Choices, TrafficTest, ::testing::ValuesIn(kChoices), NameOf);

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
    // fq_codel's limit is of memory, of which a packet takes more than its bytes.
    const std::uint64_t filled = lab.leaf == drivers::LeafKind::kBfifo ? 50'000 : 10'000;
    EXPECT_GT(seen.counters.backlog_bytes, filled);
    EXPECT_LE(seen.counters.backlog_bytes, 65'536u);
    EXPECT_EQ(lab.ClassSeen(kDefaultClassMinor).counters.packets, 0u);
    EXPECT_EQ(lab.ClassSeen(2).counters, others);
    EXPECT_GT(seen.counters.drops, 50u);
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
