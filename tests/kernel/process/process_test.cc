// Goal: what the process driver promises about a child's root, uid, capabilities, descriptors and
// cgroup is true on this kernel, and nothing of it stays behind.
// Method: the child is Debian's dash, whose builtins print what it sees into the output file. Every
// test has its own cgroup folder.
#include "drivers/process/process.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <fstream>
#include <future>
#include <sstream>

#include "tests/support/tempdir.h"

namespace forkplane::process {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr std::chrono::seconds kPatience{20};
constexpr char kOwner[] = "5f6e0b6a-0000-4000-8000-000000000001";

std::string ReadAll(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

std::size_t CountMounts() {
  const std::string mounts = ReadAll("/proc/self/mountinfo");
  return static_cast<std::size_t>(std::count(mounts.begin(), mounts.end(), '\n'));
}

class ProcessTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root: private roots are mounts";
    options_.cgroup_parent = "forkplane-test-" + std::to_string(::getpid());
    options_.mount_point = dir_.File("root");
    auto driver = HostProcessDriver::Open(options_);
    if (!driver.ok()) GTEST_SKIP() << driver.error().message;
    driver_ = std::move(*driver);
    vm_dir_ = dir_.File("vm");
    ASSERT_EQ(::mkdir(vm_dir_.c_str(), 0755), 0);
    auto binds = BindsOf("/bin/sh");
    ASSERT_TRUE(binds.ok()) << binds.error().message;
    binds_ = *binds;
  }
  void TearDown() override {
    if (!driver_) return;
    EXPECT_TRUE(driver_->Kill(kOwner).ok());
    EXPECT_TRUE(driver_->RemoveCgroupFolder().ok());
  }

  SpawnSpec Shell(const std::string& script) const {
    SpawnSpec spec;
    spec.owner = kOwner;
    spec.executable = "/bin/sh";
    spec.arguments = {"-c", script};
    spec.directory = vm_dir_;
    spec.binds = binds_;
    spec.user = 64001;
    spec.group = 64002;
    return spec;
  }

  ExitInfo WaitFor(const ProcessRecord& record) {
    std::promise<ExitInfo> ended;
    const Status watched = driver_->Watch(
        kOwner, record, [&](const std::string&, const ExitInfo& exit) { ended.set_value(exit); });
    EXPECT_TRUE(watched.ok());
    auto future = ended.get_future();
    if (future.wait_for(kPatience) != std::future_status::ready) {
      ADD_FAILURE() << "the process did not end";
      EXPECT_TRUE(driver_->Kill(kOwner).ok());
    }
    return future.get();
  }

  // Runs to the end; what it printed.
  std::string Run(const SpawnSpec& spec) {
    const auto record = driver_->Spawn(spec);
    if (!record.ok()) return "spawn failed: " + record.error().message;
    const ExitInfo exit = WaitFor(*record);
    EXPECT_EQ(exit.code, 0) << Output();
    return Output();
  }
  std::string Output() const { return ReadAll(vm_dir_ + "/vmm.log"); }

  testing::TempDir dir_;
  HostProcessOptions options_;
  std::unique_ptr<HostProcessDriver> driver_;
  std::string vm_dir_;
  std::vector<Bind> binds_;
};

TEST_F(ProcessTest, AChildSeesOnlyItsPrivateRoot) {
  const std::size_t mounts_before = CountMounts();
  const std::string text = Run(Shell("echo /*; echo /dev/*; echo $PWD; echo /proc/[a-z]*"));
  // /lib and /lib64 and what the loader and libc need, nothing else of the host.
  EXPECT_THAT(text,
              ::testing::MatchesRegex("/bin /dev (/etc )?/lib /lib64 /proc /vm\n/dev/null\n/vm\n"
                                      "/proc/self /proc/thread-self\n"));
  EXPECT_EQ(CountMounts(), mounts_before);
}

TEST_F(ProcessTest, AChildHasNoPrivilegeAndNoEnvironment) {
  const std::string text =
      Run(Shell("while read line; do echo \"$line\"; done < /proc/self/status; "
                "while read line; do echo \"cgroup $line\"; done < /proc/self/cgroup; "
                "read pid name state ppid pgrp session rest < /proc/self/stat; "
                "[ $pid = $session ] && echo own session; echo home=$HOME path=$PATH_NONE"));
  EXPECT_THAT(text, HasSubstr("Uid:\t64001\t64001\t64001\t64001"));
  EXPECT_THAT(text, HasSubstr("Gid:\t64002\t64002\t64002\t64002"));
  EXPECT_THAT(text, HasSubstr("Groups:\n"));
  for (const char* set : {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"}) {
    EXPECT_THAT(text, HasSubstr(std::string(set) + ":\t0000000000000000")) << set;
  }
  EXPECT_THAT(text, HasSubstr("NoNewPrivs:\t1"));
  EXPECT_THAT(text, HasSubstr("SigBlk:\t0000000000000000"));
  EXPECT_THAT(text, HasSubstr("SigIgn:\t0000000000000000"));
  EXPECT_THAT(text, HasSubstr("cgroup 0::/" + options_.cgroup_parent + "/" + kOwner));
  EXPECT_THAT(text, HasSubstr("own session"));
  EXPECT_THAT(text, HasSubstr("home= path="));
}

TEST_F(ProcessTest, TheRootIsReadOnlyAndOnlyChownedFilesOfVmAreWritable) {
  const std::string console = vm_dir_ + "/console";
  std::ofstream(console).close();
  ASSERT_EQ(::chown(console.c_str(), 64001, 64002), 0);
  const std::string text =
      Run(Shell("(echo x > /bin/new) 2>/dev/null || echo root refused; "
                "(echo x > /vm/new) 2>/dev/null || echo vm refused; echo from guest > console; "
                "(echo x > /bin/sh) 2>/dev/null || echo binary refused"));
  EXPECT_EQ(text, "root refused\nvm refused\nbinary refused\n");
  EXPECT_EQ(ReadAll(console), "from guest\n");
}

TEST_F(ProcessTest, AFileEndsAtItsBoundAndTheProcessGoesOn) {
  const std::string console = vm_dir_ + "/console";
  std::ofstream(console).close();
  ASSERT_EQ(::chown(console.c_str(), 64001, 64002), 0);
  SpawnSpec spec = Shell(
      "i=0; while [ $i -lt 100 ]; do (echo 0123456789abcdef >> console) 2>/dev/null; "
      "i=$((i+1)); done; echo alive");
  spec.file_bytes_max = 1000;
  EXPECT_EQ(Run(spec), "alive\n");
  EXPECT_EQ(ReadAll(console).size(), 1000U);
}

TEST_F(ProcessTest, PassedDescriptorsHaveTheirNumbersAndNoOtherIsInherited) {
  std::array<int, 2> first{};
  std::array<int, 2> second{};
  // Not close-on-exec: must still not leak.
  ASSERT_EQ(::pipe2(first.data(), O_NONBLOCK), 0);
  ASSERT_EQ(::pipe2(second.data(), O_NONBLOCK), 0);
  SpawnSpec spec = Shell("echo one >&3; echo two >&4; echo /proc/self/fd/*");
  spec.fds = {second[1], first[1]};
  const std::string text = Run(spec);
  std::array<char, 16> buffer{};
  EXPECT_EQ(::read(second[0], buffer.data(), buffer.size()), 4);
  EXPECT_STREQ(buffer.data(), "one\n");
  EXPECT_EQ(::read(first[0], buffer.data(), buffer.size()), 4);
  EXPECT_STREQ(buffer.data(), "two\n");
  // The last one is the shell's own look into the folder, where it is not one of the five.
  EXPECT_THAT(text, HasSubstr("/proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2 /proc/self/fd/3 "
                              "/proc/self/fd/4"));
  EXPECT_THAT(text, Not(HasSubstr("/proc/self/fd/6")));
  for (const int fd : {first[0], first[1], second[0], second[1]}) ::close(fd);
}

// A child that runs until it is killed: nobody ever writes into its pipe.
class RunningProcessTest : public ProcessTest {
 protected:
  void SetUp() override {
    ProcessTest::SetUp();
    ASSERT_EQ(::pipe2(pipe_.data(), O_CLOEXEC), 0);
  }
  void TearDown() override {
    ProcessTest::TearDown();
    for (const int fd : pipe_) ::close(fd);
  }
  SpawnSpec Blocked(const std::string& script) const {
    SpawnSpec spec = Shell(script);
    spec.fds = {pipe_[0]};
    return spec;
  }
  std::array<int, 2> pipe_{-1, -1};
};

TEST_F(RunningProcessTest, KillEndsEveryDescendantAndRemovesTheCgroup) {
  const auto record = driver_->Spawn(Blocked("(read x <&3) & (read x <&3) & read x <&3"));
  ASSERT_TRUE(record.ok()) << record.error().message;
  auto observed = driver_->Observe(kOwner);
  ASSERT_TRUE(observed.ok());
  EXPECT_TRUE(observed->cgroup);
  ASSERT_FALSE(observed->running.empty());
  EXPECT_EQ(observed->running[0], *record);
  EXPECT_TRUE(*driver_->IsAlive(kOwner, *record));
  EXPECT_THAT(*driver_->List(), ElementsAre(kOwner));

  ProcessRecord recycled = *record;
  recycled.start_ticks += 1;
  EXPECT_FALSE(*driver_->IsAlive(kOwner, recycled)) << "a recycled pid passed for the process";

  ASSERT_TRUE(driver_->Kill(kOwner).ok());
  EXPECT_EQ(WaitFor(*record).signal, SIGKILL);
  observed = driver_->Observe(kOwner);
  ASSERT_TRUE(observed.ok());
  EXPECT_FALSE(observed->cgroup);
  EXPECT_THAT(observed->running, IsEmpty());
  EXPECT_TRUE(driver_->Kill(kOwner).ok()) << "killing what is gone succeeds";
}

TEST_F(RunningProcessTest, ASecondSpawnForTheSameOwnerIsRefused) {
  const auto record = driver_->Spawn(Blocked("read x <&3"));
  ASSERT_TRUE(record.ok()) << record.error().message;
  const auto again = driver_->Spawn(Blocked("read x <&3"));
  ASSERT_FALSE(again.ok());
  EXPECT_EQ(again.error().code, Code::kExists);
  EXPECT_TRUE(*driver_->IsAlive(kOwner, *record)) << "the refusal touched the first";
}

TEST_F(RunningProcessTest, AnotherDaemonFindsWatchesAndKillsIt) {
  const auto record = driver_->Spawn(Blocked("read x <&3"));
  ASSERT_TRUE(record.ok()) << record.error().message;
  auto other = HostProcessDriver::Open(options_);
  ASSERT_TRUE(other.ok());
  const auto observed = (*other)->Observe(kOwner);
  ASSERT_TRUE(observed.ok());
  EXPECT_THAT(observed->running, ElementsAre(*record));
  std::promise<void> ended;
  ASSERT_TRUE((*other)
                  ->Watch(kOwner, *record,
                          [&](const std::string& owner, const ExitInfo&) {
                            EXPECT_EQ(owner, kOwner);
                            ended.set_value();
                          })
                  .ok());
  auto future = ended.get_future();
  EXPECT_EQ(future.wait_for(std::chrono::milliseconds(50)), std::future_status::timeout)
      << "called back while it runs";
  ASSERT_TRUE((*other)->Kill(kOwner).ok());
  EXPECT_EQ(future.wait_for(kPatience), std::future_status::ready);
}

TEST_F(ProcessTest, WatchTellsTheExitCodeAlsoAfterTheEnd) {
  const auto record = driver_->Spawn(Shell("exit 7"));
  ASSERT_TRUE(record.ok()) << record.error().message;
  for (int i = 0; i < 1000 && *driver_->IsAlive(kOwner, *record); ++i) ::usleep(1000);
  EXPECT_EQ(WaitFor(*record).code, 7);
  // A record of no process at all: called back at once, outcome unknown.
  EXPECT_EQ(WaitFor({4'000'000, 1, record->boot_id}).code, -1);
}

TEST_F(ProcessTest, ARefusedSpawnLeavesNothing) {
  SpawnSpec missing = Shell("");
  missing.executable = "/bin/absent";
  auto result = driver_->Spawn(missing);
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code, Code::kInvalid);
  EXPECT_THAT(result.error().message, HasSubstr("execute /bin/absent inside the private root"));

  SpawnSpec root = Shell("");
  root.user = 0;
  EXPECT_EQ(driver_->Spawn(root).error().code, Code::kInvalid);
  SpawnSpec dots = Shell("");
  dots.owner = "../escape";
  EXPECT_EQ(driver_->Spawn(dots).error().code, Code::kInvalid);
  SpawnSpec absent_bind = Shell("");
  absent_bind.binds.push_back({"/absent/file", "/file", false});
  EXPECT_THAT(driver_->Spawn(absent_bind).error().message, HasSubstr("bind /absent/file"));
  SpawnSpec climbing = Shell("");
  climbing.binds.push_back({"/etc", "/a/../etc", false});
  EXPECT_EQ(driver_->Spawn(climbing).error().code, Code::kInvalid);
  EXPECT_THAT(*driver_->List(), IsEmpty());
}

TEST(BindsOfTest, NamesTheLibrariesAndRefusesAScript) {
  const auto binds = BindsOf("/bin/sh");
  ASSERT_TRUE(binds.ok()) << binds.error().message;
  const auto has = [&](const std::string& part) {
    return std::any_of(binds->begin(), binds->end(), [&](const Bind& bind) {
      return bind.path.find(part) != std::string::npos && !bind.writable;
    });
  };
  EXPECT_TRUE(has("/bin/sh"));
  EXPECT_TRUE(has("libc.so.6"));
  EXPECT_TRUE(has("ld-linux"));
  testing::TempDir dir;
  std::ofstream(dir.File("script")) << "#!/bin/sh\n" << std::string(100, '#');
  EXPECT_EQ(BindsOf(dir.File("script")).error().code, Code::kInvalid);
}

}  // namespace
}  // namespace forkplane::process
