// Goal: what the store lost is held and told once, and nothing is called an
// orphan too early. Method: a table of situations.
#include "reconcilers/orphan/plan.h"

#include <gtest/gtest.h>

namespace forkplane::orphan {
namespace {

Observed Two() {
  Observed observed;
  observed.synced = true;
  observed.leases = {{"u2", "default/b", false}, {"u1", "default/a", false}};
  return observed;
}

std::string Planned(const Observed& observed) {
  std::string text;
  for (const Action& action : MakePlan(observed)) {
    if (!text.empty()) text += "; ";
    text += ToString(action);
  }
  return text;
}

TEST(OrphanPlanTest, NothingIsAnOrphanBeforeTheStoreWasRead) {
  Observed observed = Two();
  observed.synced = false;
  EXPECT_EQ(Planned(observed), "");
}

TEST(OrphanPlanTest, WhatTheStoreHasIsNone) {
  Observed observed = Two();
  observed.known = {"u1", "u2"};
  EXPECT_EQ(Planned(observed), "");
}

TEST(OrphanPlanTest, ALostVmIsToldOnceAndHeld) {
  Observed observed = Two();
  observed.known = {"u2"};
  EXPECT_EQ(Planned(observed), "record event of default/a; hold [default/a]");
  observed.recorded = {"u1"};
  observed.held = {"default/a"};
  EXPECT_EQ(Planned(observed), "");
}

TEST(OrphanPlanTest, ALostStoreHoldsEverythingInOrder) {
  EXPECT_EQ(Planned(Two()),
            "record event of default/b; record event of default/a; hold [default/a, default/b]");
}

TEST(OrphanPlanTest, WhatEndsByOurOwnHandIsNone) {
  Observed observed = Two();
  observed.leases[0].releasing = true;
  observed.known = {"u1"};
  EXPECT_EQ(Planned(observed), "");
}

TEST(OrphanPlanTest, OneThatCameBackIsLetGo) {
  Observed observed = Two();
  observed.known = {"u1", "u2"};
  observed.recorded = {"u1"};
  observed.held = {"default/a"};
  EXPECT_EQ(Planned(observed), "forget event of u1; hold []");
}

}  // namespace
}  // namespace forkplane::orphan
