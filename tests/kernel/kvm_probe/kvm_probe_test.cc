// Goal: whether there is KVM is asked as a VMM would, and the answer tells the operator what to
// change. Method: nodes that stand for /dev/kvm in a private tmpfs, and the host's own where it has
// one.
#include "drivers/vmm/qemu/kvm_probe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cstdlib>
#include <thread>

#include "drivers/process/device.h"
#include "drivers/process/process.h"
#include "tests/support/netns.h"
#include "tests/support/tempdir.h"

namespace forkplane::vmm {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr uid_t kUser = 64101;

class KvmProbeTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::string reason = testing::WhyNoNetworkNamespace();
    if (!reason.empty()) GTEST_SKIP() << reason;
    auto driver = process::HostProcessDriver::Open(
        {.cgroup_parent = "forkplane-test-" + std::to_string(::getpid()),
         .mount_point = dir_.File("root")});
    ASSERT_TRUE(driver.ok()) << driver.error().message;
    driver_ = std::move(*driver);
    ASSERT_EQ(::mkdir(dir_.File("dev").c_str(), 0755), 0);
    options_ = {.executable = FORKPLANE_TEST_KVM_PROBE,
                .device = dir_.File("dev/kvm"),
                .user = kUser,
                .group = kUser};
  }
  void TearDown() override {
    if (!driver_) return;
    EXPECT_THAT(*driver_->List(), IsEmpty());
    EXPECT_TRUE(driver_->RemoveCgroupFolder().ok());
  }

  // The answer where the device is a node of that number, mode and group.
  KvmAnswer Ask(dev_t number, mode_t mode, gid_t group) {
    KvmAnswer answer;
    std::jthread([&] {
      ASSERT_EQ(::unshare(CLONE_NEWNS), 0);
      ASSERT_EQ(::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
      ASSERT_EQ(::mount("test", dir_.File("dev").c_str(), "tmpfs", 0, "mode=0755"), 0);
      const std::string& node = options_.device;
      ASSERT_EQ(::mknod(node.c_str(), S_IFCHR | 0600, number), 0) << strerror(errno);
      ASSERT_EQ(::chown(node.c_str(), 0, group), 0);
      ASSERT_EQ(::chmod(node.c_str(), mode), 0);
      const auto asked = ProbeKvm(*driver_, options_);
      ASSERT_TRUE(asked.ok()) << asked.error().message;
      answer = *asked;
    }).join();
    return answer;
  }

  testing::TempDir dir_;
  std::unique_ptr<process::HostProcessDriver> driver_;
  KvmProbeOptions options_;
};

TEST_F(KvmProbeTest, ANodeThatNoVmmMayOpenIsNamedWithModeOwnerAndRemedy) {
  const KvmAnswer answer = Ask(::makedev(1, 3), 0660, 0);
  EXPECT_FALSE(answer.runs);
  EXPECT_THAT(answer.why, HasSubstr(options_.device + " is 0660 root:root"));
  EXPECT_THAT(answer.remedy, AllOf(HasSubstr("chmod 0660 " + options_.device), HasSubstr("chgrp")));
}

TEST_F(KvmProbeTest, TheProbeItselfOpensTheNodeByItsGroup) {
  // /dev/null is no KVM; that this is found out proves that it was opened.
  const KvmAnswer answer = Ask(::makedev(1, 3), 0660, 64777);
  EXPECT_FALSE(answer.runs);
  EXPECT_THAT(answer.why, HasSubstr("does not run a probe guest (it is no KVM"));
}

TEST_F(KvmProbeTest, AHostWithoutTheNodeIsToldSo) {
  const auto answer = ProbeKvm(*driver_, options_);
  ASSERT_TRUE(answer.ok());
  EXPECT_FALSE(answer->runs);
  EXPECT_EQ(answer->why, "no " + options_.device);
  EXPECT_THAT(answer->remedy, HasSubstr("modprobe kvm"));
}

// An outer machine (tests/outer) has a KVM that works, at Debian's 0660, and says so by the
// variable.
TEST_F(KvmProbeTest, TheHostsOwnKvmRunsAGuestOrTheAnswerSaysWhatMendsIt) {
  options_.device = kKvmDevice;
  const auto answer = ProbeKvm(*driver_, options_);
  ASSERT_TRUE(answer.ok()) << answer.error().message;
  if (std::getenv("FORKPLANE_TEST_HAS_KVM") != nullptr) {
    EXPECT_TRUE(answer->runs) << answer->why;
    EXPECT_THAT(process::DescribeDevice(kKvmDevice), HasSubstr("0660 root:kvm"));
  }
  EXPECT_EQ(answer->why.empty(), answer->runs);
  EXPECT_EQ(answer->remedy.empty(), answer->runs);
}

}  // namespace
}  // namespace forkplane::vmm
