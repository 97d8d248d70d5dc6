// Goal: an operator can act on each line, and a script on each exit code. Method: the pure half of
// doctor: what facts mean, how findings look.
#include "controller/app/doctor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "controller/app/doctor_probes.h"
#include "tests/support/tempdir.h"

namespace forkplane::app {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::SizeIs;

const std::vector<Finding>& Three() {
  static const std::vector<Finding> findings = {
      Ok("kernel", "Linux 6.1.0"), Degraded("leaf queue", "no fq_codel: bfifo is used", "modprobe"),
      Missing("IFB", "create link: \"Operation not supported\"", "modprobe ifb")};
  return findings;
}

TEST(DoctorTest, TextIsOneAlignedLinePerFinding) {
  EXPECT_EQ(RenderText(Three()),
            "ok        kernel      Linux 6.1.0\n"
            "degraded  leaf queue  no fq_codel: bfifo is used -- get it: modprobe\n"
            "missing   IFB         create link: \"Operation not supported\""
            " -- get it: modprobe ifb\n");
  EXPECT_EQ(RenderText({}), "");
}

TEST(DoctorTest, JsonIsAnArrayOfObjects) {
  EXPECT_EQ(RenderJson({Three().at(2)}),
            "[\n"
            "  {\n"
            "    \"level\": \"missing\",\n"
            "    \"what\": \"IFB\",\n"
            "    \"detail\": \"create link: \\\"Operation not supported\\\"\",\n"
            "    \"remedy\": \"modprobe ifb\"\n"
            "  }\n"
            "]\n");
  EXPECT_EQ(RenderJson({}), "[]\n");
  EXPECT_THAT(RenderJson({Ok("state directory", "/srv/\xff")}), HasSubstr("/srv/\xef\xbf\xbd"))
      << "a path that is not UTF-8 must not end the program";
}

TEST(DoctorTest, OnlyWhatIsMissingFailsAndIsNamed) {
  EXPECT_TRUE(Verdict({}).ok());
  EXPECT_TRUE(Verdict({Three().at(0), Three().at(1)}).ok());
  std::vector<Finding> findings = Three();
  findings.push_back(Missing("TAP", "", ""));
  const Status verdict = Verdict(findings);
  ASSERT_FALSE(verdict.ok());
  EXPECT_EQ(verdict.error().message, "missing on this host: IFB, TAP");
}

TEST(DoctorTest, OldKernelsLoseFeaturesAndVeryOldOnesAreRefused) {
  EXPECT_EQ(JudgeKernel("6.1.0-18-amd64"), Ok("kernel", "Linux 6.1.0-18-amd64"));
  EXPECT_EQ(JudgeKernel("5.14.0").level, Level::kOk);
  EXPECT_THAT(JudgeKernel("5.10.0-28-amd64"),
              AllOf(Field(&Finding::level, Level::kDegraded),
                    Field(&Finding::detail, AllOf(HasSubstr("cgroup.kill"),
                                                  ::testing::Not(HasSubstr("pidfd_getfd"))))));
  EXPECT_THAT(JudgeKernel("5.6.19").detail, HasSubstr("CLONE_INTO_CGROUP (5.7)"));
  EXPECT_THAT(JudgeKernel("5.4.0").detail, HasSubstr("pidfd_getfd (5.6)"));
  EXPECT_EQ(JudgeKernel("4.19.0-26-amd64").level, Level::kMissing);
  EXPECT_EQ(JudgeKernel("strange").level, Level::kMissing);
  EXPECT_EQ(JudgeKernel("").level, Level::kMissing);
}

TEST(DoctorTest, EachCapabilityThatIsNotThereIsALine) {
  constexpr std::uint64_t kAll = 0x1ffffffffff;
  constexpr std::uint64_t kSysPtrace = 1U << 19U;
  constexpr std::uint64_t kSysAdmin = 1U << 21U;
  EXPECT_THAT(JudgeCapabilities(kAll), ElementsAre(Field(&Finding::level, Level::kOk)));
  EXPECT_THAT(JudgeCapabilities(0), SizeIs(7));
  EXPECT_THAT(JudgeCapabilities(kAll & ~kSysPtrace),
              ElementsAre(AllOf(Field(&Finding::level, Level::kDegraded),
                                Field(&Finding::what, "CAP_SYS_PTRACE"))));
  EXPECT_THAT(JudgeCapabilities(kAll & ~kSysAdmin),
              ElementsAre(AllOf(Field(&Finding::level, Level::kMissing),
                                Field(&Finding::what, "CAP_SYS_ADMIN"))));
  EXPECT_THAT(JudgeCapabilities(kAll & 0xffffffff), ElementsAre(Field(&Finding::level, Level::kOk)))
      << "CAP_SYS_ADMIN stands for CAP_BPF and CAP_PERFMON";
}

TEST(DoctorTest, AFlagThatCannotBeHadIsMissingAndAChoiceThatFellIsDegraded) {
  EXPECT_EQ(JudgeLeaf("auto", true), Ok("leaf queue", "fq_codel"));
  EXPECT_EQ(JudgeLeaf("auto", false).level, Level::kDegraded);
  EXPECT_EQ(JudgeLeaf("fq_codel", false).level, Level::kMissing);
  EXPECT_EQ(JudgeLeaf("bfifo", false).level, Level::kOk);
  EXPECT_EQ(JudgeForwardingProbe("").level, Level::kOk);
  EXPECT_EQ(JudgeForwardingProbe("inject a packet: Invalid argument").level, Level::kDegraded);
  EXPECT_EQ(JudgeFlows(true).level, Level::kOk);
  EXPECT_EQ(JudgeFlows(false).level, Level::kDegraded);
  EXPECT_EQ(JudgeRedirect("auto", true), Ok("upload redirect", "bpf_redirect"));
  EXPECT_EQ(JudgeRedirect("auto", false).level, Level::kDegraded);
  EXPECT_EQ(JudgeRedirect("bpf", false).level, Level::kMissing);
  EXPECT_EQ(JudgeRedirect("mirred", true).level, Level::kOk);
}

TEST(DoctorTest, ControllersThatAreNotGivenAreNamedWithTheRightRemedy) {
  using process::Controllers;
  constexpr Controllers kBoth = {.memory = true, .pids = true};
  EXPECT_EQ(JudgeBounds("/tree", kBoth, kBoth), Ok("VMM bounds", "memory and pids by cgroup"));
  EXPECT_THAT(JudgeBounds("/tree", {}, {}),
              AllOf(Field(&Finding::level, Level::kDegraded),
                    Field(&Finding::detail, HasSubstr("no controller for: memory, pids;")),
                    Field(&Finding::remedy, HasSubstr("unified_cgroup_hierarchy=1"))));
  // The tree has them and keeps them to itself.
  EXPECT_THAT(JudgeBounds("/tree", kBoth, {.memory = true, .pids = false}),
              AllOf(Field(&Finding::level, Level::kDegraded),
                    Field(&Finding::detail, HasSubstr("no controller for: pids;")),
                    Field(&Finding::remedy, HasSubstr("> /tree/cgroup.subtree_control"))));
}

TEST(DoctorTest, UidsThatThisUserNamespaceLacksAreMissing) {
  constexpr UidRange kRange = {.helper = 2000000000, .last = 2000065535};
  constexpr char kAll[] = "         0          0 4294967295\n";
  EXPECT_EQ(JudgeUids(kRange, kAll, kAll), Ok("VMM uids", "2000000000-2000065535"));
  EXPECT_THAT(JudgeUids(kRange, "0 100000 65536\n", kAll),
              AllOf(Field(&Finding::level, Level::kMissing),
                    Field(&Finding::detail, HasSubstr("not every uid of 2000000000-2000065535"))));
  EXPECT_THAT(JudgeUids(kRange, kAll, "0 100000 65536\n2000000000 165536 65535\n").detail,
              HasSubstr("/proc/self/gid_map"))
      << "one short";
  EXPECT_EQ(JudgeUids(kRange, kAll, "0 100000 65536\n2000000000 165536 65536\n").level, Level::kOk);
  EXPECT_EQ(JudgeUids(kRange, "", "").level, Level::kMissing);
}

TEST(DoctorTest, FreeSpaceHasTwoBounds) {
  EXPECT_EQ(JudgeFreeSpace("/srv", 5ULL << 30U), Ok("free space", "5120 MiB below /srv"));
  EXPECT_EQ(JudgeFreeSpace("/srv", 500ULL << 20U).level, Level::kDegraded);
  EXPECT_EQ(JudgeFreeSpace("/srv", 1ULL << 20U).level, Level::kMissing);
}

TEST(DoctorTest, FewDescriptorsAreFewWatches) {
  EXPECT_EQ(JudgeDescriptors(1U << 20U),
            Ok("file descriptors", "524288, for 4096 connections and 3584 watches of the API"));
  const Finding few = JudgeDescriptors(1024);
  EXPECT_EQ(few.level, Level::kDegraded);
  EXPECT_EQ(few.detail,
            "1024, for 320 connections and 192 watches of the API: more are answered 429");
}

TEST(DoctorTest, WhatIsNotOkSaysHowToGetItAndOnlyThat) {
  for (const Finding& finding :
       {JudgeKernel("5.4.0"), JudgeKernel("4.9"), JudgeLeaf("auto", false), JudgeLeaf("auto", true),
        JudgeLeaf("fq_codel", false), JudgeRedirect("auto", false), JudgeRedirect("bpf", false),
        JudgeFlows(true), JudgeFlows(false), JudgeForwardingProbe(""), JudgeForwardingProbe("no"),
        JudgeDescriptors(64), JudgeBounds("/", {}, {}), JudgeFreeSpace("/", 0),
        JudgeFreeSpace("/", 100ULL << 20U), JudgeCapabilities(0).front()}) {
    EXPECT_EQ(finding.remedy.empty(), finding.level == Level::kOk) << finding.what;
    EXPECT_FALSE(finding.detail.empty()) << finding.what;
  }
}

TEST(DoctorTest, ExecutablesAreFoundAsTheShellFindsThem) {
  const testing::TempDir dir;
  std::filesystem::create_directory(dir.File("kubectl-folder"));
  for (const char* name : {"kubectl", "text"}) std::ofstream(dir.File(name)) << "#!/bin/true\n";
  std::filesystem::permissions(dir.File("kubectl"), std::filesystem::perms::owner_all);
  const std::string path = "/nonexistent:" + dir.path().string();
  EXPECT_EQ(FindExecutable("kubectl", path), dir.File("kubectl"));
  EXPECT_EQ(FindExecutable(dir.File("kubectl"), ""), dir.File("kubectl"));
  EXPECT_EQ(FindExecutable("text", path), "") << "not executable";
  EXPECT_EQ(FindExecutable("kubectl-folder", path), "") << "a folder";
  EXPECT_EQ(FindExecutable("absent", path + ":"), "");
  EXPECT_EQ(FindExecutable("", path), "");
}

}  // namespace
}  // namespace forkplane::app
