// Goal: whatever a guest writes into the virtio-net header of a frame, what leaves the host is what
// the programs have judged.
// Method: a guest asks the host to finish a checksum at every place of a frame. The other guest, in
// whose TAP the kernel finishes checksums (it has no offloads), reads what really came.
#include <gtest/gtest.h>
#include <netinet/in.h>

#include "tests/kernel/traffic/lab.h"

namespace forkplane::traffic {
namespace {

using drivers::DropReason;

constexpr std::uint16_t kJudgedPort = 53;
constexpr std::uint16_t kMarkPort = 4711;
constexpr std::size_t kSize = 20;

Bytes ToTheOther(Bytes frame) {
  const MacAddress mac = OuterMac(2);
  std::copy(mac.bytes.begin(), mac.bytes.end(), frame.begin());
  return frame;
}

Bytes DatagramTo(std::uint16_t port) {
  return ToTheOther(Packet(kMac, kInner, OuterOf(2), IPPROTO_UDP, Udp(7, port, kSize)));
}

// With the sum of the pseudo header where the host is to finish it.
Bytes Unfinished(Bytes frame, std::size_t field) {
  Write16(frame, field, static_cast<std::uint16_t>(~Checksum({}, 0, 0, PseudoHeader(frame))));
  return frame;
}

// The host itself may report its multicast groups on the bridge meanwhile.
bool IsIp(const Bytes& frame) {
  return frame.size() > kTransport + 4 && Read16(frame, 12) == 0x800 &&
         frame[kIp + 9] != IPPROTO_IGMP;
}

class HostileHeaderTest : public LabTest {
 protected:
  // Guests that reach each other.
  void WithOpenPorts(const std::function<void(Lab&, const Guest&, const Guest&)>& body) {
    InLab([&](Lab& lab) {
      for (const std::uint32_t number : {1u, 2u}) {
        ASSERT_TRUE(lab.links->SetPortIsolation(TapIndex(number), false).ok());
      }
      body(lab, lab.GuestOf(1), lab.GuestOf(2));
    });
  }
};

INSTANTIATE_TEST_SUITE_P(Choices, HostileHeaderTest, ::testing::Values(kChoices[0], kChoices[1]),
                         NameOf);

TEST_P(HostileHeaderTest, AChecksumIsFinishedInTheUdpOrTcpHeaderOnly) {
  WithOpenPorts([](Lab& lab, const Guest& guest, const Guest& other) {
    const Bytes frame = DatagramTo(kJudgedPort);
    const std::uint64_t before = lab.Drops(1, DropReason::kChecksum);
    std::uint64_t hostile = 0;
    for (std::uint16_t start = 0; start + 2U <= frame.size(); ++start) {
      for (std::uint16_t offset = 0; start + offset + 2U <= frame.size(); ++offset) {
        if (start == kTransport && offset == 6) continue;
        // What the kernel itself refuses is no matter of ours.
        if (guest.SendUnfinished(frame, start, offset)) ++hostile;
      }
    }
    EXPECT_GT(hostile, 500u);  // a TAP itself refuses a start below 20
    EXPECT_EQ(lab.Drops(1, DropReason::kChecksum) - before, hostile);
    ASSERT_TRUE(guest.Send(DatagramTo(kMarkPort)));
    const auto got = other.Receive(IsIp);
    ASSERT_TRUE(got.has_value());
    EXPECT_EQ(Read16(*got, kTransport + 2), kMarkPort) << "a packet that was not judged";
  });
}

TEST_P(HostileHeaderTest, TheSenderOfAnArpIsTheOneThatWasJudged) {
  WithOpenPorts([](Lab& lab, const Guest& guest, const Guest&) {
    constexpr std::uint16_t kStart = 20;  // the least that a TAP takes (Linux 6.18)
    const Bytes request = ArpRequest(kMac, kInner, kGateway);
    const std::uint64_t before = lab.Drops(1, DropReason::kChecksum);
    std::uint64_t hostile = 0;
    for (std::uint16_t offset = 0; offset + 2U <= request.size(); ++offset) {
      if (guest.SendUnfinished(request, kStart, offset)) ++hostile;
    }
    EXPECT_GT(hostile, 10u);
    EXPECT_EQ(lab.Drops(1, DropReason::kChecksum) - before, hostile);
  });
}

TEST_P(HostileHeaderTest, SegmentsAreCutOnlyWithTheirChecksumInPlace) {
  WithOpenPorts([](Lab& lab, const Guest& guest, const Guest& other) {
    Bytes segment = TcpSyn(7, kJudgedPort);
    segment.resize(segment.size() + 4'000);
    const Bytes frame = Unfinished(
        ToTheOther(Packet(kMac, kInner, OuterOf(2), IPPROTO_TCP, segment)), kTransport + 16);
    const std::uint64_t before = lab.Drops(1, DropReason::kChecksum);
    std::uint64_t hostile = 0;
    for (std::uint16_t start = kIp; start < kTransport + 20; ++start) {
      for (std::uint16_t offset = 0; offset <= 18;
           offset = static_cast<std::uint16_t>(offset + 2)) {
        if (start == kTransport && offset == 16) continue;
        if (guest.SendSegments(frame, start, offset)) ++hostile;
      }
    }
    EXPECT_EQ(lab.Drops(1, DropReason::kChecksum) - before, hostile);
    ASSERT_TRUE(guest.SendSegments(frame));
    const auto got = other.Receive(IsIp);
    ASSERT_TRUE(got.has_value());
    EXPECT_EQ(Read16(*got, kTransport + 2), kJudgedPort);
    EXPECT_EQ(Checksum(*got, kTransport, kIp + Read16(*got, kIp + 2), PseudoHeader(*got)), 0);
  });
}

TEST_P(HostileHeaderTest, WhatGuestsAskRightlyIsFinished) {
  WithOpenPorts([](Lab& lab, const Guest& guest, const Guest& other) {
    const std::uint64_t before = lab.Drops(1, DropReason::kChecksum);
    const auto expect_finished = [&] {
      const auto got = other.Receive(IsIp);
      ASSERT_TRUE(got.has_value());
      EXPECT_EQ(Read16(*got, kTransport + 2), kJudgedPort);
      EXPECT_EQ(Checksum(*got, kTransport, kIp + Read16(*got, kIp + 2), PseudoHeader(*got)), 0);
    };
    ASSERT_TRUE(guest.SendUnfinished(Unfinished(DatagramTo(kJudgedPort), kTransport + 6)));
    expect_finished();
    const Bytes syn =
        ToTheOther(Packet(kMac, kInner, OuterOf(2), IPPROTO_TCP, TcpSyn(7, kJudgedPort)));
    ASSERT_TRUE(guest.SendUnfinished(Unfinished(syn, kTransport + 16), kTransport, 16));
    expect_finished();
    EXPECT_EQ(lab.Drops(1, DropReason::kChecksum), before);
  });
}

}  // namespace
}  // namespace forkplane::traffic
