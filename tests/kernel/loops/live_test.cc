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

// Goal: every limit that the API takes is held by the kernel, and the loop sees it. Method: limits
// at both ends of what can be asked, towards the guest and from it.
void RunExtremes() {
  const auto quantity = [](const char* text) {
    return *text == 0 ? std::optional<crd::Quantity>() : crd::Quantity::Of(text);
  };
  struct Limits {
    const char* rate;
    const char* ceil;
    const char* burst;
    bool beyond;
  };
  Live live;
  for (const Limits& limits :
       {Limits{"8", "", "", true}, Limits{"8", "16", "1600", true}, Limits{"96", "", "", false},
        Limits{"8k", "", "5Gi", true}, Limits{"10M", "20M", "5Gi", true},
        Limits{"125M", "", "4Gi", true}, Limits{"10M", "20M", "256Mi", false},
        Limits{"1", "100G", "", true}, Limits{"100G", "", "5Gi", true},
        Limits{"1E", "", "1", false}, Limits{"", "8", "", true}, Limits{"", "", "7Ei", true}}) {
    SCOPED_TRACE(fmt::format("rate {} ceil {} burst {}", limits.rate, limits.ceil, limits.burst));
    crd::Bandwidth& bandwidth = live.loops.objects.vm_.spec.interfaces[0].bandwidth.emplace();
    bandwidth.download = crd::DownloadLimit{quantity(limits.rate), quantity(limits.burst)};
    bandwidth.upload =
        crd::UploadLimit{quantity(limits.rate), quantity(limits.ceil), quantity(limits.burst)};
    live.loops.Pass();
    EXPECT_TRUE(live.Facts().shaped) << live.Facts().shaped_reason;
    EXPECT_EQ(live.Facts().beyond_kernel, limits.beyond);
  }
}

// However slow the uplink is said to be: its own classes and the interface's are held.
void RunSlowUplinks() {
  Live live;
  for (const char* capacity : {"8", "90", "3k", "4k", "1M", "9E"}) {
    SCOPED_TRACE(capacity);
    live.loops.host_object = std::make_shared<crd::Host>(HostOf(capacity));
    live.loops.Pass();
    EXPECT_TRUE(live.Facts().shaped) << live.Facts().shaped_reason;
  }
}

// Goal: whatever is asked for under running guests, the classes are together sure of no more than
// the uplink has. Method: two interfaces, of which the first holds what it was promised.
void RunOversold() {
  Live live;
  live.loops.host_object = std::make_shared<crd::Host>(HostOf("100M"));
  auto& interfaces = live.loops.objects.vm_.spec.interfaces;
  interfaces.resize(2);
  const auto ask = [&](const char* first, const char* second) {
    for (std::size_t i = 0; i < 2; ++i) {
      interfaces[i].bandwidth.emplace().upload.emplace().rate =
          crd::Quantity::Of(i == 0 ? first : second);
    }
  };
  ask("80M", "10M");
  const auto second = live.loops.Claim("b", 2).interfaces.at(1);
  EXPECT_TRUE(live.loops.ledger_->Release("uid-a").ok());
  const auto first = live.loops.ledger_->GetVm("uid-b")->interfaces.at(0);
  const auto rates = [&] {
    live.loops.Pass();
    live.loops.ShapingPass();
    std::vector<std::uint64_t> found;
    for (const auto& lease : {first, second}) {
      const auto facts = *live.loops.facts.Get(ledger::KeyOf(lease.id));
      EXPECT_TRUE(facts.shaped) << facts.shaped_reason;
      found.push_back(facts.upload_rate_bits_per_second / 1'000'000);
    }
    return found;
  };
  using ::testing::ElementsAre;
  EXPECT_THAT(rates(), ElementsAre(80, 10));
  ask("80M", "60M");
  EXPECT_THAT(rates(), ElementsAre(80, 20));
  EXPECT_TRUE(live.loops.facts.Get(ledger::KeyOf(second.id))->short_of_guarantee);
  ask("90M", "60M");
  EXPECT_THAT(rates(), ElementsAre(80, 20)) << "nothing is taken away for another";
  live.loops.RestartShaping();
  EXPECT_THAT(rates(), ElementsAre(80, 20)) << "nor after a restart";
  ask("30M", "60M");
  EXPECT_THAT(rates(), ElementsAre(30, 60));
  EXPECT_FALSE(live.loops.facts.Get(ledger::KeyOf(second.id))->short_of_guarantee);
  live.loops.host_object = std::make_shared<crd::Host>(HostOf("50M"));
  EXPECT_THAT(rates(), ElementsAre(30, 20)) << "of a slower uplink";
  live.loops.objects.overcommit_ = 2;
  EXPECT_THAT(rates(), ElementsAre(15, 25)) << "half of what is asked for, of 50 at most";
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

constexpr Case kCases[] = {{"Capacity", RunCapacity}, {"DefaultBandwidth", RunDefaultBandwidth},
                           {"Mtu", RunMtu},           {"Isolation", RunIsolation},
                           {"Extremes", RunExtremes}, {"SlowUplinks", RunSlowUplinks},
                           {"Oversold", RunOversold}};
INSTANTIATE_TEST_SUITE_P(Specs, LiveChangeTest, ::testing::ValuesIn(kCases),
                         [](const auto& param) { return param.param.name; });

}  // namespace
}  // namespace forkplane
