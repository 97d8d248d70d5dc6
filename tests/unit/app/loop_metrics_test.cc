// Goal: what the network loops say of themselves is true: making a VM's network is no repair,
// putting back what others broke is one for each part, and the lag begins with the lease or the
// spec. Method: everything wired as in the daemon over an in-memory host and a clock that is turned
// by hand; the loops run until nothing is left to do; a rival changes the host behind their back.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <sstream>
#include <thread>

#include "controller/app/network_loops.h"
#include "controller/base/network_names.h"
#include "controller/base/rng.h"
#include "controller/store/local_object_store.h"
#include "crd/type_registry.h"
#include "drivers/fake/drivers.h"
#include "tests/support/memory_ledger.h"

namespace forkplane::app {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

class LoopMetricsTest : public ::testing::Test {
 protected:
  LoopMetricsTest() {
    store_ =
        std::move(store::LocalObjectStore::Open(store::NewMemoryLog(rng_), {.types = types_.get()},
                                                clock_, rng_, metrics_))
            .value();
    EXPECT_TRUE(
        store_
            ->Create({"", "namespaces"}, "",
                     R"({"apiVersion":"v1","kind":"Namespace","metadata":{"name":"default"}})")
            .ok());
    drivers_.links = &links_;
    drivers_.taps = &taps_;
    drivers_.qdiscs = &qdiscs_;
    drivers_.routes = &routes_;
    drivers_.sysctls = &sysctls_;
    drivers_.flows = &flows_;
    drivers_.forwarding = &forwarding_;
    drivers_.identities = &identities_;
    drivers_.firewall = &firewall_;
    drivers_.events = &events_;
    ledger_ = testing::MemoryLedger(clock_, rng_);
    statuses_ = std::make_unique<runtime::StatusWriter>(*store_, clock_, metrics_,
                                                        runtime::StatusWriter::Options{});
    informers_ = std::make_unique<Informers>(*store_);
    loops_ =
        std::make_unique<NetworkLoops>(LoopNeeds{options_, *store_, *ledger_, drivers_, *informers_,
                                                 boards_, *statuses_, clock_, rng_, metrics_});
    loops_->Attach();
    loops_->Resync();
    Write("Network", "networks", "default", R"({"cidr":"10.77.0.0/24"})");
    Settle();
  }

  void Write(const std::string& kind, const std::string& plural, const std::string& name,
             const std::string& spec) {
    const store::ObjectKey key{{"forkplane.dev", plural}, kind == "Network" ? "" : "default", name};
    const store::ObjectPtr before = store_->Get(key).value();
    const std::string text = fmt::format(
        R"({{"apiVersion":"forkplane.dev/v1alpha1","kind":"{}","metadata":{{"name":"{}"{}}},"spec":{}}})",
        kind, name, before ? fmt::format(R"(,"resourceVersion":"{}")", before->meta.revision) : "",
        spec);
    const auto written =
        before ? store_->Update(key, text) : store_->Create(key.resource, key.ns, text);
    ASSERT_TRUE(written.ok()) << written.error().message;
  }
  void WriteVm(const std::string& upload, const std::string& cpus = "1") {
    Write("VirtualMachine", "virtualmachines", "vm",
          fmt::format(R"({{"cpus":{},"memory":"96Mi","boot":{{"kernel":"k"}},"interfaces":[{{
              "name":"eth0","network":"default","bandwidth":{{"upload":{{"rate":"{}"}}}}}}]}})",
                      cpus, upload));
  }
  // Until no queue holds a key that is due now.
  void Settle() {
    bool busy = true;
    for (int round = 0; busy && round < 100; ++round) {
      EXPECT_TRUE(informers_->networks.Step().ok());
      EXPECT_TRUE(informers_->vms.Step().ok());
      busy = false;
      for (runtime::Controller* controller : loops_->Controllers()) {
        while (controller->ProcessReady({})) busy = true;
      }
    }
    EXPECT_FALSE(busy) << "the loops do not find an end";
  }
  // A VM with one interface, up to the last step.
  ledger::InterfaceLease Raise() {
    WriteVm("10M");
    Settle();
    const auto vm = informers_->vms.Get("default/vm");
    const auto network = informers_->networks.Get("default");
    ledger::VmClaim claim{.owner = {vm->metadata.uid, "default", "vm"}};
    claim.interfaces = {{.ordinal = 0, .name = "eth0", .network_uid = network->metadata.uid}};
    const auto lease = ledger_->Claim(claim);
    EXPECT_TRUE(lease.ok()) << lease.error().message;
    Settle();
    return lease->interfaces.front();
  }
  // A TAP is deleted by a thread of its own, which queues its key at the end.
  void Release(const ledger::InterfaceLease& lease) {
    EXPECT_TRUE(ledger_->Release(lease.owner.uid).ok());
    for (int i = 0; i < 10'000 && ledger_->GetVm(lease.owner.uid); ++i) {
      Settle();
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    EXPECT_FALSE(ledger_->GetVm(lease.owner.uid).has_value());
  }
  // Everything again, since no event of the fake kernel is listened to.
  void Heal() {
    for (int pass = 0; pass < 2; ++pass) {
      loops_->Resync();
      Settle();
    }
  }

  // Series of a metric that are not 0, by what stands in the braces.
  std::map<std::string, double> NotZero(const std::string& name) {
    std::map<std::string, double> series;
    std::istringstream text(metrics_.Serialize());
    for (std::string line; std::getline(text, line);) {
      if (!line.starts_with(name + "{") && !line.starts_with(name + " ")) continue;
      const auto space = line.rfind(' ');
      const double value = std::stod(line.substr(space + 1));
      if (value != 0) series[line.substr(name.size(), space - name.size())] = value;
    }
    return series;
  }
  std::map<std::string, double> Repairs() { return NotZero("forkplane_network_repairs_total"); }
  std::map<std::string, double> Unshaped() {
    return NotZero("forkplane_shaping_unshaped_interfaces");
  }
  std::map<std::string, double> Lags() { return NotZero("forkplane_shaping_lag_seconds_count"); }

  ManualClock clock_;
  SeededRng rng_{1};
  metrics::Registry metrics_;
  std::unique_ptr<crd::TypeRegistry> types_ = std::move(crd::NewTypeRegistry()).value();
  std::unique_ptr<store::LocalObjectStore> store_;
  fake::FakeKernel kernel_;
  fake::FakeLinkDriver links_{kernel_};
  fake::FakeTapDriver taps_{kernel_};
  fake::FakeQdiscDriver qdiscs_{kernel_};
  fake::FakeRouteDriver routes_{kernel_};
  fake::FakeSysctlDriver sysctls_{kernel_};
  fake::FakeFlowDriver flows_{kernel_};
  fake::FakeForwardingProbe forwarding_{kernel_};
  fake::FakeIdentityDriver identities_{kernel_, drivers::RedirectMode::kBpf};
  fake::FakeFirewallDriver firewall_{kernel_};
  fake::FakeLinkEvents events_{kernel_};
  Options options_;
  HostDrivers drivers_;
  Boards boards_;
  std::unique_ptr<ledger::Ledger> ledger_;
  std::unique_ptr<Informers> informers_;
  std::unique_ptr<runtime::StatusWriter> statuses_;
  std::unique_ptr<NetworkLoops> loops_;
};

std::string Of(const char* loop, const char* part) {
  return fmt::format(R"({{loop="{}",part="{}"}})", loop, part);
}

TEST_F(LoopMetricsTest, WhatIsMadeOrChangedOrReleasedIsNoRepair) {
  const auto lease = Raise();
  Heal();
  EXPECT_THAT(Repairs(), IsEmpty());
  WriteVm("20M");
  Settle();
  Write("Network", "networks", "default", R"({"cidr":"10.77.0.0/24","isolation":false})");
  Settle();
  Heal();
  ASSERT_EQ(qdiscs_.ObserveUplink(IfbIndex(0))->classes.front().htb.rate_bytes_per_second,
            2'500'000U);
  Release(lease);
  EXPECT_THAT(Repairs(), IsEmpty());
}

TEST_F(LoopMetricsTest, WhatOthersBrokeIsARepairOfEachPart) {
  kernel_.Change([](fake::State& state) { return state.foreign_forwarding["eth0"] = false; });
  const auto lease = Raise();
  Heal();  // the new link is opened
  const std::uint32_t tap = TapIndex(lease.number);
  ASSERT_TRUE(qdiscs_.DeleteClass(IfbIndex(0), MinorOf(lease.number)).ok());
  ASSERT_TRUE(routes_.DeleteHostRoute(BridgeIndex(0), lease.address).ok());
  ASSERT_TRUE(identities_.DeleteEntry(tap).ok());
  ASSERT_TRUE(links_.SetAlias(tap, "mine").ok());
  ASSERT_TRUE(firewall_.Remove().ok());
  kernel_.Change([](fake::State& state) { return state.foreign_forwarding["eth0"] = false; });
  Heal();
  EXPECT_THAT(Repairs(),
              ElementsAre(Pair(Of("network", "forwarding"), 1), Pair(Of("network", "rules"), 1),
                          Pair(Of("shaping", "class"), 1), Pair(Of("tap", "entry"), 1),
                          Pair(Of("tap", "route"), 1), Pair(Of("tap", "tap"), 1)));
  Heal();
  EXPECT_THAT(Repairs(), ::testing::SizeIs(6));
  EXPECT_THAT(Unshaped(), IsEmpty());
}

// An empty plan is not the whole while the bridge is away.
TEST_F(LoopMetricsTest, WhatWaitedForItsBridgeWasNeverWhole) {
  ASSERT_TRUE(links_.SetUp(BridgeIndex(0), false).ok());
  const auto lease = Raise();
  ASSERT_FALSE(boards_.interfaces.Get(ledger::KeyOf(lease.id))->ready);
  Heal();
  ASSERT_EQ((*links_.Observe(TapIndex(lease.number)))->master, BridgeIndex(0));
  EXPECT_THAT(Repairs(), ElementsAre(Pair(Of("network", "bridge"), 1)));
}

TEST_F(LoopMetricsTest, ADeviceTakesWhatItHadWithIt) {
  const auto lease = Raise();
  ASSERT_TRUE(links_.Delete(TapIndex(lease.number)).ok());
  Heal();
  EXPECT_THAT(Repairs(), ElementsAre(Pair(Of("tap", "filter"), 1), Pair(Of("tap", "tap"), 1),
                                     Pair(Of("tap", "tbf"), 1)))
      << "the TBF at once with its rate";
}

TEST_F(LoopMetricsTest, TheBridgeAndTheIfbAreRepairedWithTheirContents) {
  Raise();
  ASSERT_TRUE(links_.Delete(BridgeIndex(0)).ok());
  ASSERT_TRUE(links_.Delete(IfbIndex(0)).ok());
  Heal();
  const auto repairs = Repairs();
  for (const auto& [loop, part] :
       std::map<const char*, std::vector<const char*>>{{"host", {"ifb", "htb", "class"}},
                                                       {"network", {"bridge"}},
                                                       {"tap", {"tap", "route", "neighbour"}},
                                                       {"shaping", {"class"}}}) {
    for (const char* one : part) EXPECT_EQ(repairs.count(Of(loop, one)), 1U) << loop << one;
  }
  EXPECT_EQ(repairs.size(), 8U);
}

TEST_F(LoopMetricsTest, TheLagIsThatOfLeasesAndOfNewRates) {
  Raise();
  EXPECT_THAT(Lags(), ElementsAre(Pair("", 1)));
  EXPECT_THAT(Unshaped(), IsEmpty());
  WriteVm("10M", "2");  // another spec, the same rates
  Settle();
  EXPECT_THAT(Lags(), ElementsAre(Pair("", 1)));
  WriteVm("20M", "2");
  EXPECT_TRUE(informers_->vms.Step().ok());
  EXPECT_THAT(Unshaped(), ElementsAre(Pair(R"({reason="Pending"})", 1)));
  Settle();
  EXPECT_THAT(Lags(), ElementsAre(Pair("", 2)));
  EXPECT_THAT(Unshaped(), IsEmpty());
}

TEST_F(LoopMetricsTest, ANetworksDefaultIsAWishToo) {
  Raise();
  Write("Network", "networks", "default",
        R"({"cidr":"10.77.0.0/24","defaultBandwidth":{"download":{"rate":"30M"}}})");
  Settle();
  EXPECT_THAT(Lags(), ElementsAre(Pair("", 2)));
}

TEST_F(LoopMetricsTest, AReleasedInterfaceIsNotUnshaped) {
  const auto lease = Raise();
  ASSERT_TRUE(ledger_->Release(lease.owner.uid).ok());
  EXPECT_THAT(Unshaped(), IsEmpty());
  Release(lease);
  EXPECT_THAT(Unshaped(), IsEmpty());
}

}  // namespace
}  // namespace forkplane::app
