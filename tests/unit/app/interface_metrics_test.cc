// Goal: with a limit of N, the N oldest interfaces have series with the kernel's own counters, the
// others are counted, and what goes leaves nothing. Method: counters set by hand in an in-memory
// host; the exposition is read as a scraper reads it.
#include "controller/app/interface_metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "controller/base/network_names.h"
#include "controller/base/rng.h"
#include "drivers/fake/drivers.h"
#include "tests/support/memory_ledger.h"

namespace forkplane::app {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class InterfaceMetricsTest : public ::testing::Test {
 protected:
  InterfaceMetricsTest() {
    ledger_ = testing::MemoryLedgerWith(testing::NetworkOf(), clock_, rng_);
    EXPECT_TRUE(fake::FakeLinkDriver(kernel_).CreateIfb({0, "host"}).ok());
    EXPECT_TRUE(qdiscs_.AddHtb(IfbIndex(0), kDefaultClassMinor).ok());
  }

  // A VM with one interface, its class and its TAP, which have passed and dropped as many.
  ledger::InterfaceLease Claim(const std::string& uid, const std::string& name,
                               std::uint64_t passed) {
    ledger::InterfaceLease lease = testing::ClaimOne(*ledger_, uid, name);
    drivers::TapSpec spec;
    spec.number = lease.number;
    EXPECT_TRUE(fake::FakeTapDriver(kernel_).Create(spec).ok());
    EXPECT_TRUE(qdiscs_.AddTbf(TapIndex(lease.number), {1000, 2000, 3000}).ok());
    const std::uint32_t minor = MinorOf(lease.number);
    EXPECT_TRUE(qdiscs_.AddClass(IfbIndex(0), {minor, 0, 1000, 1000, 2000, 2000, 2000}).ok());
    kernel_.Change([&](fake::State& state) {
      state.links.at(IfbIndex(0)).classes.at(minor).counters = {passed, 2, 3};
      state.links.at(TapIndex(lease.number)).root->counters = {passed + 1, 5, 6};
      return true;
    });
    return lease;
  }
  // One exposition, as from a registry that serves it.
  std::string Scrape(InterfaceMetrics& metrics) {
    metrics::Registry registry;
    registry.AddSource([&metrics](metrics::Scrape& scrape) { metrics.Collect(scrape); });
    return registry.Serialize();
  }

  ManualClock clock_;
  SeededRng rng_{1};
  fake::FakeKernel kernel_;
  fake::FakeQdiscDriver qdiscs_{kernel_};
  std::unique_ptr<ledger::Ledger> ledger_;
};

constexpr const char* kUpOfA =
    R"({direction="upload",interface="eth0",name="a",namespace="default"})";
constexpr const char* kDownOfA =
    R"({direction="download",interface="eth0",name="a",namespace="default"})";

TEST_F(InterfaceMetricsTest, UploadIsTheClassAndDownloadTheBucket) {
  Claim("uid-a", "a", 100);
  InterfaceMetrics metrics(*ledger_, qdiscs_, 10);
  const std::string text = Scrape(metrics);
  for (const auto& [name, up, down] :
       {std::tuple{"bytes", 100, 101}, {"packets", 2, 5}, {"drops", 3, 6}}) {
    EXPECT_THAT(text,
                HasSubstr(fmt::format("forkplane_interface_{}_total{} {}\n", name, kUpOfA, up)));
    EXPECT_THAT(
        text, HasSubstr(fmt::format("forkplane_interface_{}_total{} {}\n", name, kDownOfA, down)));
  }
  EXPECT_THAT(text, HasSubstr("# TYPE forkplane_interface_bytes_total counter"));
  EXPECT_THAT(text, HasSubstr("forkplane_interface_metrics_dropped 0\n"));
}

TEST_F(InterfaceMetricsTest, TheOldestKeepTheirSeriesAndTheNextMovesUp) {
  const auto a = Claim("uid-a", "a", 100);
  Claim("uid-b", "b", 200);
  InterfaceMetrics metrics(*ledger_, qdiscs_, 1);
  EXPECT_THAT(Scrape(metrics), AllOf(HasSubstr("name=\"a\""), Not(HasSubstr("name=\"b\"")),
                                     HasSubstr("forkplane_interface_metrics_dropped 1\n")));
  ASSERT_TRUE(ledger_->Release("uid-a").ok());
  EXPECT_THAT(Scrape(metrics), AllOf(HasSubstr("name=\"b\""), Not(HasSubstr("name=\"a\"")),
                                     HasSubstr("forkplane_interface_metrics_dropped 0\n")));
}

// One VM is held though its object is gone, another was made in its name. Equal labels would make
// the whole exposition unreadable.
TEST_F(InterfaceMetricsTest, NoTwoSeriesHaveTheSameLabels) {
  Claim("uid-old", "a", 100);
  Claim("uid-new", "a", 200);
  InterfaceMetrics metrics(*ledger_, qdiscs_, 10);
  EXPECT_THAT(Scrape(metrics),
              AllOf(HasSubstr("total" + std::string(kUpOfA) + " 100\n"), Not(HasSubstr(" 200\n")),
                    HasSubstr("forkplane_interface_metrics_dropped 1\n")));
}

TEST_F(InterfaceMetricsTest, WhatTheKernelDoesNotHaveHasNoSeries) {
  const auto a = Claim("uid-a", "a", 100);
  ASSERT_TRUE(qdiscs_.DeleteClass(IfbIndex(0), MinorOf(a.number)).ok());
  InterfaceMetrics metrics(*ledger_, qdiscs_, 10);
  EXPECT_THAT(Scrape(metrics), AllOf(HasSubstr(kDownOfA), Not(HasSubstr(kUpOfA))));
}

}  // namespace
}  // namespace forkplane::app
