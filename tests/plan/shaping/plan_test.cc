// Goal: what the shaping loop does in each situation, and in which order; and how a spec becomes
// the kernel's numbers. Method: tables of worlds with the printed plan.
#include "reconcilers/shaping/plan.h"

#include <gtest/gtest.h>

#include "controller/base/network_names.h"
#include "reconcilers/shaping/rates.h"

namespace forkplane::shaping {
namespace {

Rates RatesFor(std::uint32_t number, std::uint64_t rate = 1'000'000) {
  Rates rates;
  rates.htb = {MinorOf(number), kRootClassMinor, rate, rate, 20'000, 20'000, 20'000};
  rates.leaf = {drivers::LeafKind::kBfifo, 65'536};
  rates.tbf = {rate, 20'000, 65'536};
  return rates;
}

struct World {
  Desired desired;
  Observed observed;

  DesiredShape& DesiredShapeOf(std::uint32_t number) {
    for (DesiredShape& shape : desired.shapes) {
      if (shape.number == number) return shape;
    }
    return desired.shapes.emplace_back(DesiredShape{Intent::kShape, number, RatesFor(number)});
  }
};

World Converged() {
  World world;
  world.observed.ready = true;
  world.observed.capacity_bytes_per_second = 125'000'000;
  for (std::uint32_t number : {1u, 2u}) {
    const Rates rates = world.DesiredShapeOf(number).rates;
    world.observed.classes[number] = {rates.htb, rates.leaf, {}};
    world.observed.tbfs[number] = rates.tbf;
  }
  return world;
}

std::string Printed(const World& world) {
  std::string text;
  for (const Action& action : MakePlan(world.desired, world.observed)) {
    text += (text.empty() ? "" : "; ") + ToString(action);
  }
  return text;
}

struct Case {
  const char* name;
  std::function<void(World&)> change;
  std::string plan;
  std::string shortfall_of_1;
};

void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

class ShapingPlanTest : public ::testing::TestWithParam<Case> {};

TEST_P(ShapingPlanTest, IsAsWritten) {
  World world = Converged();
  GetParam().change(world);
  EXPECT_EQ(Printed(world), GetParam().plan);
  EXPECT_EQ(Shortfall(world.DesiredShapeOf(1), world.observed), GetParam().shortfall_of_1);
}

constexpr const char* kClass1 = "7f00:1 rate=1000000 ceil=1000000 burst=20000 cburst=20000";

const Case kCases[] = {
    {"converged", [](World&) {}, "", ""},
    {"class deleted by hand", [](World& w) { w.observed.classes.erase(1); },
     std::string("AddClass ") + kClass1 + "; SetLeaf 7f00:1 bfifo limit=65536", "ClassDiffers"},
    {"leaf lost", [](World& w) { w.observed.classes[1].leaf.reset(); },
     "SetLeaf 7f00:1 bfifo limit=65536", "ClassDiffers"},
    {"rate changed: in place",
     [](World& w) { w.observed.classes[1].htb.rate_bytes_per_second = 5; },
     std::string("ChangeClass ") + kClass1, "ClassDiffers"},
    {"wrong parent: made anew", [](World& w) { w.observed.classes[1].htb.parent_minor = 0; },
     std::string("DeleteClass 7f00:1; AddClass ") + kClass1 + "; SetLeaf 7f00:1 bfifo limit=65536",
     "ClassDiffers"},
    {"TBF at the unshaped rate", [](World& w) { w.observed.tbfs[1].rate_bytes_per_second = 5; },
     "ChangeTbf fk46000001 rate=1000000 burst=20000 limit=65536", "BucketDiffers"},
    {"a narrower bucket: its queue goes", [](World& w) { w.observed.tbfs[1].burst_bytes = 50'000; },
     "ChangeTbf fk46000001 rate=1000000 burst=20000 limit=65536 dropping its queue",
     "BucketDiffers"},
    {"no TAP yet: the class stands before it", [](World& w) { w.observed.tbfs.erase(1); }, "",
     "WaitingForTap"},
    {"no uplink yet",
     [](World& w) {
       w.observed.ready = false;
       w.observed.classes.clear();
     },
     "", "WaitingForUplink"},
    {"deletes go first, also of what nobody leased",
     [](World& w) {
       w.observed.classes.erase(1);
       w.observed.classes[9] = w.observed.classes[2];
       w.DesiredShapeOf(2).intent = Intent::kRelease;
     },
     std::string("DeleteClass 7f00:2; DeleteClass 7f00:9; AddClass ") + kClass1 +
         "; SetLeaf 7f00:1 bfifo limit=65536",
     "ClassDiffers"},
    {"unknown intent changes nothing",
     [](World& w) {
       w.DesiredShapeOf(1).intent = Intent::kKeep;
       w.observed.classes[1].htb.rate_bytes_per_second = 5;
       w.observed.tbfs[1].rate_bytes_per_second = 5;
     },
     "", "VirtualMachineUnknown"},
    {"released", [](World& w) { w.DesiredShapeOf(1).intent = Intent::kRelease; },
     "DeleteClass 7f00:1", "Releasing"},
};
INSTANTIATE_TEST_SUITE_P(Worlds, ShapingPlanTest, ::testing::ValuesIn(kCases));

constexpr Surroundings kGigabit{125'000'000, drivers::LeafKind::kBfifo};
TEST(RatesTest, BitsOnTheWireBecomeBytes) {
  crd::Bandwidth bandwidth;
  bandwidth.download = crd::DownloadLimit{crd::Quantity::Of("50M"), {}};
  bandwidth.upload = crd::UploadLimit{crd::Quantity::Of("10M"), crd::Quantity::Of("20M"), {}};
  const Rates rates = RatesOf(0x10007, bandwidth, 1500, kGigabit);
  EXPECT_EQ(rates.htb.minor, 7u);
  EXPECT_EQ(rates.htb.parent_minor, kRootClassMinor);
  EXPECT_EQ(rates.htb.rate_bytes_per_second, 1'250'000u);
  EXPECT_EQ(rates.htb.ceil_bytes_per_second, 2'500'000u);
  EXPECT_EQ(rates.htb.burst_bytes, 12'500u) << "10 ms of rate";
  EXPECT_NE(rates.htb.quantum_bytes, 0u);
  EXPECT_EQ(rates.leaf.limit_bytes, 65'536u) << "64 KiB, more than 50 ms of rate";
  EXPECT_EQ(rates.tbf.rate_bytes_per_second, 6'250'000u);
  EXPECT_EQ(rates.tbf.burst_bytes, 62'500u);
  EXPECT_EQ(rates.tbf.limit_bytes, 312'500u) << "50 ms of rate";
}

TEST(RatesTest, ARateAboveTheUplinksIsLoweredToItAndSaysSo) {
  crd::Bandwidth bandwidth;
  bandwidth.upload = crd::UploadLimit{crd::Quantity::Of("1G"), {}, {}};
  EXPECT_FALSE(RatesOf(1, bandwidth, 1500, kGigabit).above_capacity);
  bandwidth.upload->rate = crd::Quantity::Of("2G");
  Rates rates = RatesOf(1, bandwidth, 1500, kGigabit);
  EXPECT_TRUE(rates.above_capacity);
  EXPECT_EQ(rates.htb.rate_bytes_per_second, 125'000'000u);
  EXPECT_EQ(rates.htb.ceil_bytes_per_second, 125'000'000u);
  // What it may have when others leave it free was never promised.
  bandwidth.upload = crd::UploadLimit{crd::Quantity::Of("1M"), crd::Quantity::Of("2G"), {}};
  rates = RatesOf(1, bandwidth, 1500, kGigabit);
  EXPECT_FALSE(rates.above_capacity);
  EXPECT_EQ(rates.htb.rate_bytes_per_second, 125'000u);
}

TEST(RatesTest, WithoutALimitTheUplinkIsTheLimit) {
  const Rates rates = RatesOf(1, {}, 1500, kGigabit);
  EXPECT_EQ(rates.htb.rate_bytes_per_second, kUnlimitedShareBytesPerSecond);
  EXPECT_EQ(rates.htb.ceil_bytes_per_second, 125'000'000u);
  EXPECT_EQ(rates.tbf.rate_bytes_per_second, 125'000'000u);
}

TEST(RatesTest, WhatIsNotGrantedMayBeBorrowed) {
  crd::Bandwidth bandwidth;
  bandwidth.upload = crd::UploadLimit{crd::Quantity::Of("60M"), {}, {}};
  EXPECT_EQ(ShareOf(bandwidth, 1500, kGigabit).rate, 7'500'000u);
  EXPECT_FALSE(RatesOf(1, bandwidth, 1500, kGigabit).short_of_guarantee);
  const Rates rates = RatesOf(1, bandwidth, 1500, kGigabit, 2'500'000);
  EXPECT_TRUE(rates.short_of_guarantee);
  EXPECT_EQ(rates.htb.rate_bytes_per_second, 2'500'000u);
  EXPECT_EQ(rates.htb.ceil_bytes_per_second, 7'500'000u);
  EXPECT_EQ(rates.htb.burst_bytes, 25'000u) << "10 ms of what it is sure of";
  EXPECT_EQ(RatesOf(1, bandwidth, 1500, kGigabit, 0).htb.rate_bytes_per_second,
            drivers::RateMin(1500));
  // Nothing was promised to one without a rate.
  EXPECT_FALSE(ShareOf({}, 1500, kGigabit).firm);
  EXPECT_FALSE(RatesOf(1, {}, 1500, kGigabit, 0).short_of_guarantee);
}

TEST(RatesTest, OfAnOvercommittedUplinkARateIsWorthLess) {
  Surroundings twice = kGigabit;
  twice.overcommit = 2;
  crd::Bandwidth bandwidth;
  bandwidth.upload = crd::UploadLimit{crd::Quantity::Of("80M"), {}, {}};
  const Rates rates = RatesOf(1, bandwidth, 1500, twice);
  EXPECT_EQ(rates.htb.rate_bytes_per_second, 5'000'000u);
  EXPECT_EQ(rates.htb.ceil_bytes_per_second, 10'000'000u);
  EXPECT_FALSE(rates.short_of_guarantee);
  EXPECT_FALSE(rates.above_capacity);
  EXPECT_EQ(RatesOf(1, {}, 1500, twice).htb.rate_bytes_per_second, kUnlimitedShareBytesPerSecond);
}

TEST(RatesTest, ABurstBelowOneFrameIsRaised) {
  crd::Bandwidth bandwidth;
  bandwidth.download = crd::DownloadLimit{crd::Quantity::Of("8k"), crd::Quantity::Of("100")};
  const Rates rates = RatesOf(1, bandwidth, 1500, kGigabit);
  EXPECT_GE(rates.tbf.burst_bytes, 1514u);
}

TEST(RatesTest, WhatTheKernelCannotKeepIsBroughtWithin) {
  crd::Bandwidth bandwidth;
  bandwidth.download = crd::DownloadLimit{crd::Quantity::Of("8"), {}};
  bandwidth.upload = crd::UploadLimit{crd::Quantity::Of("8k"), {}, crd::Quantity::Of("5Gi")};
  const Rates rates = RatesOf(1, bandwidth, 1500, kGigabit);
  EXPECT_TRUE(rates.beyond_kernel);
  EXPECT_EQ(rates.tbf.rate_bytes_per_second, drivers::RateMin(1500));
  EXPECT_EQ(rates.htb.rate_bytes_per_second, 1000u);
  EXPECT_EQ(rates.htb.burst_bytes, 274'877u) << "274.877 s";
  bandwidth.download->rate = crd::Quantity::Of("1k");
  bandwidth.upload->burst = crd::Quantity::Of("1");  // raised to two frames, as ever: no news
  EXPECT_FALSE(RatesOf(1, bandwidth, 1500, kGigabit).beyond_kernel);
}

TEST(RatesTest, TheNetworksDefaultFillsWhatTheInterfaceLeavesOut) {
  crd::Network network;
  network.spec.default_bandwidth =
      crd::Bandwidth{crd::DownloadLimit{crd::Quantity::Of("1M"), {}},
                     crd::UploadLimit{crd::Quantity::Of("2M"), {}, {}}};
  crd::Interface interface;
  interface.bandwidth = crd::Bandwidth{crd::DownloadLimit{crd::Quantity::Of("9M"), {}}, {}};
  const crd::Bandwidth got = crd::EffectiveBandwidth(interface, &network);
  EXPECT_EQ(got.download->rate, crd::Quantity::Of("9M"));
  EXPECT_EQ(got.upload->rate, crd::Quantity::Of("2M"));
  EXPECT_FALSE(crd::EffectiveBandwidth(crd::Interface{}, nullptr).download.has_value());
}

}  // namespace
}  // namespace forkplane::shaping
