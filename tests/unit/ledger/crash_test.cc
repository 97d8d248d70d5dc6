// Goal: a SIGKILL right before or right after any commit loses nothing, leaks nothing and hands
// nothing out twice.
// Method: a child runs a script of requests and is killed at commit N; every answer it got before
// that is written to a pipe. The parent reopens the file, checks it against the answers, runs the
// same script again to its end, and compares with a run that was never killed.
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "controller/base/unique_fd.h"
#include "tests/unit/ledger/fixture.h"

namespace forkplane::ledger {
namespace {

std::string Describe(const VmLease& vm) {
  std::string text = fmt::format("{} uid={}", vm.owner.name, vm.vmm_uid);
  for (const auto& lease : vm.interfaces) {
    text += fmt::format(" {}:{}={}", lease.ordinal, lease.number, ToString(lease.address));
  }
  return text;
}

class LedgerCrashTest : public LedgerTest {
 protected:
  // Every step is safe to repeat; `say` gets each answer as soon as it is known.
  void Script(const std::function<void(const std::string&)>& say) {
    AddNetwork(SmallNetwork("net-1", "default", "10.0.0.0/27"));
    ASSERT_TRUE(ledger_->GrantSlots("qemu", 2).ok());
    for (const char* name : {"a", "b", "c", "d"}) {
      VmClaim claim = ClaimOf(name, 2);
      claim.slot_pool = "qemu";
      if (!done_.contains(name)) say(Describe(MustClaim(claim)));
    }
    ASSERT_TRUE(ledger_->SetVmm("uid-a", {7, 8, "boot-1", "x"}).ok() || done_.contains("a"));
    ASSERT_TRUE(ledger_->FreeSlot("uid-a").ok());
    ASSERT_TRUE(ledger_->ClearVmm("uid-a").ok());
    for (const char* name : {"a", "c"}) {
      if (ledger_->GetVm(OwnerOf(name).uid)) LetGo(name);
      say(std::string("gone ") + name);
    }
    say(Describe(MustClaim(ClaimOf("e", 2))));
  }

  std::string Contents() {
    std::string text;
    const Listing all = ledger_->ListAll();
    for (const auto& vm : all.vms) {
      text += Describe(vm);
      if (vm.slot) text += fmt::format(" slot={}/{}", vm.slot->granted, vm.slot->position);
      text += '\n';
    }
    for (const auto& rest : all.resting) text += "rests " + ToString(rest.address) + '\n';
    return text;
  }

  // In the child: run the script, die at the commit.
  [[noreturn]] void RunAndDie(int commit, bool after, int out) {
    options_.commit_hook = [=](int n, bool done) {
      if (n == commit && done == after) ::kill(::getpid(), SIGKILL);
    };
    Reopen();
    Script([out](const std::string& line) {
      const std::string text = line + '\n';
      CHECK(::write(out, text.data(), text.size()) == static_cast<ssize_t>(text.size()));
    });
    ::_exit(0);
  }

  // True when the child was killed, false when it reached the end of the script.
  bool KilledAt(int commit, bool after, std::string& said) {
    int fds[2];
    CHECK(::pipe(fds) == 0);
    UniqueFd in(fds[0]);
    UniqueFd out(fds[1]);
    ledger_.reset();
    const pid_t child = ::fork();
    if (child == 0) RunAndDie(commit, after, out.get());
    out.Reset();
    char buffer[4096];
    for (ssize_t n = 0; (n = ::read(in.get(), buffer, sizeof buffer)) > 0;) {
      said.append(buffer, static_cast<std::size_t>(n));
    }
    int status = 0;
    CHECK(::waitpid(child, &status, 0) == child);
    return WIFSIGNALED(status);
  }

  void ExpectNothingTwice() {
    std::set<std::uint32_t> numbers;
    std::set<Ipv4> addresses;
    std::set<std::uint32_t> uids;
    const Listing all = ledger_->ListAll();
    for (const auto& vm : all.vms) {
      EXPECT_TRUE(uids.insert(vm.vmm_uid).second);
      for (const auto& lease : vm.interfaces) {
        EXPECT_TRUE(numbers.insert(lease.number).second);
        EXPECT_TRUE(addresses.insert(lease.address).second);
      }
    }
    for (const auto& rest : all.resting) EXPECT_TRUE(addresses.insert(rest.address).second);
    EXPECT_EQ(ledger_->AddressesOf("net-1").used, addresses.size());
  }

  // Answers given before the crash still hold after it.
  void ExpectKept(const std::string& said) {
    std::istringstream lines(said);
    std::set<std::string> gone;
    std::map<std::string, std::string> held;
    for (std::string line; std::getline(lines, line);) {
      if (line.starts_with("gone ")) {
        gone.insert(line.substr(5));
      } else {
        held[line.substr(0, line.find(' '))] = line;
      }
    }
    for (const auto& [name, line] : held) {
      const auto vm = ledger_->GetVm(OwnerOf(name).uid);
      if (gone.contains(name)) {
        EXPECT_FALSE(vm.has_value()) << name;
      } else if (vm && !vm->releasing) {
        EXPECT_EQ(Describe(*vm), line);
      } else {
        EXPECT_TRUE(name == "a" || name == "c") << name << " was lost";
      }
    }
    done_ = gone;
    for (const char* name : {"a", "c"}) {
      const bool answered = held.contains(name);
      const auto vm = ledger_->GetVm(OwnerOf(name).uid);
      if (answered && (!vm || vm->releasing)) done_.insert(name);
    }
  }

  std::set<std::string> done_;
};

TEST_F(LedgerCrashTest, AKillAtAnyCommitConverges) {  // W11
  Script([](const std::string&) {});
  const std::string wanted = Contents();
  ASSERT_THAT(wanted, ::testing::HasSubstr("rests"));
  int kills = 0;
  for (int commit = 1;; ++commit) {
    bool reached = false;
    for (const bool after : {false, true}) {
      ledger_.reset();
      for (const char* suffix : {"", "-wal", "-shm"})
        std::filesystem::remove(options_.path + suffix);
      done_.clear();
      std::string said;
      if (!KilledAt(commit, after, said)) continue;
      reached = true;
      ++kills;
      Reopen();
      ASSERT_TRUE(ledger_->Health().ok());
      ExpectNothingTwice();
      ExpectKept(said);
      Script([](const std::string&) {});
      EXPECT_EQ(Contents(), wanted)
          << "killed at commit " << commit << (after ? " after" : " before");
    }
    if (!reached) break;
  }
  EXPECT_GE(kills, 30) << "the script has at least 15 commits";
}

}  // namespace
}  // namespace forkplane::ledger
