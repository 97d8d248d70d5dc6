// Goal: what the tap loop does in each situation, and in which order. Method: a table of worlds,
// each a change to the converged one, and the printed plan.
#include "reconcilers/tap/plan.h"

#include <gtest/gtest.h>

#include "controller/base/network_names.h"

namespace forkplane::tap {
namespace {

using drivers::LinkKind;
using drivers::ProgramState;
using drivers::TapFile;

Desired Wanted() {
  Desired desired;
  desired.spec.number = 1;
  desired.spec.alias = "uid-a";
  desired.address = Ipv4{0x0a000003};
  desired.entry = {InnerMac(0), OuterMac(1), Ipv4{0x0a000002}, desired.address, Ipv4{0x0a000001}};
  desired.unshaped = {625'000, 6'250, 65'536};
  return desired;
}

Observed Converged() {
  Observed observed;
  drivers::Link link;
  link.index = TapIndex(1);
  link.name = TapName(1);
  link.kind = LinkKind::kTap;
  link.alias = "uid-a";
  link.mac = drivers::TapMac(1);
  link.mtu = 1500;
  link.master = BridgeIndex(0);
  link.up = true;
  link.isolated = true;
  observed.link = link;
  observed.file = TapFile::kAttached;
  observed.ipv6_disabled = true;
  observed.clsact = true;
  observed.root = Root::kTbf;
  observed.programs = {ProgramState::kOurs, ProgramState::kOurs};
  observed.entry = Wanted().entry;
  observed.bridge_up = true;
  observed.host_route = true;
  observed.neighbour = OuterMac(1);
  observed.vmm = Vmm::kNone;
  return observed;
}

Observed Empty() {
  Observed observed;
  observed.bridge_up = true;
  observed.vmm = Vmm::kNone;
  return observed;
}

std::string Printed(const std::vector<Action>& plan) {
  std::string text;
  for (const Action& action : plan) text += (text.empty() ? "" : ", ") + ToString(action);
  return text;
}

constexpr const char* kDress =
    "AddClsact, DisableIpv6, AddTbf, AddHostRoute, SetNeighbour, SetMaster, AttachIngress, "
    "AttachEgress, SetPortUp";

struct Case {
  const char* name;
  std::function<void(Desired&, Observed&)> change;
  std::string plan;
};

void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

class TapPlanTest : public ::testing::TestWithParam<Case> {};

TEST_P(TapPlanTest, IsAsWritten) {
  Desired desired = Wanted();
  Observed observed = Converged();
  GetParam().change(desired, observed);
  EXPECT_EQ(Printed(MakePlan(desired, observed)), GetParam().plan);
}

// The converged world of a routed Network.
void Route(Desired& desired, Observed& observed) {
  desired.routed = true;
  observed.link->master = 0;
  observed.link->isolated = false;
  observed.link->mac = kGatewayMac;
  observed.switches = {drivers::kGuestLinkSwitches.begin(), drivers::kGuestLinkSwitches.end()};
}

const Case kCases[] = {
    {"converged", [](Desired&, Observed&) {}, ""},
    {"routed, converged", Route, ""},
    {"routed, nothing there: programs before up",
     [](Desired& d, Observed& o) {
       d.routed = true;
       o = Empty();
     },
     "SetEntry, CreateTap, AddClsact, DisableIpv6, SwitchOn forwarding, SwitchOn rp_filter, "
     "SwitchOn src_valid_mark, "
     "AddTbf, AttachIngress, AttachEgress, SetMac, SetUp, AddHostRoute, SetNeighbour"},
    {"routed, put into a bridge by somebody",
     [](Desired& d, Observed& o) {
       Route(d, o);
       o.link->master = BridgeIndex(0);
     },
     "SetDown, SetMaster, SetUp, AddHostRoute, SetNeighbour"},
    {"routed, with another MAC",
     [](Desired& d, Observed& o) {
       Route(d, o);
       o.link->mac = OuterMac(9);
     },
     "SetMac"},
    {"routed, its switches off",
     [](Desired& d, Observed& o) {
       Route(d, o);
       o.switches.clear();
     },
     "SwitchOn forwarding, SwitchOn rp_filter, SwitchOn src_valid_mark"},
    {"with the MAC of a guest", [](Desired&, Observed& o) { o.link->mac = OuterMac(1); }, "SetMac"},
    {"nothing there", [](Desired&, Observed& o) { o = Empty(); },
     std::string("SetEntry, CreateTap, ") + kDress},
    {"no bridge yet",
     [](Desired&, Observed& o) {
       o = Empty();
       o.bridge_up = false;
     },
     "SetEntry, CreateTap, AddClsact, DisableIpv6, AddTbf, AttachIngress, AttachEgress"},
    {"another mtu",
     [](Desired& d, Observed& o) {
       o = Empty();
       o.bridge_up = false;
       d.mtu = 1400;
     },
     "SetEntry, CreateTap, AddClsact, SetMtu, DisableIpv6, AddTbf, AttachIngress, AttachEgress"},
    {"deleted under a VMM whose file we hold",
     [](Desired&, Observed& o) {
       o.link.reset();
       o.clsact = false;
       o.root = Root::kNone;
       o.host_route = false;
       o.neighbour.reset();
       o.file = TapFile::kDetached;
       o.vmm = Vmm::kRunning;
       o.vmm_pid = 7;
     },
     std::string("ReattachTap, ") + kDress},
    {"deleted under a VMM of the daemon before",
     [](Desired&, Observed& o) {
       o.link.reset();
       o.host_route = false;
       o.neighbour.reset();
       o.file = TapFile::kNone;
       o.vmm = Vmm::kRunning;
       o.vmm_pid = 7;
     },
     std::string("ReattachTap pid=7, ") + kDress},
    {"deleted, and whether a VMM runs is not known",
     [](Desired&, Observed& o) {
       o.link.reset();
       o.file = TapFile::kNone;
       o.vmm = Vmm::kUnknown;
     },
     ""},
    {"after a restart, VMM known",
     [](Desired&, Observed& o) {
       o.file = TapFile::kNone;
       o.vmm = Vmm::kRunning;
       o.vmm_pid = 7;
     },
     "AdoptTap pid=7"},
    {"after a restart, VMM not known yet",
     [](Desired&, Observed& o) {
       o.file = TapFile::kNone;
       o.vmm = Vmm::kUnknown;
     },
     ""},
    {"left over, nobody behind it", [](Desired&, Observed& o) { o.file = TapFile::kNone; },
     "DeleteTap"},
    {"an impostor took the place of ours",
     [](Desired&, Observed& o) { o.file = TapFile::kDetached; }, "DeleteLink"},
    {"no TAP under our index", [](Desired&, Observed& o) { o.link->kind = LinkKind::kBridge; },
     "DeleteLink"},
    {"renamed", [](Desired&, Observed& o) { o.link->name = "mine0"; }, "SetDown, SetName"},
    {"renamed while it is down, and its file seems detached",
     [](Desired&, Observed& o) {
       o.link->name = "mine0";
       o.link->up = false;
       o.file = TapFile::kDetached;
     },
     "SetName"},
    {"another qdisc where clsact should stand",
     [](Desired&, Observed& o) {
       o.clsact = false;
       o.foreign_ingress = true;
     },
     "SetDown, DeleteIngress, AddClsact, AttachIngress, AttachEgress, SetPortUp"},
    {"alias lost", [](Desired&, Observed& o) { o.link->alias = ""; }, "SetAlias"},
    {"clsact lost, and the programs with it", [](Desired&, Observed& o) { o.clsact = false; },
     "SetDown, AddClsact, AttachIngress, AttachEgress, SetPortUp"},
    {"stale ingress program",
     [](Desired&, Observed& o) { o.programs.ingress = ProgramState::kStale; }, "AttachIngress"},
    {"egress program lost", [](Desired&, Observed& o) { o.programs.egress = ProgramState::kNone; },
     "SetDown, AttachEgress, SetPortUp"},
    {"a program of somebody before ours",
     [](Desired&, Observed& o) { o.programs.ingress = ProgramState::kForeign; },
     "SetDown, AttachIngress, SetPortUp"},
    {"clsact, entry and isolation lost, and taken out of the bridge: down before all else",
     [](Desired&, Observed& o) {
       o.clsact = false;
       o.entry.reset();
       o.link->isolated = false;
       o.link->master = 0;
     },
     "SetDown, SetEntry, AddClsact, AttachIngress, AttachEgress, SetMaster, SetPortUp"},
    {"isolation and alias lost: isolation first",
     [](Desired&, Observed& o) {
       o.link->isolated = false;
       o.link->alias = "";
     },
     "SetPortIsolation, SetAlias"},
    {"clsact lost without a bridge: down, and up again when there is one",
     [](Desired&, Observed& o) {
       o.clsact = false;
       o.bridge_up = false;
     },
     "SetDown, AddClsact, AttachIngress, AttachEgress"},
    {"routed, clsact lost: route and neighbour went with the link",
     [](Desired& d, Observed& o) {
       Route(d, o);
       o.clsact = false;
     },
     "SetDown, AddClsact, AttachIngress, AttachEgress, SetUp, AddHostRoute, SetNeighbour"},
    {"entry lost, programs stale: entry first",
     [](Desired&, Observed& o) {
       o.entry.reset();
       o.programs.ingress = ProgramState::kStale;
     },
     "SetEntry, AttachIngress"},
    {"entry of another", [](Desired&, Observed& o) { o.entry->outer_address.value += 1; },
     "SetEntry"},
    {"TBF lost", [](Desired&, Observed& o) { o.root = Root::kNone; }, "SetDown, AddTbf, SetPortUp"},
    {"foreign root", [](Desired&, Observed& o) { o.root = Root::kOther; },
     "SetDown, DeleteRoot, AddTbf, SetPortUp"},
    {"taken out of the bridge: down first", [](Desired&, Observed& o) { o.link->master = 0; },
     "SetDown, SetMaster, SetPortUp"},
    {"taken down", [](Desired&, Observed& o) { o.link->up = false; }, "SetPortUp"},
    {"isolation lost", [](Desired&, Observed& o) { o.link->isolated = false; }, "SetPortIsolation"},
    {"isolation switched off", [](Desired& d, Observed&) { d.isolated = false; },
     "SetPortIsolation"},
    {"route lost", [](Desired&, Observed& o) { o.host_route = false; }, "AddHostRoute"},
    {"neighbour spoofed", [](Desired&, Observed& o) { o.neighbour = OuterMac(2); }, "SetNeighbour"},
    {"released", [](Desired& d, Observed&) { d.present = false; },
     "DeleteNeighbour, DeleteHostRoute, DeleteTap, DeleteEntry"},
    {"released, and the programs are lost: down before it waits for its end",
     [](Desired& d, Observed& o) {
       d.present = false;
       o.programs = {};
     },
     "SetDown, DeleteNeighbour, DeleteHostRoute, DeleteTap, DeleteEntry"},
    {"released, device gone already",
     [](Desired& d, Observed& o) {
       d.present = false;
       o = Empty();
       o.file = TapFile::kDetached;
       o.entry = Wanted().entry;
     },
     "ForgetFile, DeleteEntry"},
    {"released and gone",
     [](Desired& d, Observed& o) {
       d.present = false;
       o = Empty();
     },
     ""},
};
INSTANTIATE_TEST_SUITE_P(Worlds, TapPlanTest, ::testing::ValuesIn(kCases));

TEST(TapWaitTest, SaysWhatItWaitsFor) {
  EXPECT_EQ(WaitsFor(Wanted(), Converged()), "");
  Observed observed = Converged();
  observed.bridge_up = false;
  EXPECT_EQ(WaitsFor(Wanted(), observed), "WaitingForNetwork");
  observed = Converged();
  observed.file = TapFile::kNone;
  EXPECT_EQ(WaitsFor(Wanted(), observed), "WaitingForVmm");
  EXPECT_FALSE(IsAbsent(Converged()));
  EXPECT_TRUE(IsAbsent(Empty()));
}

}  // namespace
}  // namespace forkplane::tap
