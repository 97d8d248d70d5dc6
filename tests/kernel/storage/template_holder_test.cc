// Goal: a template's memory outlives the daemon that made it, is the same memory for everyone who
// asks, and is gone when it is dropped or its holder dies.
// Method: two drivers on one directory are two daemons; the holder is a real process.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "drivers/process/process.h"
#include "drivers/storage/process_template_holder.h"
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
                                               .group = 64100},
                                              processes);
    EXPECT_TRUE(holder.ok());
    return std::move(*holder);
  }
  static ino_t InodeOf(int fd) {
    struct stat info {};
    EXPECT_EQ(::fstat(fd, &info), 0);
    return info.st_ino;
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

}  // namespace
}  // namespace forkplane::storage
