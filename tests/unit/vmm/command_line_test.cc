// Goal: the command lines of source and fork are exactly those that were measured to work, and
// agree where they must.
#include "drivers/vmm/qemu/command_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace forkplane::vmm {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

QemuCommand Command(bool restore) {
  QemuCommand command;
  command.uid = "u-1";
  command.memory_bytes = 96ULL << 20U;
  command.macs = {"02:fc:00:00:01:01"};
  command.restore = restore;
  command.tsc_khz = 2600000;
  if (!restore) command.cmdline = "fk.ip=10.90.0.2/16";
  return command;
}

std::string Line(bool restore) {
  std::string line;
  for (const std::string& argument : QemuArguments(Command(restore), LayOutFds(1, restore, true))) {
    if (!line.empty()) line += ' ';
    line += argument;
  }
  return line;
}

constexpr char kMiddle[] =
    " -M microvm,memory-backend=mem"
    " -chardev file,id=console,path=/vm/console,append=on -serial chardev:console"
    " -chardev socket,id=control,fd=3,server=on,wait=off -mon chardev=control,mode=control"
    " -chardev socket,id=health,fd=4,server=on,wait=off -mon chardev=health,mode=control"
    " -netdev tap,id=net0,fd=6,vhost=off"
    " -device virtio-net-device,netdev=net0,id=nic0,mac=02:fc:00:00:01:01"
    " -device virtio-rng-device";
constexpr char kHead[] =
    "-name u-1 -nodefaults -no-user-config -display none -no-reboot"
    " -sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"
    " -accel tcg,tb-size=16 -cpu max -smp 1 -m 96"
    " -object memory-backend-file,id=mem,size=96M,mem-path=/proc/self/fd/5,share=";

TEST(QemuCommandLineTest, ASourceSharesItsMemoryAndBootsAKernel) {
  EXPECT_EQ(Line(false), fmt::format("{}on{}{}", kHead, kMiddle,
                                     " -kernel /proc/self/fd/7 -initrd /proc/self/fd/8 -append "
                                     "console=ttyS0 quiet reboot=t panic=-1 tsc=reliable "
                                     "tsc_early_khz=2600000 fk.ip=10.90.0.2/16"));
}

TEST(QemuCommandLineTest, AForkHasTheSameDevicesPrivateMemoryAndNoKernel) {
  EXPECT_EQ(Line(true), fmt::format("{}off{} -incoming defer -S", kHead, kMiddle));
}

TEST(QemuCommandLineTest, AValueCannotAddAnOption) {
  QemuCommand command = Command(true);
  command.uid = "x,process=y";
  command.macs = {"02:fc:00:00:01:01,romfile=/etc/shadow"};
  const std::vector<std::string> arguments = QemuArguments(command, LayOutFds(1, true, false));
  EXPECT_EQ(arguments[1], "x,,process=y");
  for (const std::string& argument : arguments) {
    EXPECT_THAT(argument, Not(HasSubstr("01,romfile")));
  }
}

TEST(TscTest, TwoMeasurementsAgree) {
  const auto first = MeasureTscKhz();
  const auto second = MeasureTscKhz();
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_GT(*first, 100'000U);
  EXPECT_NEAR(static_cast<double>(*first), static_cast<double>(*second),
              static_cast<double>(*first) * 0.02);
}

}  // namespace
}  // namespace forkplane::vmm
