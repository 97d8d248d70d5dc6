// Goal: images cannot be reached outside their roots, snapshots appear whole or not at all, damage
// is told from absence, and removal stays inside.
#include "drivers/storage/host_storage.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "tests/support/tempdir.h"

namespace forkplane::storage {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class HostStorageTest : public ::testing::Test {
 protected:
  void SetUp() override {
    fs::create_directories(dir_.File("images/sub"));
    fs::create_directories(dir_.File("images2"));
    storage_ = Open();
  }
  std::unique_ptr<HostStorage> Open() {
    auto storage = HostStorage::Open(
        {.state_dir = dir_.File("state"),
         .image_roots = {dir_.File("absent"), dir_.File("images"), dir_.File("images2")}});
    EXPECT_TRUE(storage.ok());
    return std::move(*storage);
  }
  static void Write(const std::string& path, const std::string& text) {
    std::ofstream(path) << text;
  }
  SnapshotManifest Commit(const std::string& uid) {
    const auto stage = storage_->BeginSnapshot(uid);
    EXPECT_TRUE(stage.ok());
    Write(stage->directory + "/memory", "memory of it");
    Write(stage->directory + "/state", "state");
    SnapshotManifest manifest;
    manifest.source_uid = "vm-1";
    manifest.hypervisor = "simulated";
    manifest.hypervisor_version = "1";
    manifest.state_format = "simulated-1";
    manifest.memory_bytes = 12;
    manifest.created = "2026-01-02T03:04:05Z";
    manifest.devices = {{"net", "nic0", "02:fc:00:00:01:01"}};
    manifest.network = SnapshotNetwork{"10.90.0.0/16", "10.90.0.1", 1500};
    const auto committed = storage_->CommitSnapshot(*stage, manifest);
    EXPECT_TRUE(committed.ok()) << committed.error().message;
    return *committed;
  }

  testing::TempDir dir_;
  std::unique_ptr<HostStorage> storage_;
};

TEST_F(HostStorageTest, AnImageIsFoundInTheFirstRootThatHasIt) {
  Write(dir_.File("images/sub/disk"), "one");
  Write(dir_.File("images2/other"), "two");
  fs::create_symlink("sub/disk", dir_.File("images/link"));
  EXPECT_TRUE(storage_->OpenImage("sub/disk").ok());
  EXPECT_TRUE(storage_->OpenImage("other").ok());
  EXPECT_TRUE(storage_->OpenImage("link").ok()) << "a symlink inside the root is fine";
  EXPECT_EQ(storage_->OpenImage("absent").error().code, Code::kNotFound);
}

TEST_F(HostStorageTest, AnImageThatOnlyRootMayReadIsRefusedWithTheRemedy) {
  Write(dir_.File("images/kernel"), "k");
  fs::permissions(dir_.File("images/kernel"), fs::perms::owner_read);
  const auto image = storage_->OpenImage("kernel");
  ASSERT_FALSE(image.ok());
  EXPECT_EQ(image.error().code, Code::kInvalid);
  EXPECT_EQ(image.error().message,
            "image 'kernel' is 0400: a VMM's user cannot read it: chmod o+r");
  EXPECT_TRUE(storage_->CreateVmDirectory("vm-1", ::getuid()).ok());
  EXPECT_TRUE(storage_->CopyImageToVm("kernel", "vm-1", "root", ::getuid(), ::getgid()).ok())
      << "a copy is given to the VM's user";
}

TEST_F(HostStorageTest, APathThatLeavesItsRootIsInvalid) {
  Write(dir_.File("secret"), "s");
  fs::create_symlink("../secret", dir_.File("images/up"));
  fs::create_symlink("/etc/passwd", dir_.File("images/absolute"));
  fs::create_symlink("/etc", dir_.File("images/folder"));
  ASSERT_EQ(::mkfifo(dir_.File("images/fifo").c_str(), 0600), 0);
  for (const char* path : {"", "/etc/passwd", "../secret", "sub/../../secret", "up", "absolute",
                           "folder/passwd", "sub", "fifo"}) {
    const auto image = storage_->OpenImage(path);
    ASSERT_FALSE(image.ok()) << path;
    EXPECT_EQ(image.error().code, Code::kInvalid) << path << ": " << image.error().message;
  }
}

TEST_F(HostStorageTest, ASnapshotAppearsByCommitWithDigests) {
  const auto stage = storage_->BeginSnapshot("s1");
  ASSERT_TRUE(stage.ok());
  EXPECT_THAT(*storage_->ListSnapshots(), IsEmpty()) << "a stage is visible";
  EXPECT_FALSE(storage_->ReadSnapshot("s1")->has_value());
  const SnapshotManifest committed = Commit("s1");
  ASSERT_EQ(committed.files.size(), 2U);
  EXPECT_EQ(committed.files[0].name, "memory");
  EXPECT_EQ(committed.files[0].size_bytes, 12U);
  // printf 'state' | sha256sum
  EXPECT_EQ(committed.files[1].sha256,
            "4ba69735ca53765ed6a709edb56c6ea236b7193a3b29a6b390c346f0f4340e4e");
  const auto read = storage_->ReadSnapshot("s1");
  ASSERT_TRUE(read.ok() && read->has_value());
  EXPECT_EQ(**read, committed);
  EXPECT_TRUE(storage_->VerifySnapshot("s1").ok());
  EXPECT_EQ(storage_->BeginSnapshot("s1").error().code, Code::kExists);
  struct stat info {};
  ASSERT_EQ(::stat((storage_->SnapshotDirectory("s1") + "/memory").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777U, 0444U);
}

TEST_F(HostStorageTest, DamageIsToldFromAbsence) {
  Commit("s1");
  const std::string directory = storage_->SnapshotDirectory("s1");
  ASSERT_EQ(::chmod((directory + "/state").c_str(), 0644), 0);
  Write(directory + "/state", "stAte");
  EXPECT_TRUE(storage_->ReadSnapshot("s1").ok()) << "sizes alone are compared";
  EXPECT_THAT(storage_->VerifySnapshot("s1").error().message, HasSubstr("state was changed"));
  Write(directory + "/state", "longer than it was");
  EXPECT_EQ(storage_->ReadSnapshot("s1").error().code, Code::kInternal);
  fs::remove(directory + "/manifest.json");
  EXPECT_EQ(storage_->ReadSnapshot("s1").error().code, Code::kInternal);
  Write(directory + "/manifest.json", "{\"format\": 1");
  EXPECT_EQ(storage_->ReadSnapshot("s1").error().code, Code::kInternal);
  EXPECT_FALSE(storage_->ReadSnapshot("s2")->has_value());
}

TEST_F(HostStorageTest, WhatACrashLeftIsRemovedAtOpen) {
  Commit("s1");
  ASSERT_TRUE(storage_->BeginSnapshot("s2").ok());
  storage_.reset();
  storage_ = Open();
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(dir_.File("state/snapshots"))) {
    names.push_back(entry.path().filename().string());
  }
  EXPECT_THAT(names, ElementsAre("s1"));
}

TEST_F(HostStorageTest, RemovalFollowsNoSymlinkAndAbsentIsSuccess) {
  Write(dir_.File("keep"), "k");
  ASSERT_TRUE(storage_->CreateVmDirectory("vm-1", ::getgid()).ok());
  ASSERT_TRUE(storage_->CreateVmDirectory("vm-1", ::getgid()).ok());
  const std::string directory = storage_->VmDirectory("vm-1");
  fs::create_directories(directory + "/deep/er");
  fs::create_symlink(dir_.path(), directory + "/deep/out");
  EXPECT_TRUE(storage_->RemoveVmDirectory("vm-1").ok());
  EXPECT_FALSE(fs::exists(directory));
  EXPECT_TRUE(fs::exists(dir_.File("keep")));
  EXPECT_TRUE(storage_->RemoveVmDirectory("vm-1").ok());
  EXPECT_EQ(storage_->RemoveVmDirectory("..").error().code, Code::kInvalid);
  EXPECT_EQ(storage_->RemoveVmDirectory("a/b").error().code, Code::kInvalid);
  Commit("s1");
  EXPECT_TRUE(storage_->RemoveSnapshot("s1").ok());
  EXPECT_TRUE(storage_->RemoveSnapshot("s1").ok());
  EXPECT_THAT(*storage_->ListSnapshots(), IsEmpty());
}

TEST_F(HostStorageTest, FilesOfAVmAreWrittenWholeAndReadFromTheirEnd) {
  ASSERT_TRUE(storage_->CreateVmDirectory("vm-1", ::getgid()).ok());
  ASSERT_TRUE(storage_->WriteVmFile("vm-1", "note", "0123456789").ok());
  ASSERT_TRUE(storage_->WriteVmFile("vm-1", "note", "abcdef").ok());
  EXPECT_EQ(**storage_->ReadVmFileTail("vm-1", "note", 3), "def");
  EXPECT_FALSE(storage_->ReadVmFileTail("vm-1", "absent", 3)->has_value());
  EXPECT_FALSE(storage_->ReadVmFileTail("vm-2", "note", 3)->has_value());
  EXPECT_EQ(storage_->WriteVmFile("vm-1", "../note", "x").error().code, Code::kInvalid);
  EXPECT_THAT(*storage_->ListVmDirectories(), ElementsAre("vm-1"));
}

TEST_F(HostStorageTest, ADiskIsAPrivateCopy) {
  Write(dir_.File("images/disk"), "content");
  ASSERT_TRUE(storage_->CreateVmDirectory("vm-1", ::getgid()).ok());
  ASSERT_TRUE(storage_->CopyImageToVm("disk", "vm-1", "root", ::getuid(), ::getgid()).ok());
  Write(storage_->VmDirectory("vm-1") + "/root", "changed");
  ASSERT_TRUE(storage_->CopyImageToVm("disk", "vm-1", "root", ::getuid(), ::getgid()).ok());
  EXPECT_EQ(**storage_->ReadVmFileTail("vm-1", "root", 100), "changed") << "copied over a disk";
}

}  // namespace
}  // namespace forkplane::storage
