// Goal: a guest's fragments cannot fill the memory in which the host puts together everybody's.
// Method: guests send first fragments that never become whole; the programs' counters and the
// kernel's own count of what waits (/proc/net/sockstat) are the judges.
#include <gtest/gtest.h>
#include <netinet/in.h>

#include <chrono>
#include <fstream>

#include "tests/kernel/traffic/lab.h"

namespace forkplane::traffic {
namespace {

using drivers::DropReason;

constexpr std::uint64_t kBurst = 64;
constexpr std::uint64_t kPerSecond = 8;
constexpr std::uint64_t kBurstOfAll = 512;
constexpr std::uint64_t kPerSecondOfAll = 32;

Bytes FirstFragment(std::uint16_t id) {
  Bytes frame = Packet(kMac, kInner, kGateway, IPPROTO_UDP, Udp(7, 5000, 1'400));
  Write16(frame, kIp + 4, id);
  Write16(frame, kIp + 6, 0x2000);  // more to come
  Write16(frame, kIp + 10, 0);
  Write16(frame, kIp + 10, Checksum(frame, kIp, kTransport));
  return frame;
}

void Flood(const Guest& guest, int count) {
  for (int i = 0; i < count; ++i) {
    ASSERT_TRUE(guest.Send(FirstFragment(static_cast<std::uint16_t>(i))));
  }
}

std::uint64_t Seconds(std::chrono::steady_clock::time_point since) {
  const auto elapsed = std::chrono::steady_clock::now() - since;
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::seconds>(elapsed).count());
}

// Bytes of packets that wait for their other fragments.
std::uint64_t BytesWaiting() {
  std::ifstream file("/proc/thread-self/net/sockstat");
  std::string word;
  while (file >> word && word != "FRAG:") {
  }
  std::uint64_t value = 0;
  file >> word >> value >> word >> value;  // "inuse N memory N"
  return value;
}

using FragmentsTest = LabTest;

INSTANTIATE_TEST_SUITE_P(Choices, FragmentsTest, ::testing::Values(kChoices[0], kChoices[1]),
                         NameOf);

TEST_P(FragmentsTest, OfOneGuestAreBoundedAndCounted) {
  InLab([](Lab& lab) {
    constexpr int kSent = 1'000;
    const auto start = std::chrono::steady_clock::now();
    Flood(lab.GuestOf(1), kSent);
    const std::uint64_t passed = kSent - lab.Drops(1, DropReason::kFragments);
    EXPECT_GE(passed, kBurst);
    EXPECT_LE(passed, kBurst + kPerSecond * (Seconds(start) + 1));
    EXPECT_GT(BytesWaiting(), 0u) << "the host does not put them together: nothing is shown";
    EXPECT_LE(BytesWaiting(), passed * 4'096);
    // Another guest has a budget of its own.
    Flood(lab.GuestOf(2), 10);
    EXPECT_EQ(lab.Drops(2, DropReason::kFragments), 0u);
  });
}

TEST_P(FragmentsTest, OfAllGuestsTogetherAreBounded) {
  InLab([](Lab& lab) {
    constexpr std::uint32_t kGuests = 12;
    constexpr int kSent = 64;
    const auto start = std::chrono::steady_clock::now();
    std::uint64_t passed = 0;
    for (std::uint32_t number = 1; number <= kGuests; ++number) {
      if (number > 2) lab.AddClone(number);
      Flood(lab.GuestOf(number), kSent);
      passed += kSent - lab.Drops(number, DropReason::kFragments);
    }
    EXPECT_GE(passed, kBurstOfAll);
    EXPECT_LE(passed, kBurstOfAll + kPerSecondOfAll * (Seconds(start) + 1));
    EXPECT_LE(BytesWaiting(), std::uint64_t{4} * 1024 * 1024);
  });
}

TEST_P(FragmentsTest, WithinTheBudgetADatagramArrivesWhole) {
  InLab([](Lab& lab) {
    const Guest guest = lab.GuestOf(1);
    const Bytes whole = Packet(kMac, kInner, kGateway, IPPROTO_UDP, Udp(7, 9, 2'992));
    for (const std::size_t at : {0u, 1'480u, 2'960u}) {
      const std::size_t size = std::min<std::size_t>(1'480, whole.size() - kTransport - at);
      Bytes frame(whole.begin(), whole.begin() + kTransport);
      const auto from = whole.begin() + static_cast<std::ptrdiff_t>(kTransport + at);
      frame.insert(frame.end(), from, from + static_cast<std::ptrdiff_t>(size));
      Write16(frame, kIp + 2, static_cast<std::uint32_t>(20 + size));
      const bool last = at + size == whole.size() - kTransport;
      Write16(frame, kIp + 6, static_cast<std::uint32_t>(at / 8) | (last ? 0 : 0x2000U));
      Write16(frame, kIp + 10, 0);
      Write16(frame, kIp + 10, Checksum(frame, kIp, kTransport));
      ASSERT_TRUE(guest.Send(frame));
    }
    // Put together, it is for a port that nobody listens on.
    const auto error = guest.Receive([](const Bytes& frame) {
      return frame.size() > kTransport && Read16(frame, 12) == 0x800 && frame[kIp + 9] == 1;
    });
    EXPECT_TRUE(error.has_value());
    EXPECT_EQ(lab.Drops(1, DropReason::kFragments), 0u);
  });
}

}  // namespace
}  // namespace forkplane::traffic
