// Goal: bounds are written where their controllers are offered, and nothing else is. Method: a
// plain directory with files of the kernel's names, so both kinds of tree are tested on any
// machine.
#include "drivers/process/bounds.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "drivers/process/cgroup.h"
#include "tests/support/tempdir.h"

namespace forkplane::process {
namespace {

constexpr Bounds kBounds = {.memory_bytes_max = 1000, .pids_max = 7};

class BoundsTest : public ::testing::Test {
 protected:
  void Write(const std::string& name, const std::string& text) const {
    std::ofstream(dir_.File(name)) << text;
  }
  std::string Read(const std::string& name) const {
    std::ifstream file(dir_.File(name));
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
  }
  // A folder as the kernel shows it, with one cgroup inside.
  void MakeTree(const std::string& controllers) {
    Write("cgroup.controllers", controllers);
    Write("cgroup.subtree_control", "");
    std::filesystem::create_directory(dir_.File("vm"));
    Write("vm/memory.max", "max\n");
    Write("vm/memory.oom.group", "0\n");
    Write("vm/pids.max", "max\n");
  }
  std::string path() const { return dir_.path().string(); }

  testing::TempDir dir_;
};

TEST_F(BoundsTest, WhatTheFolderHasIsHandedOn) {
  MakeTree("cpuset memory\n");
  const auto memory = HandOnControllers(path());
  ASSERT_TRUE(memory.ok()) << memory.error().message;
  EXPECT_EQ(*memory, (Controllers{.memory = true, .pids = false}));
  EXPECT_EQ(Read("cgroup.subtree_control"), "+memory");
  EXPECT_EQ(memory->Missing(), "pids");

  MakeTree("cpu pids memory\n");
  EXPECT_EQ(HandOnControllers(path())->Missing(), "");
}

TEST_F(BoundsTest, WhatIsNotOfferedIsNotAskedFor) {
  MakeTree("hugetlb\n");
  const auto none = HandOnControllers(path());
  ASSERT_TRUE(none.ok()) << none.error().message;
  EXPECT_EQ(*none, Controllers{});
  EXPECT_EQ(none->Missing(), "memory, pids");
  EXPECT_EQ(Read("cgroup.subtree_control"), "");
}

TEST_F(BoundsTest, WhatIsRefusedIsLeftOutAndAFolderThatIsNoneIsAnError) {
  Write("cgroup.controllers", "memory pids\n");
  std::filesystem::create_directory(dir_.File("cgroup.subtree_control"));  // no write succeeds
  const auto refused = HandOnControllers(path());
  ASSERT_TRUE(refused.ok()) << refused.error().message;
  EXPECT_EQ(*refused, Controllers{});
  EXPECT_EQ(HandOnControllers(dir_.File("absent")).error().code, Code::kNotFound);
}

TEST_F(BoundsTest, ACgroupIsBoundedByWhatItsFolderHandsOn) {
  MakeTree("memory pids\n");
  auto folder = CgroupFolder::OpenAt(path());
  ASSERT_TRUE(folder.ok()) << folder.error().message;
  ASSERT_TRUE(folder->Create("vm", kBounds).ok());
  EXPECT_EQ(Read("vm/memory.max"), "1000");
  EXPECT_EQ(Read("vm/memory.oom.group"), "1");
  EXPECT_EQ(Read("vm/pids.max"), "7");
}

TEST_F(BoundsTest, WithoutControllersNoFileIsTouched) {
  MakeTree("hugetlb\n");
  auto folder = CgroupFolder::OpenAt(path());
  ASSERT_TRUE(folder.ok()) << folder.error().message;
  ASSERT_TRUE(folder->Create("vm", kBounds).ok());
  EXPECT_EQ(Read("vm/memory.max"), "max\n");
  EXPECT_EQ(Read("vm/memory.oom.group"), "0\n");
  EXPECT_EQ(Read("vm/pids.max"), "max\n");
}

TEST_F(BoundsTest, ZeroIsNoBoundAndABoundThatCannotBeWrittenIsAnError) {
  MakeTree("memory pids\n");
  constexpr Controllers kBoth = {.memory = true, .pids = true};
  ASSERT_TRUE(WriteBounds(dir_.File("vm"), {.pids_max = 7}, kBoth).ok());
  EXPECT_EQ(Read("vm/memory.max"), "max\n");
  EXPECT_EQ(Read("vm/memory.oom.group"), "0\n");
  EXPECT_EQ(Read("vm/pids.max"), "7");
  std::filesystem::remove(dir_.File("vm/pids.max"));
  EXPECT_FALSE(WriteBounds(dir_.File("vm"), {.pids_max = 7}, kBoth).ok());
}

}  // namespace
}  // namespace forkplane::process
