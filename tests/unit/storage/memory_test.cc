// Goal: memory files are copied whole with their holes, and once sealed nobody can write them.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <filesystem>

#include "drivers/storage/beneath.h"
#include "drivers/storage/memory_copy.h"
#include "drivers/storage/unix_socket.h"
#include "drivers/template_holder.h"
#include "tests/support/tempdir.h"

namespace forkplane::storage {
namespace {

constexpr std::uint64_t kSize = 4U << 20U;

UniqueFd MemoryWithData() {
  UniqueFd fd = std::move(*MakeMemfd("test", kSize));
  EXPECT_EQ(::pwrite(fd.get(), "begin", 5, 0), 5);
  EXPECT_EQ(::pwrite(fd.get(), "end", 3, static_cast<off_t>(kSize) - 3), 3);
  return fd;
}

std::uint64_t Allocated(const UniqueFd& fd) {
  struct stat info {};
  EXPECT_EQ(::fstat(fd.get(), &info), 0);
  return static_cast<std::uint64_t>(info.st_blocks) * 512;
}

// What a compromised VMM may do to the memory the daemon is copying.
TEST(MemoryTest, AFixedSizeHoldsForEverybodyWhoMayStillWrite) {
  const UniqueFd memory = MemoryWithData();
  const UniqueFd theirs(::dup(memory.get()));
  ASSERT_TRUE(FixSize(memory.get()).ok());
  EXPECT_EQ(::ftruncate(theirs.get(), 0), -1);
  EXPECT_EQ(errno, EPERM);
  EXPECT_EQ(::pwrite(theirs.get(), "guest", 5, 0), 5) << "the guest goes on";
  EXPECT_TRUE(FixSize(memory.get()).ok());
  ASSERT_TRUE(Seal(memory).ok());
  EXPECT_TRUE(FixSize(memory.get()).ok()) << "sealed for good, with these";
}

TEST(MemoryTest, WhatCannotBeFixedIsRefused) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
  const UniqueFd read_end(ends[0]);
  const UniqueFd write_end(ends[1]);
  EXPECT_EQ(FixSize(read_end.get()).error().code, Code::kConflict);
  const UniqueFd unsealable(::memfd_create("test", MFD_CLOEXEC));
  EXPECT_EQ(FixSize(unsealable.get()).error().code, Code::kConflict);
}

// What a fork's cgroup may be charged for beside its own memory (drivers/vmm/qemu/bounds.h).
TEST(MemoryTest, APrivateWriteIntoAHoleMakesAPageInTheTemplateToo) {
  const UniqueFd memory = MemoryWithData();
  ASSERT_TRUE(Seal(memory).ok());
  const std::uint64_t before = Allocated(memory);
  void* const at = ::mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE, memory.get(), 0);
  ASSERT_NE(at, MAP_FAILED);
  auto* const bytes = static_cast<volatile char*>(at);
  bytes[0] = 'x';  // there is data: only the copy is new
  EXPECT_EQ(Allocated(memory), before);
  bytes[kSize / 2] = 'x';
  EXPECT_GT(Allocated(memory), before);
  ::munmap(at, kSize);
}

TEST(MemoryTest, ASparseCopyIsEqualAndSparse) {
  const UniqueFd source = MemoryWithData();
  const UniqueFd copy = std::move(*MakeMemfd("copy", 0));
  const auto copied = CopySparse(source.get(), copy.get());
  ASSERT_TRUE(copied.ok()) << copied.error().message;
  EXPECT_LT(*copied, kSize / 2);
  EXPECT_LT(Allocated(copy), kSize / 2);
  EXPECT_EQ(DigestFile(copy.get())->sha256, DigestFile(source.get())->sha256);
}

TEST(MemoryTest, APreparedCopySeesWhatWasWrittenAfterItsPreparation) {
  const UniqueFd source = MemoryWithData();
  auto copy = MemoryCopy::Prepare(source.get(), kSize);
  ASSERT_TRUE(copy.ok()) << copy.error().message;
  ASSERT_EQ(::pwrite(source.get(), "BEGIN", 5, 0), 5);
  ASSERT_EQ(::pwrite(source.get(), "middle", 6, 1U << 20U), 6);
  ASSERT_TRUE(copy->Run().ok());
  const UniqueFd taken = copy->Take();
  EXPECT_EQ(DigestFile(taken.get())->sha256, DigestFile(source.get())->sha256);
  EXPECT_LT(Allocated(taken), kSize / 2);
  EXPECT_TRUE(Seal(taken).ok()) << "still mapped";
}

TEST(MemoryTest, SealedMemoryCannotBeWrittenButMappedPrivately) {
  const UniqueFd memory = MemoryWithData();
  EXPECT_FALSE(IsSealed(memory.get()));
  void* shared = ::mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_SHARED, memory.get(), 0);
  ASSERT_NE(shared, MAP_FAILED);
  EXPECT_EQ(Seal(memory).error().code, Code::kConflict) << "sealed under a writer";
  ::munmap(shared, kSize);
  ASSERT_TRUE(Seal(memory).ok());
  EXPECT_TRUE(IsSealed(memory.get()));
  EXPECT_EQ(::pwrite(memory.get(), "x", 1, 0), -1);
  EXPECT_EQ(::ftruncate(memory.get(), 1), -1);
  void* fork = ::mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE, memory.get(), 0);
  ASSERT_NE(fork, MAP_FAILED);
  static_cast<char*>(fork)[0] = 'X';
  char first = 0;
  EXPECT_EQ(::pread(memory.get(), &first, 1, 0), 1);
  EXPECT_EQ(first, 'b') << "a private write reached the template";
  ::munmap(fork, kSize);
}

TEST(UnixSocketTest, ALongPathListensConnectsAndPassesADescriptor) {
  const testing::TempDir dir;
  const std::string directory = dir.File(std::string(120, 'd'));
  std::filesystem::create_directories(directory);
  const auto listener = ListenAt(directory, "socket");
  ASSERT_TRUE(listener.ok()) << listener.error().message;
  struct stat info {};
  ASSERT_EQ(::stat((directory + "/socket").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777U, 0600U);
  const auto client = ConnectTo(directory, "socket");
  ASSERT_TRUE(client.ok()) << client.error().message;
  const UniqueFd peer(::accept4(listener->get(), nullptr, nullptr, SOCK_CLOEXEC));
  const UniqueFd memory = MemoryWithData();
  ASSERT_TRUE(SendFd(peer.get(), memory.get()).ok());
  const auto received = ReceiveFd(client->get());
  ASSERT_TRUE(received.ok() && received->valid());
  std::array<char, 6> text{};
  EXPECT_EQ(::pread(received->get(), text.data(), 5, 0), 5);
  EXPECT_STREQ(text.data(), "begin");
  EXPECT_EQ(ConnectTo(directory, "absent").error().code, Code::kNotFound);
}

// A VMM that was stopped takes no connections; who asks it must not wait for ever.
TEST(UnixSocketTest, AListenerThatTakesNobodyIsGivenUp) {
  const testing::TempDir dir;
  const auto listener = ListenAt(dir.path(), "socket");
  ASSERT_TRUE(listener.ok()) << listener.error().message;
  std::vector<UniqueFd> waiting;
  for (int i = 0; i < 100; ++i) {
    auto client = ConnectTo(dir.path(), "socket", std::chrono::milliseconds(20));
    if (!client.ok()) {
      EXPECT_EQ(client.error().code, Code::kUnavailable) << client.error().message;
      return;
    }
    waiting.push_back(std::move(client).value());
  }
  FAIL() << "the listener's backlog has no end";
}

}  // namespace
}  // namespace forkplane::storage
