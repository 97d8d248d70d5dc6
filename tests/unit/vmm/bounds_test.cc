// Goal: a bound never ends a guest that uses what it was given.
#include "drivers/vmm/qemu/bounds.h"

#include <gtest/gtest.h>

namespace forkplane::vmm {
namespace {

constexpr std::uint64_t kMiB = 1U << 20U;

TEST(QemuBoundsTest, AGuestMayTouchAllItsMemoryBesideWhatQemuNeeds) {
  for (const std::uint64_t mib : {96U, 1024U, 65536U}) {
    const process::Bounds bounds = QemuBounds(mib * kMiB, 0);
    // Its log and its console, and two sets of page tables.
    const std::uint64_t least = mib * kMiB + kMiB * 128 + mib * kMiB / 256;
    EXPECT_GT(bounds.memory_bytes_max, least + 64 * kMiB) << mib;
    EXPECT_LT(bounds.memory_bytes_max, 2 * mib * kMiB + 512 * kMiB) << mib;
  }
}

TEST(QemuBoundsTest, AForkMayFillEveryHoleOfItsTemplate) {
  const std::uint64_t without = QemuBounds(128 * kMiB, 0).memory_bytes_max;
  EXPECT_EQ(QemuBounds(128 * kMiB, 100 * kMiB).memory_bytes_max, without + 100 * kMiB);
}

TEST(QemuBoundsTest, ThreadsHaveRoom) {
  EXPECT_GE(QemuBounds(128 * kMiB, 0).pids_max, 16U + 64U + 8U) << "CPUs, workers, the rest";
}

}  // namespace
}  // namespace forkplane::vmm
