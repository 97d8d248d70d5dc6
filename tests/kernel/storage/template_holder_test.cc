// Goal: a template's memory outlives the daemon that made it, is the same memory for everyone who
// asks, and is gone when it is dropped or its holder dies.
// Method: two drivers on one directory are two daemons; the holder is a real process.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <thread>

#include "drivers/process/process.h"
#include "drivers/storage/process_template_holder.h"
#include "drivers/storage/unix_socket.h"
#include "tests/support/tempdir.h"

namespace forkplane::storage {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr char kUid[] = "00000000-0000-4000-8000-0000000000aa";
constexpr std::uint64_t kSize = 1U << 20U;

class TemplateHolderTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root: holders run in private roots";
    auto processes = OpenProcesses();
    if (!processes.ok()) GTEST_SKIP() << processes.error().message;
    processes_ = std::move(*processes);
    holder_ = OpenHolder(processes_.get());
    memory_ = std::move(*MakeMemfd("test", kSize));
    ASSERT_EQ(::pwrite(memory_.get(), "template", 8, 0), 8);
  }
  void TearDown() override {
    if (!processes_) return;
    EXPECT_TRUE(holder_->Drop(kUid).ok());
    EXPECT_TRUE(processes_->RemoveCgroupFolder().ok());
  }
  Result<std::unique_ptr<process::HostProcessDriver>> OpenProcesses() {
    return process::HostProcessDriver::Open(
        {.cgroup_parent = "forkplane-test-" + std::to_string(::getpid()),
         .mount_point = dir_.File("root")});
  }
  std::unique_ptr<ProcessTemplateHolder> OpenHolder(process::ProcessDriver* processes) {
    auto holder = ProcessTemplateHolder::Open({.directory = dir_.File("templates"),
                                               .executable = FORKPLANE_TEST_HOLDER,
                                               .arguments = {},
                                               .user = 64100,
                                               .group = 64100,
                                               .patience = std::chrono::milliseconds(100)},
                                              processes);
    EXPECT_TRUE(holder.ok());
    return std::move(*holder);
  }
  static ino_t InodeOf(int fd) {
    struct stat info {};
    EXPECT_EQ(::fstat(fd, &info), 0);
    return info.st_ino;
  }

  // The holder's process; a failure when there is not exactly one.
  pid_t PidOfHolder() {
    const auto observed = processes_->Observe(std::string("template-") + kUid);
    EXPECT_TRUE(observed.ok());
    EXPECT_EQ(observed->running.size(), 1U);
    return observed->running.empty() ? -1 : observed->running[0].pid;
  }

  testing::TempDir dir_;
  std::unique_ptr<process::HostProcessDriver> processes_;
  std::unique_ptr<ProcessTemplateHolder> holder_;
  UniqueFd memory_;
};

TEST_F(TemplateHolderTest, ARestartedDaemonGetsTheSameMemory) {
  EXPECT_EQ(holder_->Keep(kUid, memory_).error().code, Code::kInvalid) << "kept unsealed memory";
  ASSERT_TRUE(Seal(memory_).ok());
  const Status kept = holder_->Keep(kUid, memory_);
  ASSERT_TRUE(kept.ok()) << kept.error().message;
  EXPECT_TRUE(holder_->Keep(kUid, memory_).ok()) << "keeping it again succeeds";
  const ino_t inode = InodeOf(memory_.get());
  memory_.Reset();

  const auto processes = OpenProcesses();
  ASSERT_TRUE(processes.ok());
  const auto other = OpenHolder(processes->get());
  const auto held = other->Get(kUid);
  ASSERT_TRUE(held.ok()) << held.error().message;
  ASSERT_TRUE(held->has_value());
  EXPECT_EQ(InodeOf((*held)->get()), inode);
  EXPECT_TRUE(IsSealed((*held)->get()));
  const auto list = other->List();
  ASSERT_TRUE(list.ok());
  ASSERT_EQ(list->size(), 1U);
  EXPECT_EQ((*list)[0].uid, kUid);
  EXPECT_EQ((*list)[0].size_bytes, kSize);
  EXPECT_EQ((*list)[0].held_bytes, 4096U);

  const auto observed = (*processes)->Observe(std::string("template-") + kUid);
  ASSERT_TRUE(observed.ok());
  EXPECT_EQ(observed->running.size(), 1U);
  EXPECT_TRUE(other->Drop(kUid).ok());
  EXPECT_FALSE(other->Get(kUid)->has_value());
  EXPECT_THAT(*(*processes)->List(), IsEmpty());
}

TEST_F(TemplateHolderTest, AHolderThatDiedIsAbsentAndCanBeReplaced) {
  ASSERT_TRUE(Seal(memory_).ok());
  ASSERT_TRUE(holder_->Keep(kUid, memory_).ok());
  ASSERT_TRUE(processes_->Kill(std::string("template-") + kUid).ok());
  const auto gone = holder_->Get(kUid);
  ASSERT_TRUE(gone.ok()) << gone.error().message;
  EXPECT_FALSE(gone->has_value());
  ASSERT_TRUE(holder_->Keep(kUid, memory_).ok());
  EXPECT_TRUE(holder_->Get(kUid)->has_value());
  EXPECT_THAT(*processes_->List(), ElementsAre(std::string("template-") + kUid));
}

// Another holder beside one that is only slow would be the memory twice.
TEST_F(TemplateHolderTest, AHolderThatIsSlowHoldsAllTheSame) {
  ASSERT_TRUE(Seal(memory_).ok());
  ASSERT_TRUE(holder_->Keep(kUid, memory_).ok());
  const pid_t pid = PidOfHolder();
  ASSERT_EQ(::kill(pid, SIGSTOP), 0);
  // It does not answer; and, its queue full, it does not even let connect.
  std::vector<UniqueFd> waiting;
  bool full = false;
  while (!full) {
    const auto held = holder_->Get(kUid);
    ASSERT_FALSE(held.ok()) << "a slow holder passed for none";
    EXPECT_EQ(held.error().code, Code::kUnavailable) << held.error().message;
    EXPECT_EQ(holder_->Keep(kUid, memory_).error().code, Code::kUnavailable);
    auto connection =
        ConnectTo(dir_.File("templates") + "/" + kUid, "socket", std::chrono::milliseconds(1));
    full = !connection.ok();
    if (!full) waiting.push_back(std::move(*connection));
  }
  const auto held = holder_->Get(kUid);
  ASSERT_FALSE(held.ok()) << "a holder whose queue is full passed for none";
  EXPECT_EQ(held.error().code, Code::kUnavailable) << held.error().message;
  EXPECT_EQ(holder_->Keep(kUid, memory_).error().code, Code::kUnavailable);
  EXPECT_FALSE(holder_->List().ok());
  EXPECT_EQ(PidOfHolder(), pid) << "it was replaced";
  waiting.clear();
  ASSERT_EQ(::kill(pid, SIGCONT), 0);
  std::optional<ino_t> inode;
  for (int i = 0; i < 200 && !inode; ++i) {
    const auto again = holder_->Get(kUid);
    if (again.ok() && again->has_value()) inode = InodeOf((*again)->get());
  }
  EXPECT_EQ(inode, InodeOf(memory_.get()));
}

// A connection that ends without an answer says nothing; the holder's cgroup does.
TEST_F(TemplateHolderTest, WhoHangsUpIsAbsentOnlyWithoutAProcess) {
  ASSERT_TRUE(Seal(memory_).ok());
  ASSERT_TRUE(holder_->Keep(kUid, memory_).ok());
  const UniqueFd listener = std::move(*ListenAt(dir_.File("templates") + "/" + kUid, "socket"));
  std::jthread hangs_up([&listener] {
    for (int i = 0; i < 2; ++i) {
      const UniqueFd peer(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    }
  });
  const auto running = holder_->Get(kUid);
  EXPECT_TRUE(processes_->Kill(std::string("template-") + kUid).ok());
  const auto ended = holder_->Get(kUid);
  hangs_up.join();
  ASSERT_FALSE(running.ok()) << "a holder that runs passed for none";
  EXPECT_EQ(running.error().code, Code::kUnavailable) << running.error().message;
  ASSERT_TRUE(ended.ok()) << ended.error().message;
  EXPECT_FALSE(ended->has_value());
}

// Nobody can reach a holder whose socket was removed: it is replaced, and ends before.
TEST_F(TemplateHolderTest, AHolderWithoutItsSocketIsReplaced) {
  ASSERT_TRUE(Seal(memory_).ok());
  ASSERT_TRUE(holder_->Keep(kUid, memory_).ok());
  const pid_t before = PidOfHolder();
  ASSERT_EQ(::unlink((dir_.File("templates") + "/" + kUid + "/socket").c_str()), 0);
  ASSERT_TRUE(holder_->Keep(kUid, memory_).ok());
  EXPECT_NE(PidOfHolder(), before);
  EXPECT_TRUE(holder_->Get(kUid)->has_value());
}

bool MayLowerOomScores() {
  constexpr int kSysResource = 24;
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    if (word == "CapEff:" && status >> word) {
      return (std::stoull(word, nullptr, 16) >> kSysResource & 1U) != 0;
    }
  }
  return false;
}

// Its loss would cost the memory a second time: it is the last to go, where that is ours to say.
TEST_F(TemplateHolderTest, AHolderIsTheLastToGoWhenMemoryRunsOut) {
  ASSERT_TRUE(Seal(memory_).ok());
  ASSERT_TRUE(holder_->Keep(kUid, memory_).ok());
  int score = 0;
  std::ifstream("/proc/" + std::to_string(PidOfHolder()) + "/oom_score_adj") >> score;
  int ours = 0;
  std::ifstream("/proc/self/oom_score_adj") >> ours;
  EXPECT_EQ(score, MayLowerOomScores() ? -900 : ours);
}

}  // namespace
}  // namespace forkplane::storage
