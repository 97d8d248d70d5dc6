// Goal: a process opens a device of the host by the device's own group, and gets no other group by
// it. Method: nodes of /dev/zero's number with modes and groups of our choice in a private tmpfs
// (a temporary directory may be mounted nodev); a shell in a private root tells its groups and
// tries to open the node for reading and writing, as a VMM opens /dev/kvm.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <thread>

#include "drivers/process/device.h"
#include "drivers/process/process.h"
#include "drivers/process/run_in_private_root.h"
#include "tests/support/netns.h"
#include "tests/support/tempdir.h"

namespace forkplane::process {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr gid_t kDeviceGroup = 64777;
constexpr char kTell[] =
    "while read name rest; do [ \"$name\" != Groups: ] || echo \"groups: $rest\"; done"
    " < /proc/self/status; (: <> \"$0\") && echo opened";

class DeviceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::string reason = testing::WhyNoNetworkNamespace();
    if (!reason.empty()) GTEST_SKIP() << reason;
    auto driver =
        HostProcessDriver::Open({.cgroup_parent = "forkplane-test-" + std::to_string(::getpid()),
                                 .mount_point = dir_.File("root")});
    ASSERT_TRUE(driver.ok()) << driver.error().message;
    driver_ = std::move(*driver);
    ASSERT_EQ(::mkdir(dir_.File("dev").c_str(), 0755), 0);
  }
  void TearDown() override {
    if (!driver_) return;
    EXPECT_THAT(*driver_->List(), IsEmpty());
    EXPECT_TRUE(driver_->RemoveCgroupFolder().ok());
  }

  std::string Node() const { return dir_.File("dev/node"); }

  PrivateCommand Tell() const {
    PrivateCommand command;
    command.owner = "device-test";
    command.executable = "/bin/sh";
    command.arguments = {"-c", kTell, Node()};
    const auto binds = BindsOf("/bin/sh");
    EXPECT_TRUE(binds.ok());
    if (binds.ok()) command.binds = *binds;
    command.user = 64001;
    command.group = 64002;
    return command;
  }

  // Calls `body` where the node is there; the mount goes with the thread.
  void WithNode(mode_t mode, gid_t group, const std::function<void()>& body) const {
    std::jthread([&] {
      ASSERT_EQ(::unshare(CLONE_NEWNS), 0);
      ASSERT_EQ(::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
      ASSERT_EQ(::mount("test", dir_.File("dev").c_str(), "tmpfs", 0, "mode=0755"), 0);
      ASSERT_EQ(::mknod(Node().c_str(), S_IFCHR | 0600, ::makedev(1, 5)), 0) << strerror(errno);
      ASSERT_EQ(::chown(Node().c_str(), 0, group), 0);
      ASSERT_EQ(::chmod(Node().c_str(), mode), 0);
      body();
    }).join();
  }

  std::string Run(const PrivateCommand& command) {
    const auto ran = RunInPrivateRoot(*driver_, command);
    return ran.ok() ? ran->output : "refused: " + ran.error().message;
  }

  testing::TempDir dir_;
  std::unique_ptr<HostProcessDriver> driver_;
};

TEST_F(DeviceTest, ANodeOfAGroupIsOpenedByThatGroupAndTheProcessIsInNoOther) {
  WithNode(0660, kDeviceGroup, [this] {
    PrivateCommand command = Tell();
    command.devices = {Node()};
    EXPECT_EQ(Run(command), fmt::format("groups: {}\nopened\n", kDeviceGroup));
  });
}

TEST_F(DeviceTest, WithoutTheGroupTheSameNodeIsRefused) {
  WithNode(0660, kDeviceGroup, [this] {
    PrivateCommand command = Tell();
    command.binds.push_back({.host_path = Node(), .path = Node(), .writable = false});
    const std::string said = Run(command);
    EXPECT_THAT(said, HasSubstr("groups: \n"));
    EXPECT_THAT(said, HasSubstr("Permission denied"));
  });
}

TEST_F(DeviceTest, ANodeThatEverybodyMayOpenBringsNoGroup) {
  WithNode(0666, kDeviceGroup, [this] {
    PrivateCommand command = Tell();
    command.devices = {Node()};
    EXPECT_EQ(Run(command), "groups: \nopened\n");
  });
}

TEST_F(DeviceTest, TheGroupOfRootIsNeverGiven) {
  for (const mode_t mode : {0600U, 0660U}) {
    WithNode(mode, 0, [&] {
      PrivateCommand command = Tell();
      command.devices = {Node()};
      const auto ran = RunInPrivateRoot(*driver_, command);
      ASSERT_FALSE(ran.ok());
      EXPECT_EQ(ran.error().code, Code::kUnavailable) << "a chmod mends it: worth another try";
      EXPECT_THAT(ran.error().message,
                  HasSubstr(fmt::format("{} is {:04o} root:root", Node(), mode)));
      EXPECT_THAT(ran.error().message, HasSubstr("mode 0660"));
    });
  }
}

TEST_F(DeviceTest, AFileIsNoDevice) {
  EXPECT_EQ(GroupToOpenDevice("/etc/passwd").error().code, Code::kInvalid);
  EXPECT_EQ(GroupToOpenDevice(Node()).error().code, Code::kNotFound);
}

}  // namespace
}  // namespace forkplane::process
