// Goal: a kernel that lacks a module is told by the module's name. Method: each feature refused in
// turn, as libnftables refuses it.
#include "drivers/nftables/missing.h"

#include <gtest/gtest.h>

#include <cerrno>

namespace forkplane::nftables {
namespace {

TEST(MissingTest, TheFirstFeatureThatIsRefusedIsNamedWithItsRemedy) {
  const Error plain = NotFound("replace firewall: No such file or directory");
  for (const Feature& refused : FeaturesOfTable()) {
    const auto run = [&](const std::string& commands) -> Status {
      const bool uses = commands.find(refused.chain) != std::string::npos &&
                        commands.find(fmt::format("\n{}\n", refused.rule)) != std::string::npos;
      if (uses) return plain;
      return OkStatus();
    };
    const Error error = NameMissing(FeaturesOfTable(), run, plain);
    EXPECT_EQ(error.code, Code::kUnavailable) << "no reason to look again at once";
    EXPECT_EQ(error.sys_errno, ENOENT);
    EXPECT_NE(error.message.find(fmt::format("modprobe {}", refused.module)), std::string::npos)
        << error.message;
    EXPECT_NE(error.message.find(refused.option), std::string::npos) << error.message;
  }
  const auto takes_all = [](const std::string&) { return OkStatus(); };
  EXPECT_EQ(NameMissing(FeaturesOfTable(), takes_all, plain).message, plain.message);
}

}  // namespace
}  // namespace forkplane::nftables
