// Goal: the invariants of prune_plan.h, each alone.
#include "controller/manifests/prune_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

namespace forkplane::manifests {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

RootIdentity NewRoot(std::uint64_t device, std::uint64_t inode) {
  return {.device = device, .inode = inode, .born_ns = 5, .path = {}};
}

RootIdentity Root() {
  RootIdentity root = NewRoot(1, 2);
  root.path = "/srv/manifests";
  return root;
}

Gone Left(const std::string& kind, const std::string& name) {
  return {.record = {.key = {{"", "things"}, "default", name},
                     .kind = kind,
                     .source = "/srv/manifests",
                     .uid = "uid-" + name,
                     .path = name + ".yaml",
                     .line = 1,
                     .root = Root(),
                     .last_applied = {}},
          .revision = 7,
          .takes = {}};
}

Observed World(std::vector<Gone> gone) {
  Observed observed;
  observed.source = "/srv/manifests";
  observed.root = Root();
  observed.owned = 100;
  observed.understood = 90;
  observed.gone = std::move(gone);
  return observed;
}

std::string OneReason(const Observed& observed) {
  const PrunePlan plan = PlanPrune(observed);
  EXPECT_THAT(plan.prune, IsEmpty());
  return plan.kept.size() == 1 ? plan.kept[0].hold.reason : "none";
}

TEST(PrunePlanTest, WhatNeedsOthersGoesFirst) {
  const PrunePlan plan = PlanPrune(World({Left("Namespace", "ns"), Left("Network", "net"),
                                          Left("ForkSet", "fs"), Left("VirtualMachine", "vm")}));
  std::string order;
  for (const Gone& gone : plan.prune) order += gone.record.key.name + " ";
  EXPECT_EQ(order, "fs vm net ns ");
  EXPECT_THAT(plan.kept, IsEmpty());
}

TEST(PrunePlanTest, AHoldOfThePassHoldsAllAndLeavesWhatIsRecorded) {
  Observed observed = World({Left("VirtualMachine", "vm")});
  observed.gone[0].record.confirmed = true;
  observed.hold = Hold{"DocumentRefused", "why"};
  EXPECT_EQ(OneReason(observed), "DocumentRefused");
  EXPECT_EQ(PlanPrune(observed).held_objects, "");
}

TEST(PrunePlanTest, EachCauseHoldsItsObjectAlone) {
  const auto with = [](const std::function<void(Observed&)>& change) {
    Observed observed = World({Left("VirtualMachine", "vm"), Left("VirtualMachine", "free")});
    change(observed);
    const PrunePlan plan = PlanPrune(observed);
    EXPECT_THAT(plan.prune, SizeIs(1));
    return plan.kept.size() == 1 ? plan.kept[0].hold.reason : std::string("none");
  };
  EXPECT_EQ(with([](Observed& o) { o.gone[0].record.source = "/elsewhere"; }), "OtherDirectory");
  EXPECT_EQ(with([](Observed& o) { o.gone[0].record.root.device = 9; }), "RootReplaced");
  EXPECT_EQ(with([](Observed& o) { o.gone[0].record.root.inode = 9; }), "RootReplaced");
  EXPECT_EQ(with([](Observed& o) { o.gone[0].record.root.born_ns = 9; }), "RootReplaced")
      << "the inode was given again";
  EXPECT_EQ(with([](Observed& o) { o.gone[0].record.mount = "team"; }), "RootReplaced");
  EXPECT_EQ(with([](Observed& o) { o.gone[0].takes = {"ConfigMap a/b"}; }), "ContentOfOthers");
  EXPECT_EQ(with([](Observed& o) { o.files["vm.yaml"].blank = true; }), "FileWithoutObjects");
  EXPECT_EQ(with([](Observed& o) { o.files["vm.yaml"].foreign = true; }), "FileWithoutObjects");
  EXPECT_EQ(with([](Observed& o) { o.files["vm.yaml"].cut = true; }), "FileCut");
}

TEST(PrunePlanTest, ALinkThatWasSwappedOnOneFileSystemIsANewStateOfTheSameDirectory) {
  Observed observed = World({Left("VirtualMachine", "vm")});
  observed.root = NewRoot(1, 77);
  observed.root.path = "/srv/trees/second";
  EXPECT_THAT(PlanPrune(observed).prune, SizeIs(1));
  observed.root.device = 9;
  EXPECT_EQ(OneReason(observed), "RootReplaced");
}

TEST(PrunePlanTest, AFileThatWasCommentedOutOrHoldsOthersYetIsNoCause) {
  Observed observed = World({Left("VirtualMachine", "vm")});
  observed.files["vm.yaml"] = {};
  EXPECT_THAT(PlanPrune(observed).prune, SizeIs(1));
  observed.files["vm.yaml"].objects = 3;
  EXPECT_THAT(PlanPrune(observed).prune, SizeIs(1));
}

TEST(PrunePlanTest, HalfOfWhatIsOwnedIsTheBoundOnceThereAreMoreThanThree) {
  const auto pruned = [](std::size_t owned, std::size_t gone, std::optional<std::size_t> most) {
    std::vector<Gone> left;
    for (std::size_t i = 0; i < gone; ++i) {
      left.push_back(Left("VirtualMachine", "vm" + std::to_string(i)));
    }
    Observed observed = World(std::move(left));
    observed.owned = owned;
    observed.prune_max = most;
    const PrunePlan plan = PlanPrune(observed);
    EXPECT_TRUE(plan.prune.empty() || plan.kept.empty()) << "all or nothing";
    return plan.prune.size();
  };
  EXPECT_EQ(pruned(3, 3, {}), 3U);
  EXPECT_EQ(pruned(4, 2, {}), 2U);
  EXPECT_EQ(pruned(4, 3, {}), 0U);
  EXPECT_EQ(pruned(5, 3, {}), 0U);
  EXPECT_EQ(pruned(5, 3, 3), 3U);
  EXPECT_EQ(pruned(1, 1, 0), 0U);
}

TEST(PrunePlanTest, AWordCountsForItsSetOnly) {
  Observed observed = World({Left("VirtualMachine", "a"), Left("VirtualMachine", "b")});
  observed.prune_max = 0;
  const std::string objects = PlanPrune(observed).held_objects;
  ASSERT_NE(objects, "");
  observed.held = {"word", objects};
  observed.prune_word = "word";
  PrunePlan plan = PlanPrune(observed);
  EXPECT_THAT(plan.prune, SizeIs(2));
  EXPECT_THAT(plan.confirm, SizeIs(2)) << "durable before anything is deleted";
  EXPECT_EQ(plan.held_objects, "");

  observed.gone[0].record.uid = "another";
  EXPECT_THAT(PlanPrune(observed).prune, IsEmpty());
  observed.gone[0] = Left("VirtualMachine", "a");
  observed.gone.push_back(Left("VirtualMachine", "c"));
  EXPECT_THAT(PlanPrune(observed).prune, IsEmpty());
  observed.gone.pop_back();
  observed.prune_word = "other";
  EXPECT_THAT(PlanPrune(observed).prune, IsEmpty());
  observed.prune_word = "";
  observed.held.token = "";
  EXPECT_THAT(PlanPrune(observed).prune, IsEmpty()) << "no word is no word";
  observed.held.token = "word";
  observed.keep_word = "word";
  plan = PlanPrune(observed);
  EXPECT_THAT(plan.disown, SizeIs(2));
  EXPECT_THAT(plan.prune, IsEmpty());
}

TEST(PrunePlanTest, WhatIsConfirmedStaysSo) {
  Observed observed = World({Left("VirtualMachine", "a"), Left("VirtualMachine", "b")});
  observed.prune_max = 0;
  observed.understood = 0;
  observed.gone[0].record.confirmed = true;
  const PrunePlan plan = PlanPrune(observed);
  ASSERT_THAT(plan.prune, SizeIs(1));
  EXPECT_EQ(plan.prune[0].record.key.name, "a");
  ASSERT_THAT(plan.kept, SizeIs(1));
  EXPECT_EQ(plan.kept[0].hold.reason, "DirectoryEmptied");
}

}  // namespace
}  // namespace forkplane::manifests
