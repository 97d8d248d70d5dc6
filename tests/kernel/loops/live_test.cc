// Goal: what a spec may change under running guests reaches the kernel in place: nothing is made
// anew, no counter starts again.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/kernel/loops/loops.h"

namespace forkplane {
namespace {

constexpr std::uint64_t kBits = 8;

crd::Host HostOf(const char* upload) {
  crd::Host host;
  crd::HostUplink uplink;
  uplink.capacity.emplace();
  uplink.capacity->upload = crd::Quantity::Of(upload);
  host.spec.uplinks = {uplink};
  return host;
}

drivers::ObservedClass ClassOf(Loops& loops, std::uint32_t minor) {
  const auto uplink = *loops.qdiscs->ObserveUplink(IfbIndex(0));
  for (const auto& is : uplink.classes) {
    if (is.htb.minor == minor) return is;
  }
  return {};
}

// A bare machine: its rates are the Network's, or the uplink's.
struct Live {
  Live() {
    loops.objects.vm_.spec.interfaces[0].bandwidth.reset();
    loops.host_object = std::make_shared<crd::Host>(HostOf("1G"));
    loops.Pass();
    lease = loops.Claim("a").interfaces.at(0);
    loops.Pass();
    tap = TapIndex(lease.number);
  }
  runtime::InterfaceFacts Facts() { return *loops.facts.Get(ledger::KeyOf(lease.id)); }

  Loops loops;
  ledger::InterfaceLease lease;
  std::uint32_t tap = 0;
};

void RunCapacity() {  // W8
  Live live;
  EXPECT_EQ(live.Facts().upload_ceil_bits_per_second, 1'000'000'000u);
  EXPECT_EQ(live.Facts().download_rate_bits_per_second, 1'000'000'000u);
  live.loops.host_object = std::make_shared<crd::Host>(HostOf("400M"));
  live.loops.Pass();
  EXPECT_EQ(ClassOf(live.loops, kRootClassMinor).htb.ceil_bytes_per_second, 400'000'000u / kBits);
  EXPECT_EQ(live.Facts().upload_ceil_bits_per_second, 400'000'000u);
  EXPECT_EQ(live.Facts().download_rate_bits_per_second, 400'000'000u);
  EXPECT_TRUE(live.Facts().shaped);
}

void RunDefaultBandwidth() {
  Live live;
  for (const char* rate : {"20M", "5M"}) {
    live.loops.objects.network_.spec.default_bandwidth =
        crd::Bandwidth{crd::DownloadLimit{crd::Quantity::Of(rate), std::nullopt},
                       crd::UploadLimit{crd::Quantity::Of(rate), std::nullopt, std::nullopt}};
    live.loops.calls.changes.clear();
    live.loops.Pass();
    const auto bits = static_cast<std::uint64_t>(crd::Quantity::Of(rate).Value());
    EXPECT_EQ(live.Facts().upload_rate_bits_per_second, bits);
    EXPECT_EQ(live.Facts().download_rate_bits_per_second, bits);
    EXPECT_THAT(live.loops.calls.changes, ::testing::IsEmpty()) << "nothing is made";
  }
}

void RunMtu() {
  Live live;
  for (const std::int64_t mtu : {1400, 9000, 1500}) {
    live.loops.objects.network_.spec.mtu = mtu;
    live.loops.Pass();
    for (const std::uint32_t index : {live.tap, BridgeIndex(0)}) {
      EXPECT_EQ((*live.loops.links->Observe(index))->mtu, static_cast<std::uint32_t>(mtu));
    }
    EXPECT_EQ((*live.loops.identities->ObserveEntry(live.tap))->mtu, mtu);
    EXPECT_TRUE(live.Facts().ready && live.Facts().shaped);
  }
}

void RunIsolation() {
  Live live;
  for (const bool isolation : {false, true}) {
    live.loops.objects.network_.spec.isolation = isolation;
    live.loops.Pass();
    EXPECT_EQ((*live.loops.links->Observe(live.tap))->isolated, isolation);
    EXPECT_EQ((**live.loops.firewall->Observe()).networks.at(0).isolated, isolation);
  }
}

struct Case {
  const char* name;
  void (*run)();
};

class LiveChangeTest : public ::testing::TestWithParam<Case> {};

TEST_P(LiveChangeTest, ReachesTheKernelInPlace) {
  const std::string why = testing::WhyNoNetworkNamespace();
  if (!why.empty()) GTEST_SKIP() << why;
  testing::RunInNetworkNamespace(GetParam().run);
}

constexpr Case kCases[] = {{"Capacity", RunCapacity},
                           {"DefaultBandwidth", RunDefaultBandwidth},
                           {"Mtu", RunMtu},
                           {"Isolation", RunIsolation}};
INSTANTIATE_TEST_SUITE_P(Specs, LiveChangeTest, ::testing::ValuesIn(kCases),
                         [](const auto& param) { return param.param.name; });

}  // namespace
}  // namespace forkplane
