// Goal: the ledger can be read while the daemon holds and writes it, and the daemon does not
// notice. Method: this process is the daemon; children read, because a process that closes a file
// drops its own locks on it.
#include <fcntl.h>
#include <sqlite3.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <functional>

#include "controller/base/unique_fd.h"
#include "controller/ledger/read_listing.h"
#include "tests/unit/ledger/fixture.h"

namespace forkplane::ledger {
namespace {

using ::testing::HasSubstr;

// A child that ends with 0 when `body` says true.
pid_t Child(const std::function<bool()>& body) {
  const pid_t pid = ::fork();
  if (pid == 0) ::_exit(body() ? 0 : 1);
  return pid;
}

bool Succeeded(pid_t pid) {
  int status = -1;
  return ::waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

// True when another process holds SQLite's lock on the whole file, which keeps every reader out.
// (Asked of the kernel: SQLite in a forked child believes its inherited memory.)
bool IsHeldByAnother(const std::string& path) {
  const UniqueFd file(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  constexpr off_t kFirstLockByte = 0x40000000;  // PENDING_BYTE, then RESERVED and 510 shared ones
  struct flock lock = {};
  lock.l_type = F_RDLCK;
  lock.l_whence = SEEK_SET;
  lock.l_start = kFirstLockByte;
  lock.l_len = 512;
  return ::fcntl(file.get(), F_GETLK, &lock) == 0 && lock.l_type == F_WRLCK;
}

// A whole claim or none of it; every commit of this suite claims one interface and a slot.
bool IsWhole(const Listing& listing) {
  if (!listing.unreadable.empty() || listing.networks.size() != 1) return false;
  for (const VmLease& vm : listing.vms) {
    if (vm.interfaces.size() != 1 || !vm.slot.has_value()) return false;
  }
  return true;
}

class ReadListingTest : public LedgerTest {
 protected:
  void ClaimWithSlot(const std::string& name) {
    VmClaim claim = ClaimOf(name);
    claim.slot_pool = "qemu";
    MustClaim(claim);
  }
};

TEST_F(ReadListingTest, ShowsWhatTheRunningDaemonCommittedLast) {
  AddNetwork();
  MustClaim(ClaimOf("gone"));
  LetGo("gone");
  ClaimWithSlot("a");
  ASSERT_TRUE(ledger_->SetVmm("uid-a", {7, 8, "boot-1", "forkplane/uid-a"}).ok());
  const Listing held = ledger_->ListAll();
  const std::string& path = options_.path;
  EXPECT_TRUE(Succeeded(Child([&] { return IsHeldByAnother(path); })))
      << "without the lock this test would prove nothing";
  EXPECT_TRUE(Succeeded(Child([&] {
    const auto read = ReadListing(path);
    return read.ok() && read->identity == held.identity && read->networks == held.networks &&
           read->vms == held.vms && read->resting.size() == 1 &&
           read->resting[0].address == held.resting.at(0).address && read->pools.size() == 1 &&
           read->pools[0].granted == 1;
  })));
  EXPECT_TRUE(Succeeded(Child([&] { return IsHeldByAnother(path); })))
      << "reading took the daemon's lock away";
}

TEST_F(ReadListingTest, IsWholeWhileTheDaemonWritesAndCheckpoints) {
  AddNetwork(SmallNetwork("net-1", "default", "10.0.0.0/16"));
  const std::string& path = options_.path;
  const pid_t reader = Child([&] {
    std::size_t seen = 0;
    for (int i = 0; i < 2000 && seen < 250; ++i) {
      const auto read = ReadListing(path);
      if (!read.ok() || !IsWhole(*read) || read->vms.size() < seen) return false;
      seen = read->vms.size();
    }
    return seen >= 250;
  });
  for (int i = 0; i < 250; ++i) ClaimWithSlot("vm-" + std::to_string(i));
  EXPECT_TRUE(Succeeded(reader));
  EXPECT_GT(std::filesystem::file_size(path), 64 * 1024u) << "no checkpoint happened";
}

TEST_F(ReadListingTest, LeavesTheFileAndTheTemporaryDirectoryAsTheyWere) {
  AddNetwork();
  ledger_.reset();
  const testing::TempDir scratch;
  ASSERT_EQ(::setenv("TMPDIR", scratch.path().c_str(), 1), 0);
  const auto written = std::filesystem::last_write_time(options_.path);
  const auto read = ReadListing(options_.path);
  ::unsetenv("TMPDIR");
  ASSERT_TRUE(read.ok()) << read.error().message;
  EXPECT_EQ(read->networks.size(), 1u);
  EXPECT_EQ(std::filesystem::last_write_time(options_.path), written);
  EXPECT_TRUE(std::filesystem::is_empty(scratch.path()));
  EXPECT_FALSE(std::filesystem::exists(options_.path + "-wal"));
}

TEST_F(ReadListingTest, SaysWhatIsWrongWithTheFile) {
  const auto absent = ReadListing(dir_.File("absent.db"));
  ASSERT_FALSE(absent.ok());
  EXPECT_EQ(absent.error().code, Code::kNotFound);
  AddNetwork();
  ClaimWithSlot("a");
  ledger_.reset();
  sqlite3* db = nullptr;
  ASSERT_EQ(sqlite3_open(options_.path.c_str(), &db), SQLITE_OK);
  sqlite3_exec(db, "UPDATE interfaces SET address='nonsense'", nullptr, nullptr, nullptr);
  sqlite3_close(db);
  const auto damaged = ReadListing(options_.path);
  ASSERT_TRUE(damaged.ok()) << damaged.error().message;
  EXPECT_THAT(damaged->unreadable, HasSubstr("1 unreadable record(s)"));
}

}  // namespace
}  // namespace forkplane::ledger
