#include "controller/app/identity_metrics.h"

#include <gtest/gtest.h>

#include <map>

namespace forkplane::app {
namespace {

using drivers::DropReason;
using drivers::IdentityCounters;

// Only counters; nothing here asks for more.
class Counting final : public drivers::IdentityDriver {
 public:
  void Drop(std::uint32_t index, DropReason reason, std::uint64_t packets) {
    by_index[index].drops.at(static_cast<std::size_t>(reason)) += packets;
  }

  drivers::RedirectMode Mode() const override { return drivers::RedirectMode::kBpf; }
  Lookup<drivers::IdentityEntry> ObserveEntry(std::uint32_t) override { return No(); }
  Result<std::vector<drivers::IdentityEntryAt>> ListEntries() override {
    if (fails) return No();
    std::vector<drivers::IdentityEntryAt> entries;
    for (const auto& [index, counters] : by_index) {
      if (index != 0) entries.push_back({.index = index, .entry = {}});
    }
    return entries;
  }
  Status SetEntry(std::uint32_t, const drivers::IdentityEntry&) override { return No(); }
  Status DeleteEntry(std::uint32_t) override { return No(); }
  Result<IdentityCounters> Counters(std::uint32_t index) override { return by_index[index]; }
  Result<drivers::AttachedPrograms> ObservePrograms(std::uint32_t) override { return No(); }
  Status Attach(std::uint32_t, drivers::Direction) override { return No(); }
  Result<bool> ArePinned() override { return true; }
  Status Pin() override { return OkStatus(); }
  Result<drivers::ProgramState> ObserveClassifier(std::uint32_t) override {
    return drivers::ProgramState::kNone;
  }
  Status AttachClassifier(std::uint32_t) override { return OkStatus(); }
  Status Detach(std::uint32_t, drivers::Direction) override { return No(); }

  std::map<std::uint32_t, IdentityCounters> by_index;
  bool fails = false;

 private:
  static Error No() { return Internal("not here"); }
};

class IdentityMetricsTest : public testing::Test {
 protected:
  double Value(const std::string& reason) {
    return registry_.AddCounter("forkplane_identity_drops_total", "", {{"reason", reason}}).Value();
  }

  double Answers() { return registry_.AddCounter("forkplane_dhcp_answers_total", "").Value(); }

  metrics::Registry registry_;
  Counting driver_;
};

TEST_F(IdentityMetricsTest, CountsWhatGrowsSinceTheStartOfAllInterfacesAndTheHost) {
  driver_.Drop(7, DropReason::kSourceMac, 100);
  IdentityMetrics metrics(driver_, registry_);
  EXPECT_EQ(Value("source_mac"), 0);
  driver_.Drop(7, DropReason::kSourceMac, 2);
  driver_.Drop(8, DropReason::kSourceMac, 3);
  driver_.Drop(0, DropReason::kNoEntry, 4);
  metrics.Refresh();
  metrics.Refresh();
  EXPECT_EQ(Value("source_mac"), 5);
  EXPECT_EQ(Value("no_entry"), 4);
}

TEST_F(IdentityMetricsTest, CountsAnswersApartFromDrops) {
  driver_.by_index[7].dhcp_answers = 5;
  IdentityMetrics metrics(driver_, registry_);
  driver_.by_index[7].dhcp_answers += 2;
  driver_.by_index[8].dhcp_answers = 1;
  driver_.Drop(8, DropReason::kDhcp, 4);
  metrics.Refresh();
  EXPECT_EQ(Answers(), 3);
  EXPECT_EQ(Value("dhcp"), 4);
}

TEST_F(IdentityMetricsTest, NeverFallsWhenAnInterfaceGoesOrItsIndexIsReused) {
  IdentityMetrics metrics(driver_, registry_);
  driver_.Drop(7, DropReason::kQuoted, 9);
  metrics.Refresh();
  driver_.by_index.clear();
  driver_.Drop(7, DropReason::kQuoted, 1);
  metrics.Refresh();
  EXPECT_EQ(Value("quoted"), 10);
  driver_.by_index.clear();
  metrics.Refresh();
  EXPECT_EQ(Value("quoted"), 10);
}

TEST_F(IdentityMetricsTest, CatchesUpAfterAnErrorOfTheDriver) {
  IdentityMetrics metrics(driver_, registry_);
  driver_.Drop(7, DropReason::kEtherType, 5);
  driver_.fails = true;
  metrics.Refresh();
  EXPECT_EQ(Value("ether_type"), 0);
  driver_.fails = false;
  metrics.Refresh();
  EXPECT_EQ(Value("ether_type"), 5);
}

}  // namespace
}  // namespace forkplane::app
