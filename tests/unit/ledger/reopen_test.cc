// Goal: the file is the ledger: reopening changes nothing, and what cannot be read is never free.
// Method: the tests damage the file with SQLite itself, constraints off, as a broken tool would.
#include <sqlite3.h>

#include <fstream>

#include "tests/unit/ledger/fixture.h"

namespace forkplane::ledger {
namespace {

using ::testing::HasSubstr;

class ReopenTest : public LedgerTest {
 protected:
  void Damage(const std::string& sql) {
    ledger_.reset();
    sqlite3* db = nullptr;
    ASSERT_EQ(sqlite3_open(options_.path.c_str(), &db), SQLITE_OK);
    char* why = nullptr;
    EXPECT_EQ(sqlite3_exec(db, ("PRAGMA ignore_check_constraints=ON;" + sql).c_str(), nullptr,
                           nullptr, &why),
              SQLITE_OK)
        << why;
    sqlite3_close(db);
  }
};

TEST_F(ReopenTest, NothingChanges) {
  AddNetwork();
  VmClaim claim = ClaimOf("a", 2);
  claim.slot_pool = "qemu";
  MustClaim(claim);
  ASSERT_TRUE(ledger_->SetVmm("uid-a", {7, 8, "boot-1", "forkplane/uid-a"}).ok());
  MustClaim(ClaimOf("b"));
  LetGo("b");
  ASSERT_TRUE(ledger_->SetStoreIdentity("store-1").ok());
  const Listing before = ledger_->ListAll();
  Reopen();
  const Listing after = ledger_->ListAll();
  EXPECT_EQ(after.identity, before.identity);
  EXPECT_EQ(after.networks, before.networks);
  EXPECT_EQ(after.resting, before.resting);
  ASSERT_EQ(after.vms.size(), before.vms.size());
  EXPECT_EQ(after.vms[0].interfaces.size(), 2u);
  EXPECT_EQ(after.vms[0].vmm, before.vms[0].vmm);
  EXPECT_EQ(after.vms[0].slot->granted, before.vms[0].slot->granted);
  EXPECT_EQ(ledger_->StoreIdentity(), "store-1");
  EXPECT_GT(MustClaim(ClaimOf("c")).interfaces.at(0).id, 3) << "lease ids go on after a reopen";
}

// What version 3 has and version 2 had not.
constexpr const char* kToVersion2 =
    "DROP TRIGGER further_bridge_is_no_first; DROP TRIGGER first_bridge_is_no_further; DROP TABLE "
    "bridges; ALTER TABLE networks DROP COLUMN routed; ALTER TABLE interfaces DROP COLUMN bridge; "
    "PRAGMA user_version=2;";

TEST_F(ReopenTest, AFileOfVersion2IsUpgraded) {
  AddNetwork(SmallNetwork("net-0", "first", "10.9.0.0/29"));
  AddNetwork();
  const VmLease a = MustClaim(ClaimOf("a"));
  EXPECT_EQ(a.interfaces.at(0).bridge, 1u);
  Damage(kToVersion2);
  Reopen();
  ASSERT_TRUE(ledger_->Health().ok()) << ledger_->Health().error().message;
  EXPECT_EQ(ledger_->GetVm("uid-a"), a) << "each interface is on the one bridge there was";
}

TEST_F(ReopenTest, AFileOfVersion1IsUpgraded) {
  AddNetwork();
  const VmLease a = MustClaim(ClaimOf("a"));
  Damage(std::string(kToVersion2) +
         "ALTER TABLE networks DROP COLUMN since_ms; ALTER TABLE networks DROP COLUMN dns; PRAGMA "
         "user_version=1");
  for (int opens = 0; opens < 2; ++opens) {
    Reopen();
    ASSERT_TRUE(ledger_->Health().ok()) << ledger_->Health().error().message;
    EXPECT_EQ(ledger_->GetVm("uid-a"), a);
    ASSERT_TRUE(ledger_->GetNetwork("net-1").has_value());
    EXPECT_EQ(ledger_->GetNetwork("net-1")->since, WallTime()) << "nobody wrote it down";
  }
  AddNetwork(SmallNetwork("net-2", "other", "10.2.0.0/29"));
  Reopen();
  EXPECT_EQ(ledger_->GetNetwork("net-2")->since, clock_.WallNow());
  NetworkParameters network = SmallNetwork();
  network.dns = {Ip("1.1.1.1")};
  AddNetwork(network);
  Reopen();
  EXPECT_EQ(ledger_->GetNetwork("net-1")->parameters, network);
}

TEST_F(ReopenTest, ARebootBeginsTheRestAnewOnce) {
  AddNetwork();
  MustClaim(ClaimOf("a"));
  LetGo("a");
  clock_.Advance(std::chrono::seconds(29));
  options_.boot_id = "boot-2";
  Reopen();
  clock_.Advance(std::chrono::seconds(29));
  Reopen();
  EXPECT_EQ(MustClaim(ClaimOf("b")).interfaces.at(0).address, Ip("10.0.0.4"));
  clock_.Advance(std::chrono::seconds(1));
  EXPECT_EQ(MustClaim(ClaimOf("c")).interfaces.at(0).address, Ip("10.0.0.3"))
      << "restarts within one boot do not prolong it";
}

TEST_F(ReopenTest, AnUnreadableRecordStopsNewLeasesOnly) {  // W12
  AddNetwork();
  const VmLease a = MustClaim(ClaimOf("a"));
  MustClaim(ClaimOf("b"));
  Damage("UPDATE interfaces SET state='Garbled' WHERE owner_uid='uid-b'");
  Reopen();
  const auto refused = ledger_->Claim(ClaimOf("c"));
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, Code::kInternal);
  EXPECT_THAT(refused.error().message, HasSubstr("unreadable record(s)"));
  EXPECT_FALSE(ledger_->Health().ok());
  EXPECT_THAT(ledger_->ListAll().unreadable, HasSubstr("first: file: CHECK constraint"));
  EXPECT_FALSE(ledger_->ClaimNetwork(SmallNetwork("n9", "nine", "10.9.0.0/24")).ok());
  EXPECT_EQ(MustClaim(ClaimOf("a")).interfaces, a.interfaces) << "held leases stay usable";
  LetGo("a");
  EXPECT_FALSE(ledger_->Claim(ClaimOf("c")).ok());
  EXPECT_FALSE(ledger_->Release("uid-b").ok()) << "a VM with an unread lease is not forgotten";
  EXPECT_TRUE(ledger_->GetVm("uid-b").has_value());
}

TEST_F(ReopenTest, ASlotThatCannotBeReadIsNotGrantedToAnother) {
  ASSERT_TRUE(ledger_->GrantSlots("qemu", 2).ok());
  for (const char* name : {"a", "b", "c", "d"}) {
    VmClaim claim = ClaimOf(name, 0);
    claim.slot_pool = "qemu";
    MustClaim(claim);
  }
  Damage("PRAGMA foreign_keys=OFF; UPDATE slots SET owner_uid='nobody' WHERE owner_uid='uid-a'");
  Reopen();
  ASSERT_FALSE(ledger_->Health().ok());
  ASSERT_TRUE(ledger_->FreeSlot("uid-b").ok());
  const auto granted = ledger_->GrantSlots("qemu", 3);
  ASSERT_TRUE(granted.ok());
  EXPECT_TRUE(granted->empty());
  for (const char* name : {"uid-c", "uid-d"}) EXPECT_FALSE(ledger_->GetVm(name)->slot->granted);
  Damage("DELETE FROM slots WHERE owner_uid='nobody'");
  Reopen();
  EXPECT_EQ(ledger_->GrantSlots("qemu", 2)->size(), 2u) << "after the repair";
}

TEST_F(ReopenTest, EveryKindOfBrokenRecordIsNoticed) {
  AddNetwork();
  MustClaim(ClaimOf("a"));
  MustClaim(ClaimOf("b"));
  LetGo("b");
  ledger_.reset();
  std::ifstream file(options_.path, std::ios::binary);
  const std::string good((std::istreambuf_iterator<char>(file)), {});
  for (const char* sql : {
           "UPDATE interfaces SET address='10.0.0'",
           "UPDATE interfaces SET address='10.7.7.7'",
           "UPDATE interfaces SET number=65535",
           "UPDATE interfaces SET number=-1",
           "UPDATE interfaces SET inner_mac='x'",
           "UPDATE interfaces SET offloads=-1",
           "PRAGMA foreign_keys=OFF; DELETE FROM vms",
           "PRAGMA foreign_keys=OFF; DELETE FROM networks",
           "UPDATE networks SET cidr='10.0.0.1/29'",
           "UPDATE networks SET gateway=''",
           "UPDATE networks SET dns='1.1.1'",
           "UPDATE networks SET dns='1.1.1.1  9.9.9.9'",
           "UPDATE networks SET dns='1.1.1.1 9.9.9.9 8.8.8.8'",
           "UPDATE vms SET vmm_uid=-5",
           "UPDATE vms SET cgroup=''",
           "UPDATE rests SET address='one'",
           "INSERT INTO slots VALUES('nobody','qemu',0,9,0)",
       }) {
    std::filesystem::remove(options_.path + "-wal");
    std::ofstream(options_.path, std::ios::binary | std::ios::trunc) << good;
    Damage(sql);
    Reopen();
    EXPECT_FALSE(ledger_->Health().ok()) << sql;
    EXPECT_FALSE(ledger_->Claim(ClaimOf("c", 0)).ok()) << sql;
    ledger_.reset();
  }
}

TEST_F(ReopenTest, AFileThatIsNoLedgerDoesNotOpen) {
  ledger_.reset();
  std::filesystem::remove(options_.path + "-wal");
  std::ofstream(options_.path, std::ios::trunc) << std::string(8192, 'x');
  EXPECT_FALSE(Ledger::Open(options_, clock_, rng_).ok());
}

TEST_F(ReopenTest, ANewerSchemaIsRefused) {
  Damage("PRAGMA user_version=99");
  const auto refused = Ledger::Open(options_, clock_, rng_);
  ASSERT_FALSE(refused.ok());
  EXPECT_THAT(refused.error().message, HasSubstr("schema version 99"));
}

TEST_F(ReopenTest, ASecondDaemonOnTheSameFileIsRefused) {
  const auto refused = Ledger::Open(options_, clock_, rng_);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, Code::kUnavailable);
}

}  // namespace
}  // namespace forkplane::ledger
