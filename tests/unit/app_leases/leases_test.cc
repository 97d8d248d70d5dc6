// Goal: `forkplane leases` shows every lease of a real ledger file, whose it is and what it waits
// for. Method: a ledger makes the file and is closed; stdout is captured.
#include "controller/app/leases.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "controller/app/debug.h"
#include "tests/support/tempdir.h"

namespace forkplane::app {
namespace {

using ledger::Listing;
using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::HasSubstr;

ledger::NetworkParameters SmallNetwork() {
  ledger::NetworkParameters network;
  network.uid = "net-1";
  network.name = "default";
  network.cidr = ParseCidr("10.0.0.0/29").value();
  network.gateway = network.cidr.At(1);
  return network;
}

ledger::VmClaim ClaimOf(const std::string& name) {
  ledger::VmClaim claim{.owner = {"uid-" + name, "default", name}};
  claim.interfaces.push_back({.ordinal = 0, .name = "eth0", .network_uid = "net-1"});
  claim.slot_pool = "qemu";
  return claim;
}

class LeasesTest : public ::testing::Test {
 protected:
  // Three claimed VMs and one slot: "a" runs, "b" waits for the slot, "c" is going away, "gone"
  // left its address behind.
  void Fill(ledger::Ledger& ledger) {
    ASSERT_TRUE(ledger.GrantSlots("qemu", 1).ok());
    ASSERT_TRUE(ledger.ClaimNetwork(SmallNetwork()).ok());
    for (const char* name : {"gone", "a", "b", "c"}) {
      ASSERT_TRUE(ledger.Claim(ClaimOf(name)).ok()) << name;
      if (std::string_view(name) == "gone") LetGo(ledger);
    }
    ASSERT_TRUE(ledger.SetVmm("uid-a", {4711, 8, "boot-1", "forkplane/uid-a"}).ok());
    ASSERT_TRUE(ledger.Release("uid-c").ok());
    const auto vm = ledger.GetVm("uid-c");
    ASSERT_TRUE(vm.has_value());
    ASSERT_TRUE(ledger.ConfirmAbsent(vm->interfaces.at(0).id, ledger::Part::kTap).ok());
  }

  void LetGo(ledger::Ledger& ledger) {
    const auto vm = ledger.GetVm("uid-gone");
    ASSERT_TRUE(vm.has_value());
    ASSERT_TRUE(ledger.Release("uid-gone").ok());
    for (const auto part : {ledger::Part::kTap, ledger::Part::kClass}) {
      ASSERT_TRUE(ledger.ConfirmAbsent(vm->interfaces.at(0).id, part).ok());
    }
  }

  std::unique_ptr<ledger::Ledger> Open() {
    ledger::Options options;
    options.path = dir_.File("ledger.db");
    options.boot_id = "boot-1";
    options.uid_first = 2'000'000'001;
    auto opened = ledger::Ledger::Open(options, clock_, rng_);
    EXPECT_TRUE(opened.ok());
    return std::move(opened).value();
  }

  // What the verb prints; its status goes to `status`.
  std::string Print(bool json) {
    Options options;
    options.state_dir = dir_.path().string();
    ::testing::internal::CaptureStdout();
    status_ = Leases(options, json);
    return ::testing::internal::GetCapturedStdout();
  }

  testing::TempDir dir_;
  ManualClock clock_;
  SeededRng rng_{1};
  Status status_ = OkStatus();
};

TEST_F(LeasesTest, TheTableHasALinePerLease) {
  Listing listing;
  {
    const auto ledger = Open();
    ASSERT_NO_FATAL_FAILURE(Fill(*ledger));
    listing = ledger->ListAll();
  }
  clock_.Advance(seconds(5));
  EXPECT_EQ(
      RenderLeases(listing, clock_),
      "OWNER          KIND          LEASE                              STATE             AGE\n"
      "default        network       fkbr0 10.0.0.0/29                  Active            5s\n"
      "default/a      vmmUid        2000000001                         Active pid 4711   5s\n"
      "default/a      restoreSlot   qemu                               Granted           5s\n"
      "default/a      interface     fk46000001 10.0.0.4 default/eth0   Active            5s\n"
      "default/b      vmmUid        2000000002                         Active            5s\n"
      "default/b      restoreSlot   qemu                               Waiting 1         5s\n"
      "default/b      interface     fk46000002 10.0.0.5 default/eth0   Active            5s\n"
      "default/c      vmmUid        2000000003                         Releasing         5s\n"
      "default/c      interface     fk46000003 10.0.0.6 default/eth0   Releasing class   5s\n"
      "default/gone   address       10.0.0.3                           Resting 25s       5s\n");
  clock_.Advance(minutes(10));
  EXPECT_THAT(RenderLeases(listing, clock_), HasSubstr("Rested            10m"));
  listing.networks.at(0).since = {};
  EXPECT_THAT(RenderLeases(listing, clock_), HasSubstr("Active            -\n"));
}

// Goal: /debug/ledger says of every lease whose it is, in what state and since when.
TEST_F(LeasesTest, TheJsonHasOwnerStateAndAgeOfEveryLease) {
  const auto ledger = Open();
  const auto claimed = FormatTime(clock_.WallNow());
  ASSERT_NO_FATAL_FAILURE(Fill(*ledger));
  clock_.Advance(seconds(5));
  const auto json = nlohmann::json::parse(LedgerToJson(ledger->ListAll(), clock_), nullptr, false);
  ASSERT_TRUE(json.is_object());
  const auto& network = json["networks"][0];
  EXPECT_EQ(network["owner"], "default");
  EXPECT_EQ(network["bridge"], "fkbr0");
  EXPECT_EQ(network["state"], "Active");
  EXPECT_EQ(network["since"], claimed);
  const auto& b = json["vms"][1];
  EXPECT_EQ(b["owner"], "default/b");
  EXPECT_EQ(b["state"], "Active");
  EXPECT_EQ(b["since"], claimed);
  EXPECT_EQ(b["directory"], "uid-b");
  EXPECT_EQ(b["slot"]["state"], "Waiting");
  EXPECT_EQ(b["slot"]["position"], 1);
  EXPECT_EQ(b["slot"]["since"], claimed);
  EXPECT_EQ(b["interfaces"][0]["state"], "Active");
  EXPECT_EQ(b["interfaces"][0]["since"], claimed);
  EXPECT_TRUE(b["interfaces"][0]["waitsFor"].empty());
  const auto& c = json["vms"][2];
  EXPECT_EQ(c["state"], "Releasing");
  EXPECT_EQ(c["interfaces"][0]["waitsFor"], nlohmann::json({"class"}));
  const auto& resting = json["restingAddresses"][0];
  EXPECT_EQ(resting["address"], "10.0.0.3");
  EXPECT_EQ(resting["lastOwner"], "default/gone");
  EXPECT_EQ(resting["lastOwnerUid"], "uid-gone");
  EXPECT_EQ(resting["networkUid"], "net-1");
  EXPECT_EQ(resting["state"], "Resting");
  EXPECT_EQ(resting["since"], claimed);
  EXPECT_EQ(resting["millisecondsLeft"], 25'000);
  EXPECT_EQ(json["pools"][0]["waiting"], nlohmann::json({"default/b"}));
  EXPECT_EQ(json["pools"][0]["oldestWait"], claimed);
}

TEST_F(LeasesTest, PrintsTheFileOfTheStateDirectory) {
  ASSERT_NO_FATAL_FAILURE(Fill(*Open()));
  const std::string table = Print(false);
  EXPECT_TRUE(status_.ok());
  EXPECT_THAT(table, HasSubstr("default/a      interface     fk46000001 10.0.0.4 default/eth0"));
  const auto json = nlohmann::json::parse(Print(true), nullptr, false);
  EXPECT_TRUE(status_.ok());
  ASSERT_TRUE(json.is_object());
  EXPECT_EQ(json["networks"].size(), 1u);
  EXPECT_EQ(json["vms"].size(), 3u);
  EXPECT_EQ(json["vms"][0]["interfaces"][0]["tap"], "fk46000001");
}

TEST_F(LeasesTest, AnEmptyLedgerIsOnlyTheHeader) {
  Open();
  EXPECT_EQ(Print(false), "OWNER   KIND   LEASE   STATE   AGE\n");
}

TEST_F(LeasesTest, SaysWhereTheFileComesFromWhenThereIsNone) {
  EXPECT_EQ(Print(false), "");
  ASSERT_FALSE(status_.ok());
  EXPECT_EQ(status_.error().code, Code::kNotFound);
  EXPECT_THAT(status_.error().message, HasSubstr("ledger.db: no such file: `forkplane serve`"));
}

}  // namespace
}  // namespace forkplane::app
