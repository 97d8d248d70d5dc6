// Goal: what the host loop does in each situation; above all that an IFB is never up without its
// bound. Method: a table of worlds with the printed plan.
#include "reconcilers/host/plan.h"

#include <gtest/gtest.h>

#include "controller/base/network_names.h"

namespace forkplane::host {
namespace {

Desired Wanted() {
  Desired desired;
  desired.alias = "uid-host";
  desired.capacity_bytes_per_second = 125'000'000;
  desired.default_bytes_per_second = 125'000;
  return desired;
}

Observed Converged() {
  const Desired want = Wanted();
  DomainObserved domain;
  drivers::Link link;
  link.index = IfbIndex(0);
  link.name = IfbName(0);
  link.kind = drivers::LinkKind::kIfb;
  link.alias = want.alias;
  link.up = true;
  domain.link = link;
  domain.ipv6_disabled = true;
  domain.qdiscs.root =
      drivers::ObservedRoot{"htb", kHtbHandle, std::nullopt, kDefaultClassMinor, {}};
  domain.qdiscs.classes = {{want.Root(), std::nullopt, {}},
                           {want.Default(), want.DefaultLeaf(), {}}};
  return {true, {{0, domain}}};
}

std::string Printed(const std::vector<Action>& plan) {
  std::string text;
  for (const Action& action : plan) text += (text.empty() ? "" : "; ") + ToString(action);
  return text;
}

const std::string kRoot = "AddClass fkifb0 7f00:fffe rate=125000000 ceil=125000000";
const std::string kDefault = "AddClass fkifb0 7f00:ffff rate=125000 ceil=125000";
const std::string kLeaf = "SetLeaf fkifb0 7f00:ffff limit=65536";
const std::string kBuild =
    "AddHtb fkifb0; " + kRoot + "; " + kDefault + "; " + kLeaf + "; SetUp fkifb0";

struct Case {
  const char* name;
  std::function<void(Observed&)> change;
  std::string plan;
};

void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

class HostPlanTest : public ::testing::TestWithParam<Case> {};

TEST_P(HostPlanTest, IsAsWritten) {
  Observed observed = Converged();
  GetParam().change(observed);
  EXPECT_EQ(Printed(MakePlan(Wanted(), observed)), GetParam().plan);
}

const Case kCases[] = {
    {"converged", [](Observed&) {}, ""},
    {"nothing there", [](Observed& o) { o = {}; },
     "CreateIfb fkifb0; DisableIpv6 fkifb0; " + kBuild},
    {"a pin deleted", [](Observed& o) { o.pinned = false; }, "PinPrograms"},
    {"no HTB: down first", [](Observed& o) { o.domains[0].qdiscs = {}; },
     "SetDown fkifb0; " + kBuild},
    {"foreign root: down first",
     [](Observed& o) {
       o.domains[0].qdiscs = {};
       o.domains[0].qdiscs.root = drivers::ObservedRoot{"pfifo", 0x80010000, {}, 0, {}};
     },
     "SetDown fkifb0; DeleteRoot fkifb0; " + kBuild},
    {"another default class", [](Observed& o) { o.domains[0].qdiscs.root->default_minor = 1; },
     "SetDown fkifb0; DeleteRoot fkifb0; " + kBuild},
    {"default class gone: down first", [](Observed& o) { o.domains[0].qdiscs.classes.pop_back(); },
     "SetDown fkifb0; " + kDefault + "; " + kLeaf + "; SetUp fkifb0"},
    {"default leaf gone", [](Observed& o) { o.domains[0].qdiscs.classes[1].leaf.reset(); }, kLeaf},
    {"capacity changed: in place",
     [](Observed& o) { o.domains[0].qdiscs.classes[0].htb.ceil_bytes_per_second = 9; },
     "ChangeClass fkifb0 7f00:fffe rate=125000000 ceil=125000000"},
    {"renamed", [](Observed& o) { o.domains[0].link->name = "mine0"; },
     "SetDown fkifb0; SetName fkifb0; SetUp fkifb0"},
    {"taken down", [](Observed& o) { o.domains[0].link->up = false; }, "SetUp fkifb0"},
    {"no IFB under our index",
     [](Observed& o) { o.domains[0].link->kind = drivers::LinkKind::kOther; },
     "DeleteLink fkifb0; CreateIfb fkifb0; DisableIpv6 fkifb0; " + kBuild},
};
INSTANTIATE_TEST_SUITE_P(Worlds, HostPlanTest, ::testing::ValuesIn(kCases));

TEST(HostPlanDomainsTest, AFurtherIfbComesWithItsFirstLeaseAndGoesWithItsLast) {
  Desired two = Wanted();
  two.domains = {0, 3};
  EXPECT_EQ(Printed(MakePlan(two, Converged())),
            "CreateIfb fkifb3; DisableIpv6 fkifb3; AddHtb fkifb3; AddClass fkifb3 7f00:fffe "
            "rate=125000000 ceil=125000000; AddClass fkifb3 7f00:ffff rate=125000 ceil=125000; "
            "SetLeaf fkifb3 7f00:ffff limit=65536; SetUp fkifb3");
  Observed observed = Converged();
  observed.domains[3] = observed.domains[0];
  observed.domains[3].link->name = IfbName(3);
  EXPECT_EQ(Printed(MakePlan(two, observed)), "");
  EXPECT_EQ(Printed(MakePlan(Wanted(), observed)), "DeleteLink fkifb3");
}

// ---- upload shaped on the uplink
// -----------------------------------------------------------------

constexpr std::uint32_t kUplink = 2;

Desired OnUplink() {
  Desired desired = Wanted();
  desired.domains.clear();
  desired.uplink = kUplink;
  return desired;
}

Observed ConvergedOnUplink() {
  const Desired want = OnUplink();
  UplinkObserved uplink;
  uplink.qdiscs.root =
      drivers::ObservedRoot{"htb", kHtbHandle, std::nullopt, kDefaultClassMinor, {}};
  uplink.qdiscs.classes = {{want.Host(), want.HostLeaf(), {}},
                           {want.Root(), std::nullopt, {}},
                           {want.Default(), want.DefaultLeaf(), {}}};
  uplink.classifier = drivers::ProgramState::kOurs;
  Observed observed;
  observed.uplink = std::move(uplink);
  return observed;
}

const std::string kHost =
    "AddClass fkifb0 7f00:fffd rate=125000000000 ceil=125000000000; "
    "SetLeaf fkifb0 7f00:fffd limit=4194304";
const std::string kBuildOnUplink =
    "AddHtb fkifb0; " + kRoot + "; " + kHost + "; AttachClassifier; " + kDefault + "; " + kLeaf;

class HostPlanUplinkTest : public ::testing::TestWithParam<Case> {};

TEST_P(HostPlanUplinkTest, IsAsWritten) {
  Observed observed = ConvergedOnUplink();
  GetParam().change(observed);
  EXPECT_EQ(Printed(MakePlan(OnUplink(), observed)), GetParam().plan);
}

const Case kUplinkCases[] = {
    {"converged", [](Observed&) {}, ""},
    {"nothing there: what holds the host up comes last", [](Observed& o) { o.uplink.emplace(); },
     kBuildOnUplink},
    {"no uplink", [](Observed& o) { o.uplink.reset(); }, ""},
    {"somebody's root is left alone",
     [](Observed& o) {
       o.uplink.emplace();
       o.uplink->qdiscs.root = drivers::ObservedRoot{"fq", 0x80010000, {}, 0, {}};
     },
     ""},
    {"nor is one under our handle that is no HTB",
     [](Observed& o) { o.uplink->qdiscs.root->kind = "fq"; }, ""},
    {"a HTB under our handle that is not as ours",
     [](Observed& o) { o.uplink->qdiscs.root->default_minor = 1; },
     "DeleteRoot fkifb0; " + kBuildOnUplink},
    {"classifier gone", [](Observed& o) { o.uplink->classifier = drivers::ProgramState::kNone; },
     "AttachClassifier"},
    {"another classifier",
     [](Observed& o) { o.uplink->classifier = drivers::ProgramState::kStale; }, "AttachClassifier"},
    {"host class gone",
     [](Observed& o) { o.uplink->qdiscs.classes.erase(o.uplink->qdiscs.classes.begin()); }, kHost},
    {"default class gone", [](Observed& o) { o.uplink->qdiscs.classes.pop_back(); },
     kDefault + "; " + kLeaf},
    {"capacity changed: in place",
     [](Observed& o) { o.uplink->qdiscs.classes[1].htb.ceil_bytes_per_second = 9; },
     "ChangeClass fkifb0 7f00:fffe rate=125000000 ceil=125000000"},
    {"IFBs of before go", [](Observed& o) { o.domains = Converged().domains; },
     "DeleteLink fkifb0"},
    {"another link is left", [](Observed& o) { o.left = {7}; }, "LeaveLink 7"},
};
INSTANTIATE_TEST_SUITE_P(Worlds, HostPlanUplinkTest, ::testing::ValuesIn(kUplinkCases));

TEST(HostPlanBlockerTest, WhatSomebodyPutThereIsNamed) {
  Observed observed = ConvergedOnUplink();
  EXPECT_EQ(Blocker(OnUplink(), observed), "");
  observed.uplink->qdiscs.root = drivers::ObservedRoot{"fq", 0x80010000, {}, 0, {}};
  EXPECT_EQ(Blocker(OnUplink(), observed),
            "the uplink has a root qdisc that somebody made (fq 8001:)");
  EXPECT_EQ(Blocker(Wanted(), observed), "");
}

TEST(HostPlanBlockerTest, BackOnIfbsTheUplinkIsLeft) {
  Observed observed = Converged();
  observed.left = {kUplink};
  EXPECT_EQ(Printed(MakePlan(Wanted(), observed)), "LeaveLink 2");
}

}  // namespace
}  // namespace forkplane::host
