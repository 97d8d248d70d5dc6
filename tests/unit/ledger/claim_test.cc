// Goal: what a claim hands out, refuses and names. Method: a /29, which has four addresses to give
// (eight less network, broadcast, gateway and the reserved inner address).
#include "tests/unit/ledger/fixture.h"

namespace forkplane::ledger {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

class ClaimTest : public LedgerTest {
 protected:
  void SetUp() override {
    LedgerTest::SetUp();
    AddNetwork();
  }
};

TEST_F(ClaimTest, GivesTheLowestFreeAddressAndNeverAReservedOne) {
  std::vector<std::string> addresses;
  for (const char* name : {"a", "b", "c", "d"}) {
    addresses.push_back(ToString(MustClaim(ClaimOf(name)).interfaces.at(0).address));
  }
  EXPECT_THAT(addresses, ::testing::ElementsAre("10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6"));
}

TEST_F(ClaimTest, WhatTheGuestBelievesIsTheSameForEveryGuest) {
  for (const char* name : {"a", "b"}) {
    const InterfaceLease lease = MustClaim(ClaimOf(name)).interfaces.at(0);
    EXPECT_EQ(ToString(lease.inner_mac), "02:fc:00:00:01:00");
    EXPECT_EQ(ToString(lease.inner_address), "10.0.0.2");
  }
  VmClaim imported = ClaimOf("c");
  imported.interfaces[0].inner_address = Ip("172.16.0.9");
  EXPECT_EQ(MustClaim(imported).interfaces.at(0).inner_address, Ip("172.16.0.9"));
}

TEST_F(ClaimTest, ARepeatedClaimFindsItsOwnLease) {
  const VmLease first = MustClaim(ClaimOf("a", 2));
  const VmLease again = MustClaim(ClaimOf("a", 2));
  EXPECT_EQ(first, again);
  EXPECT_EQ(first.cgroup, "forkplane/uid-a");
  EXPECT_EQ(first.directory, "uid-a");
  EXPECT_THAT(ledger_->ListAll().vms, SizeIs(1));
}

TEST_F(ClaimTest, AShortClaimTakesNothingAndNamesEveryShortage) {
  options_.slots_default = 0;
  Reopen();
  VmClaim claim = ClaimOf("a", 5);
  claim.slot_pool = "qemu";
  claim.fail_fast = true;
  const auto refused = ledger_->Claim(claim);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, Code::kExhausted);
  ASSERT_THAT(refused.error().causes, SizeIs(2));
  EXPECT_EQ(refused.error().causes[0].field, "addresses");
  EXPECT_EQ(refused.error().causes[0].reason, "insufficient_resources");
  EXPECT_EQ(refused.error().causes[1].field, "restoreSlots");
  EXPECT_THAT(refused.error().message, HasSubstr("network default has no free address"));
  EXPECT_EQ(ledger_->GetVm("uid-a"), std::nullopt);
  EXPECT_EQ(ledger_->AddressesOf("net-1").used, 0u);
  EXPECT_EQ(ledger_->AddressesOf("net-1").free, 4u);
}

TEST_F(ClaimTest, RunsOutOfVmmUids) {
  options_.uid_count = 1;
  Reopen();
  EXPECT_EQ(MustClaim(ClaimOf("a")).vmm_uid, options_.uid_first);
  const auto refused = ledger_->Claim(ClaimOf("b"));
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().causes.at(0).field, "vmmUids");
  LetGo("a");
  EXPECT_EQ(MustClaim(ClaimOf("b")).vmm_uid, options_.uid_first);
}

TEST_F(ClaimTest, AStaticAddressInUseNamesItsHolder) {
  VmClaim claim = ClaimOf("a");
  claim.interfaces[0].address = Ip("10.0.0.5");
  EXPECT_EQ(MustClaim(claim).interfaces.at(0).address, Ip("10.0.0.5"));
  claim.owner = OwnerOf("b");
  const auto refused = ledger_->Claim(claim);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, Code::kConflict);
  EXPECT_EQ(refused.error().message, "address 10.0.0.5 is held by default/a (eth0)");
}

TEST_F(ClaimTest, AStaticAddressMustBeOneThatMayBeLeased) {
  for (const char* bad : {"10.0.0.0", "10.0.0.1", "10.0.0.2", "10.0.0.7", "10.0.1.4"}) {
    VmClaim claim = ClaimOf("a");
    claim.interfaces[0].address = Ip(bad);
    const auto refused = ledger_->Claim(claim);
    ASSERT_FALSE(refused.ok()) << bad;
    EXPECT_EQ(refused.error().code, Code::kInvalid) << bad;
    EXPECT_THAT(refused.error().message, HasSubstr(bad));
  }
}

TEST_F(ClaimTest, ADynamicInterfaceLeavesTheStaticAddressOfItsSibling) {
  VmClaim claim = ClaimOf("a", 2);
  claim.interfaces[1].address = Ip("10.0.0.3");
  const VmLease lease = MustClaim(claim);
  EXPECT_EQ(lease.interfaces.at(0).address, Ip("10.0.0.4"));
  EXPECT_EQ(lease.interfaces.at(1).address, Ip("10.0.0.3"));
}

TEST_F(ClaimTest, AnInterfaceDoesNotMoveUnderItsVm) {
  MustClaim(ClaimOf("a"));
  VmClaim moved = ClaimOf("a");
  moved.interfaces[0].address = Ip("10.0.0.6");
  EXPECT_EQ(ledger_->Claim(moved).error().code, Code::kConflict);
  moved = ClaimOf("a");
  moved.interfaces[0].tap.vnet_header_bytes = 10;
  EXPECT_EQ(ledger_->Claim(moved).error().code, Code::kConflict);
}

TEST_F(ClaimTest, WaitsForANetworkThatIsNotHere) {
  EXPECT_EQ(ledger_->Claim(ClaimOf("a", 1, "net-9")).error().code, Code::kNotFound);
}

TEST_F(ClaimTest, ANumberIsFreeOnlyWhenBothLoopsSawTheirPartGone) {
  const InterfaceLease lease = MustClaim(ClaimOf("a")).interfaces.at(0);
  EXPECT_EQ(ledger_->ConfirmAbsent(lease.id, Part::kTap).error().code, Code::kConflict);
  ASSERT_TRUE(ledger_->Release("uid-a").ok());
  EXPECT_EQ(ledger_->GetInterface(lease.id)->state, InterfaceState::kReleasing);
  EXPECT_EQ(ledger_->Claim(ClaimOf("a")).error().code, Code::kUnavailable);
  ASSERT_TRUE(ledger_->ConfirmAbsent(lease.id, Part::kClass).ok());
  ASSERT_TRUE(ledger_->ConfirmAbsent(lease.id, Part::kClass).ok());
  EXPECT_EQ(MustClaim(ClaimOf("b")).interfaces.at(0).number, 2u);
  ASSERT_TRUE(ledger_->ConfirmAbsent(lease.id, Part::kTap).ok());
  EXPECT_EQ(ledger_->GetVm("uid-a"), std::nullopt);
  const InterfaceLease next = MustClaim(ClaimOf("c")).interfaces.at(0);
  EXPECT_EQ(next.number, 1u);
  EXPECT_GT(next.id, lease.id) << "a lease id is never used twice";
}

TEST_F(ClaimTest, AnAddressRestsBeforeItIsGivenOutAgain) {  // W16
  MustClaim(ClaimOf("a"));
  LetGo("a");
  EXPECT_EQ(ledger_->AddressesOf("net-1").resting, 1u);
  EXPECT_EQ(MustClaim(ClaimOf("b")).interfaces.at(0).address, Ip("10.0.0.4"));
  VmClaim wish = ClaimOf("c");
  wish.interfaces[0].address = Ip("10.0.0.3");
  const auto refused = ledger_->Claim(wish);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, Code::kExhausted);
  EXPECT_THAT(refused.error().message, HasSubstr("10.0.0.3 rests after its use by default/a"));
  clock_.Advance(std::chrono::milliseconds(29'999));
  EXPECT_FALSE(ledger_->Claim(wish).ok());
  clock_.Advance(std::chrono::milliseconds(1));
  EXPECT_EQ(MustClaim(wish).interfaces.at(0).address, Ip("10.0.0.3"));
}

TEST_F(ClaimTest, IsNotReleasedWhileItsVmmIsOnRecord) {
  MustClaim(ClaimOf("a"));
  const VmmRecord record{4711, 99, "boot-1", "forkplane/uid-a"};
  ASSERT_TRUE(ledger_->SetVmm("uid-a", record).ok());
  EXPECT_EQ(ledger_->GetVm("uid-a")->vmm, record);
  const auto refused = ledger_->Release("uid-a");
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, Code::kConflict);
  EXPECT_EQ(refused.error().message, "release default/a: its VMM (pid 4711) is still on record");
  ASSERT_TRUE(ledger_->ClearVmm("uid-a").ok());
  EXPECT_TRUE(ledger_->Release("uid-a").ok());
  EXPECT_EQ(ledger_->SetVmm("uid-a", record).error().code, Code::kConflict);
}

TEST_F(ClaimTest, OneInterfaceCanGoWhileTheVmStays) {
  const VmLease vm = MustClaim(ClaimOf("a", 2));
  const LeaseId second = vm.interfaces.at(1).id;
  ASSERT_TRUE(ledger_->ReleaseInterface(second).ok());
  ASSERT_TRUE(ledger_->ConfirmAbsent(std::vector<LeaseId>{second}, Part::kTap).ok());
  ASSERT_TRUE(ledger_->ConfirmAbsent(std::vector<LeaseId>{second}, Part::kClass).ok());
  EXPECT_THAT(ledger_->GetVm("uid-a")->interfaces, SizeIs(1));
  EXPECT_EQ(MustClaim(ClaimOf("a", 2)).interfaces.at(1).ordinal, 1u);
}

TEST_F(ClaimTest, BothInterfacesConfirmedAtOnceFreeTheVm) {
  const VmLease vm = MustClaim(ClaimOf("a", 2));
  const std::vector<LeaseId> both = {vm.interfaces[0].id, vm.interfaces[1].id};
  ASSERT_TRUE(ledger_->Release("uid-a").ok());
  ASSERT_TRUE(ledger_->ConfirmAbsent(both, Part::kTap).ok());
  ASSERT_TRUE(ledger_->ConfirmAbsent(both, Part::kClass).ok());
  EXPECT_EQ(ledger_->GetVm("uid-a"), std::nullopt);
  EXPECT_TRUE(ledger_->ListAll().vms.empty());
}

TEST_F(ClaimTest, ALeaseNamedTwiceInABatchCountsOnce) {
  const VmLease vm = MustClaim(ClaimOf("a", 2));
  const LeaseId first = vm.interfaces[0].id;
  ASSERT_TRUE(ledger_->Release("uid-a").ok());
  ASSERT_TRUE(ledger_->ConfirmAbsent(first, Part::kTap).ok());
  const Status both = ledger_->ConfirmAbsent({first, first}, Part::kClass);
  EXPECT_TRUE(both.ok()) << both.error().message;
  const auto left = ledger_->GetVm("uid-a");
  ASSERT_TRUE(left.has_value()) << "its other interface still stands";
  EXPECT_EQ(left->interfaces.at(0).id, vm.interfaces[1].id);
}

TEST_F(ClaimTest, AnOrdinalIsClaimedOnce) {
  VmClaim claim = ClaimOf("a", 2);
  claim.interfaces[1].ordinal = 0;
  const auto refused = ledger_->Claim(claim);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, Code::kInvalid);
  EXPECT_EQ(refused.error().message, "interface eth1: ordinal 0 is claimed twice");
}

TEST_F(ClaimTest, AnAddressAskedForTwiceIsAConflictAlsoWhileItRests) {
  MustClaim(ClaimOf("a"));
  LetGo("a");
  VmClaim claim = ClaimOf("b", 2);
  for (InterfaceClaim& wanted : claim.interfaces) wanted.address = Ip("10.0.0.3");
  const auto refused = ledger_->Claim(claim);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, Code::kConflict) << "no rest that ends would help";
}

TEST_F(ClaimTest, TakesAFurtherShapingDomainWhenThoseBeforeItAreFull) {
  options_.shaping_domains = 2;
  options_.classes_per_domain = 2;
  Reopen();
  AddNetwork(SmallNetwork("net-2", "wide", "10.2.0.0/24"));
  EXPECT_THAT(ledger_->Domains(), ElementsAre(0));
  std::vector<Number> numbers;
  for (const char* name : {"a", "b"}) {
    for (const auto& lease : MustClaim(ClaimOf(name, 3, "net-2")).interfaces) {
      numbers.push_back(lease.number);
    }
  }
  // Where every domain is full, the emptiest.
  EXPECT_THAT(numbers, ElementsAre(0x00001, 0x00002, 0x10001, 0x10002, 0x00003, 0x10003));
  EXPECT_THAT(ledger_->Domains(), ElementsAre(0, 1));
  EXPECT_THAT(ledger_->InterfacesOfDomain(1), SizeIs(3));
  LetGo("a");
  LetGo("b");
  EXPECT_THAT(ledger_->Domains(), ElementsAre(0)) << "the first is always there";
}

TEST_F(ClaimTest, AClaimIsOneCommit) {
  int commits = 0;
  options_.commit_hook = [&](int, bool done) { commits += done ? 1 : 0; };
  Reopen();
  VmClaim claim = ClaimOf("a", 3);
  claim.slot_pool = "qemu";
  MustClaim(claim);
  EXPECT_EQ(commits, 1);
  MustClaim(claim);
  EXPECT_EQ(commits, 1) << "nothing new, nothing written";
}

TEST_F(ClaimTest, SubscribersHearWhatACommitTouched) {
  std::vector<std::string> heard;
  auto handle = ledger_->Subscribe([&](const Change& change) {
    heard.push_back(
        fmt::format("{} {} {}", static_cast<int>(change.kind), change.owner_uid, change.number));
  });
  const LeaseId lease = MustClaim(ClaimOf("a")).interfaces.at(0).id;
  EXPECT_THAT(heard, ::testing::ElementsAre("0 uid-a 0", "1 uid-a 1"));
  ASSERT_TRUE(ledger_->Release("uid-a").ok());
  ASSERT_TRUE(ledger_->ConfirmAbsent(lease, Part::kTap).ok());
  heard.clear();
  ASSERT_TRUE(ledger_->ConfirmAbsent(lease, Part::kClass).ok());
  EXPECT_THAT(heard, ::testing::ElementsAre("1 uid-a 1", "0 uid-a 0"));
  heard.clear();
  handle.reset();
  MustClaim(ClaimOf("b"));
  EXPECT_TRUE(heard.empty());
}

}  // namespace
}  // namespace forkplane::ledger
