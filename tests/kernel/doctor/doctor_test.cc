// Goal: on a machine that runs the other kernel tests, doctor finds every network feature, notices
// one that is taken away, and leaves nothing behind. Method: all probes for real; what the host
// shows of links, mounts, cgroups and descriptors (programs and TAPs live by theirs) is compared
// before and after.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "controller/app/doctor_probes.h"
#include "controller/base/unique_fd.h"
#include "drivers/process/cgroup.h"
#include "tests/support/netns.h"
#include "tests/support/tempdir.h"

namespace forkplane::app {
namespace {

namespace fs = std::filesystem;

std::set<std::string> NamesIn(const std::string& directory) {
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(directory)) {
    names.insert(entry.path().filename().string());
  }
  return names;
}

std::string Read(const std::string& path) {
  auto text = process::ReadKernelFile(path);
  return text.ok() ? *text : text.error().message;
}

// Lines of the mount table that the probe made; other tests may mount what they like.
std::string MountsOfDoctor() {
  std::istringstream lines(Read("/proc/self/mountinfo"));
  std::string found;
  for (std::string line; std::getline(lines, line);) {
    if (line.find(" - tmpfs doctor ") != std::string::npos) found += line + '\n';
  }
  return found;
}

// The path of those that this process has made is random.
std::set<std::string> ScratchDirectories() {
  std::set<std::string> found;
  for (const std::string& name : NamesIn(fs::temp_directory_path().string())) {
    if (name.starts_with("forkplane-") && name.size() == std::strlen("forkplane-XXXXXX")) {
      found.insert(name);
    }
  }
  return found;
}

// What a probe could leave on the host.
struct Traces {
  std::set<std::string> links = NamesIn("/sys/class/net");
  std::string mounts = MountsOfDoctor();
  std::set<std::string> descriptors = NamesIn("/proc/self/fd");
  std::set<std::string> state;
  std::set<std::string> scratch = ScratchDirectories();
  std::string forwarding = Read("/proc/sys/net/ipv4/ip_forward");
  bool operator==(const Traces&) const = default;
};

class DoctorKernelTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::string reason = testing::WhyNoNetworkNamespace();
    if (!reason.empty()) GTEST_SKIP() << reason;
    options_.state_dir = dir_.path().string();
    options_.image_roots = {dir_.File("images")};
  }

  Traces Look() const {
    Traces traces;
    traces.state = NamesIn(dir_.path().string());
    return traces;
  }

  testing::TempDir dir_;
  Options options_;
};

const Finding* Find(const std::vector<Finding>& findings, std::string_view what) {
  const auto it = std::find_if(findings.begin(), findings.end(),
                               [&](const Finding& finding) { return finding.what == what; });
  return it == findings.end() ? nullptr : &*it;
}

TEST_F(DoctorKernelTest, FindsEveryNetworkFeature) {
  const std::vector<Finding> findings = ProbeNetwork(options_);
  std::vector<std::string> seen;
  for (const Finding& finding : findings) {
    seen.push_back(finding.what);
    // Which of two ways is there depends on the kernel; both are enough.
    const bool choice = finding.what == "leaf queue" || finding.what == "upload redirect" ||
                        finding.what == "forwarding probe";
    EXPECT_TRUE(finding.level == Level::kOk || (choice && finding.level == Level::kDegraded))
        << RenderText({finding});
  }
  EXPECT_THAT(
      seen, ::testing::ElementsAre("bridge", "IFB", "TAP", "port isolation", "HTB", "TBF", "clsact",
                                   "leaf queue", "BPF programs", "upload redirect", "nftables",
                                   "policy routing", "connection tracking", "forwarding probe"));
}

TEST_F(DoctorKernelTest, BothForcedWaysAreTried) {
  options_.leaf = "bfifo";
  options_.redirect = "mirred";
  const std::vector<Finding> findings = ProbeNetwork(options_);
  for (const char* what : {"leaf queue", "upload redirect"}) {
    const Finding* finding = Find(findings, what);
    ASSERT_NE(finding, nullptr);
    EXPECT_EQ(finding->level, Level::kOk) << RenderText({*finding});
  }
}

TEST_F(DoctorKernelTest, WhatStandsOnAMissingFeatureIsNotBlamedOnTheKernel) {
  // The probe's six sockets take the last descriptors, so /dev/net/tun cannot be opened.
  std::vector<UniqueFd> six;
  six.reserve(6);
  for (int i = 0; i < 6; ++i) six.emplace_back(::dup(STDIN_FILENO));
  const auto limit = static_cast<rlim_t>(six.back().get()) + 1;
  six.clear();
  rlimit before = {};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit few = before;
  few.rlim_cur = limit;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
  const std::vector<Finding> findings = ProbeNetwork(options_);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  const Finding* tap = Find(findings, "TAP");
  ASSERT_NE(tap, nullptr) << RenderText(findings);
  EXPECT_EQ(tap->level, Level::kMissing);
  const Finding* tbf = Find(findings, "TBF");
  ASSERT_NE(tbf, nullptr);
  EXPECT_EQ(tbf->detail, "not tried, it needs: TAP");
  EXPECT_FALSE(Verdict(findings).ok());
}

TEST_F(DoctorKernelTest, LeavesNothingBehind) {
  // Its own, since others of these tests may run beside it.
  const std::string scratch = dir_.File("scratch");
  ASSERT_TRUE(fs::create_directory(scratch));
  ASSERT_EQ(::setenv("TMPDIR", scratch.c_str(), 1), 0);
  ProbeAll(options_, FORKPLANE_TEST_KVM_PROBE);  // what libraries keep for the life of a process
  const Traces before = Look();
  const std::vector<Finding> findings = ProbeAll(options_, FORKPLANE_TEST_KVM_PROBE);
  const Traces after = Look();
  EXPECT_EQ(before.links, after.links);
  EXPECT_EQ(after.mounts, "");
  EXPECT_EQ(before.descriptors, after.descriptors);
  EXPECT_EQ(before.state, after.state);
  EXPECT_EQ(before.forwarding, after.forwarding);
  EXPECT_EQ(before.scratch, after.scratch);
  const Finding* cgroup = Find(findings, "cgroup v2");
  ASSERT_NE(cgroup, nullptr);
  if (cgroup->level == Level::kOk) {
    const std::string tree = cgroup->detail.substr(0, cgroup->detail.find(' '));
    for (const std::string& name : NamesIn(tree)) {
      EXPECT_FALSE(name.starts_with(fmt::format("forkplane-doctor-{}", ::getpid()))) << name;
    }
  }
}

TEST_F(DoctorKernelTest, WhatVmmsFindIsAskedByAProcessBegunAsTheyAre) {
  const std::vector<Finding> findings = ProbeMachines(options_, FORKPLANE_TEST_KVM_PROBE);
  const Finding* process = Find(findings, "VMM process");
  ASSERT_NE(process, nullptr);
  EXPECT_EQ(*process, Ok("VMM process", "ran in a private root as uid 2000000000"));
  // A QEMU that only root may execute runs for doctor's own user and for no VMM.
  const std::string closed = dir_.File("qemu-system-x86_64");
  fs::copy_file("/bin/true", closed);
  fs::permissions(closed, fs::perms::owner_all);
  options_.qemu_binary = closed;
  const std::vector<Finding> again = ProbeMachines(options_, FORKPLANE_TEST_KVM_PROBE);
  const Finding* qemu = Find(again, "QEMU");
  ASSERT_NE(qemu, nullptr);
  EXPECT_EQ(qemu->level, Level::kMissing);
  EXPECT_THAT(qemu->detail, ::testing::HasSubstr("Permission denied"));
}

TEST_F(DoctorKernelTest, AnImageThatOnlyRootMayReadIsNoImageForAVmm) {
  const fs::path folder = fs::path(options_.image_roots.front()) / "guest";
  fs::create_directories(folder);
  for (const char* name : {"vmlinuz", "initramfs"}) {
    std::ofstream(folder / name) << "image";
    fs::permissions(folder / name, fs::perms::owner_read);
  }
  const std::vector<Finding> findings = ProbeMachines(options_, FORKPLANE_TEST_KVM_PROBE);
  const Finding* image = Find(findings, "guest image");
  ASSERT_NE(image, nullptr);
  EXPECT_EQ(image->level, Level::kDegraded);
  EXPECT_EQ(image->remedy, "chmod o+r " + (folder / "vmlinuz").string());
}

TEST_F(DoctorKernelTest, EveryFindingThatIsNotOkSaysHowToGetIt) {
  options_.state_dir = "/proc/nowhere";
  options_.bpffs = dir_.File("bpf/forkplane");
  options_.qemu_binary = dir_.File("no-such-hypervisor");
  const std::vector<Finding> findings = ProbeAll(options_, FORKPLANE_TEST_KVM_PROBE);
  for (const Finding& finding : findings) {
    EXPECT_EQ(finding.remedy.empty(), finding.level == Level::kOk) << RenderText({finding});
  }
  for (const char* what : {"state directory", "bpffs", "QEMU"}) {
    const Finding* finding = Find(findings, what);
    ASSERT_NE(finding, nullptr) << what;
    EXPECT_EQ(finding->level, Level::kMissing) << RenderText({*finding});
  }
}

}  // namespace
}  // namespace forkplane::app
