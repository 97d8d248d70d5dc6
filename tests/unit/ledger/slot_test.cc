// Goal: restore slots are granted first come first served and never above the total.
#include "tests/unit/ledger/fixture.h"

namespace forkplane::ledger {
namespace {

using ::testing::ElementsAre;

class SlotTest : public LedgerTest {
 protected:
  SlotState Ask(const std::string& name, const std::string& pool = "qemu") {
    VmClaim claim = ClaimOf(name, 0);
    claim.slot_pool = pool;
    return MustClaim(claim).slot.value_or(SlotState{});
  }
  std::optional<SlotState> SlotOf(const std::string& name) {
    return ledger_->GetVm(OwnerOf(name).uid)->slot;
  }
};

TEST_F(SlotTest, IsGrantedInTheClaimWhenFreeElseQueuedWithItsPosition) {
  ASSERT_TRUE(ledger_->GrantSlots("qemu", 1).ok());
  EXPECT_TRUE(Ask("a").granted);
  EXPECT_EQ(Ask("b").position, 1u);
  EXPECT_EQ(Ask("c").position, 2u);
  EXPECT_EQ(Ask("b").position, 1u) << "asking again keeps the place";
  EXPECT_TRUE(Ask("d", "firecracker").granted) << "pools do not know each other";
}

TEST_F(SlotTest, FreeingGrantsTheNextInTheSameCommit) {
  ASSERT_TRUE(ledger_->GrantSlots("qemu", 1).ok());
  for (const char* name : {"a", "b", "c"}) Ask(name);
  ASSERT_TRUE(ledger_->FreeSlot("uid-a").ok());
  EXPECT_EQ(SlotOf("a"), std::nullopt);
  EXPECT_TRUE(SlotOf("b")->granted);
  EXPECT_EQ(SlotOf("c")->position, 1u);
}

TEST_F(SlotTest, ANewcomerDoesNotOvertakeTheQueue) {
  ASSERT_TRUE(ledger_->GrantSlots("qemu", 0).ok());
  EXPECT_FALSE(Ask("a").granted);
  // Room appears, but the loop that grants has not run yet: the newcomer still waits.
  const auto granted = ledger_->GrantSlots("qemu", 1);
  ASSERT_TRUE(granted.ok());
  EXPECT_THAT(*granted, ElementsAre(OwnerOf("a")));
  EXPECT_EQ(Ask("b").position, 1u);
}

TEST_F(SlotTest, AHigherTotalGrantsInOrder) {
  ASSERT_TRUE(ledger_->GrantSlots("qemu", 0).ok());
  for (const char* name : {"c", "a", "b"}) Ask(name);
  const auto granted = ledger_->GrantSlots("qemu", 2);
  ASSERT_TRUE(granted.ok());
  EXPECT_THAT(*granted, ElementsAre(OwnerOf("c"), OwnerOf("a")));
}

TEST_F(SlotTest, ALowerTotalTakesNothingAway) {
  ASSERT_TRUE(ledger_->GrantSlots("qemu", 2).ok());
  for (const char* name : {"a", "b", "c"}) Ask(name);
  ASSERT_TRUE(ledger_->GrantSlots("qemu", 1).ok());
  EXPECT_TRUE(SlotOf("a")->granted);
  EXPECT_TRUE(SlotOf("b")->granted);
  ASSERT_TRUE(ledger_->FreeSlot("uid-a").ok());
  EXPECT_FALSE(SlotOf("c")->granted) << "one is still out, and one is the total";
  ASSERT_TRUE(ledger_->FreeSlot("uid-b").ok());
  EXPECT_TRUE(SlotOf("c")->granted);
}

TEST_F(SlotTest, AReleasedVmLeavesTheQueue) {
  ASSERT_TRUE(ledger_->GrantSlots("qemu", 1).ok());
  for (const char* name : {"a", "b", "c"}) Ask(name);
  ASSERT_TRUE(ledger_->Release("uid-b").ok());
  ASSERT_TRUE(ledger_->Release("uid-a").ok());
  EXPECT_TRUE(SlotOf("c")->granted);
}

TEST_F(SlotTest, TheQueueSurvivesAReopen) {
  ASSERT_TRUE(ledger_->GrantSlots("qemu", 1).ok());
  for (const char* name : {"z", "y", "x"}) Ask(name);
  clock_.Advance(std::chrono::seconds(5));
  Reopen();
  const auto pools = ledger_->ListAll().pools;
  ASSERT_EQ(pools.size(), 1u);
  EXPECT_EQ(pools[0].total, 1u);
  EXPECT_EQ(pools[0].granted, 1u);
  EXPECT_THAT(pools[0].waiting, ElementsAre(OwnerOf("y"), OwnerOf("x")));
  EXPECT_EQ(Ask("w").position, 3u);
  ASSERT_TRUE(ledger_->FreeSlot("uid-z").ok());
  EXPECT_TRUE(SlotOf("y")->granted);
}

TEST_F(SlotTest, FailFastTakesNoPlaceInLine) {
  ASSERT_TRUE(ledger_->GrantSlots("qemu", 0).ok());
  VmClaim claim = ClaimOf("a", 0);
  claim.slot_pool = "qemu";
  claim.fail_fast = true;
  const auto refused = ledger_->Claim(claim);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().message, "default/a: all 0 restore slots of qemu are in use");
  EXPECT_TRUE(ledger_->ListAll().vms.empty());
}

}  // namespace
}  // namespace forkplane::ledger
