// Goal: a restarted daemon finds its programs and entries again, and tells stale ones apart.
// Method: a bpffs of the test's own, in a mount namespace that ends with the thread.
#include <bpf/bpf.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <array>

#include "controller/base/network_names.h"
#include "drivers/bpf/identity.h"
#include "drivers/netlink/qdisc.h"
#include "drivers/netlink/tap.h"
#include "tests/support/netns.h"
#include "tests/support/tempdir.h"

namespace forkplane::bpf {
namespace {

using drivers::AttachedPrograms;
using drivers::Direction;
using drivers::IdentityEntry;
using drivers::ProgramState;
using drivers::RedirectMode;

constexpr std::uint32_t kTap = TapIndex(MakeNumber(0, 1));
const IdentityEntry kEntry{InnerMac(0), OuterMac(1), {0x0a000002}, {0x0a000005}, {0x0a000001}};

class AdoptionTest : public ::testing::Test {
 protected:
  void InNamespace(const std::function<void()>& body) {
    const std::string reason = testing::WhyNoNetworkNamespace();
    if (!reason.empty()) GTEST_SKIP() << reason;
    testing::RunInNetworkNamespace([&] {
      ASSERT_EQ(unshare(CLONE_NEWNS), 0);
      ASSERT_EQ(mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
      ASSERT_EQ(mount("bpf", folder_.path().c_str(), "bpf", 0, nullptr), 0);
      drivers::TapSpec spec;
      spec.number = MakeNumber(0, 1);
      const auto taps = *netlink::NetlinkTapDriver::Open();
      ASSERT_TRUE(taps->Create(spec).ok());
      const auto qdiscs = *netlink::NetlinkQdiscDriver::Open();
      ASSERT_TRUE(qdiscs->AddClsact(kTap).ok());
      body();
    });
  }
  Result<std::unique_ptr<BpfIdentityDriver>> Open(RedirectMode mode) {
    return BpfIdentityDriver::Open({folder_.path().string() + "/forkplane", mode});
  }

  testing::TempDir folder_;
};

TEST_F(AdoptionTest, ARestartFindsEntriesAndPrograms) {
  InNamespace([this] {
    for (int life = 0; life < 3; ++life) {
      const auto driver = Open(RedirectMode::kBpf);
      ASSERT_TRUE(driver.ok()) << driver.error().message;
      if (life == 0) {
        ASSERT_TRUE((*driver)->SetEntry(kTap, kEntry).ok());
        ASSERT_TRUE((*driver)->Attach(kTap, Direction::kIngress).ok());
        ASSERT_TRUE((*driver)->Attach(kTap, Direction::kEgress).ok());
      }
      EXPECT_EQ((*driver)->ObserveEntry(kTap)->value(), kEntry);
      const AttachedPrograms ours{ProgramState::kOurs, ProgramState::kOurs};
      EXPECT_EQ(*(*driver)->ObservePrograms(kTap), ours);
    }
  });
}

// An upgrade whose entries say more: the old map is left to the programs that read it.
TEST_F(AdoptionTest, AMapOfAnotherLayoutIsLeftAlone) {
  InNamespace([this] {
    const std::string path = folder_.path().string() + "/forkplane";
    ASSERT_EQ(mkdir(path.c_str(), 0700), 0);
    bpf_map_create_opts options = {};
    options.sz = sizeof options;
    options.map_flags = BPF_F_NO_PREALLOC;
    const UniqueFd old(
        bpf_map_create(BPF_MAP_TYPE_HASH, "identities", sizeof kTap, 24, 65536, &options));
    ASSERT_TRUE(old.valid());
    const std::array<std::uint8_t, 24> value = {1, 2, 3};
    ASSERT_EQ(bpf_map_update_elem(old.get(), &kTap, value.data(), BPF_ANY), 0);
    ASSERT_EQ(bpf_obj_pin(old.get(), (path + "/identities").c_str()), 0);
    for (int life = 0; life < 2; ++life) {
      const auto driver = Open(RedirectMode::kBpf);
      ASSERT_TRUE(driver.ok()) << driver.error().message;
      if (life == 0) {
        EXPECT_TRUE((*driver)->ListEntries()->empty());
        ASSERT_TRUE((*driver)->SetEntry(kTap, kEntry).ok());
      }
      EXPECT_EQ((*driver)->ObserveEntry(kTap)->value(), kEntry);
    }
    std::array<std::uint8_t, 24> kept = {};
    ASSERT_EQ(bpf_map_lookup_elem(old.get(), &kTap, kept.data()), 0);
    EXPECT_EQ(kept, value);
  });
}

TEST_F(AdoptionTest, TheProgramOfTheOtherModeIsStaleAndReplaced) {
  InNamespace([this] {
    const auto before = *Open(RedirectMode::kBpf);
    ASSERT_TRUE(before->SetEntry(kTap, kEntry).ok());
    ASSERT_TRUE(before->Attach(kTap, Direction::kIngress).ok());
    ASSERT_TRUE(before->Attach(kTap, Direction::kEgress).ok());
    const auto after = *Open(RedirectMode::kMirred);
    const AttachedPrograms stale{ProgramState::kStale, ProgramState::kOurs};
    EXPECT_EQ(*after->ObservePrograms(kTap), stale);
  });
}

TEST_F(AdoptionTest, WithoutPinsAnotherDriversProgramsAreStale) {
  InNamespace([] {
    const auto first = *BpfIdentityDriver::Open({{}, RedirectMode::kBpf});
    ASSERT_TRUE(first->Attach(kTap, Direction::kEgress).ok());
    const auto second = *BpfIdentityDriver::Open({{}, RedirectMode::kBpf});
    EXPECT_EQ(second->ObservePrograms(kTap)->egress, ProgramState::kStale);
    ASSERT_TRUE(second->Attach(kTap, Direction::kEgress).ok());
    EXPECT_EQ(second->ObservePrograms(kTap)->egress, ProgramState::kOurs);
  });
}

TEST_F(AdoptionTest, AFolderThatIsNoBpffsIsRefused) {
  const testing::TempDir plain;
  const auto driver = BpfIdentityDriver::Open({plain.path().string(), RedirectMode::kBpf});
  ASSERT_FALSE(driver.ok());
  EXPECT_EQ(driver.error().code, Code::kInvalid);
}

TEST_F(AdoptionTest, TheProbeGivesAnAnswerAndLeavesNothing) {
  InNamespace([] {
    for (const RedirectMode mode : {RedirectMode::kBpf, RedirectMode::kMirred}) {
      const auto works = ProbeRedirect(mode);
      ASSERT_TRUE(works.ok()) << works.error().message;
      EXPECT_EQ(*works, *ProbeRedirect(mode));
    }
  });
}

}  // namespace
}  // namespace forkplane::bpf
