// The TAP of one interface lease: device, clsact, both programs, identity entry, the existence of
// its TBF, bridge membership, isolation, up; the /32 route and permanent neighbour on its bridge,
// or, in a routed Network, on the TAP itself, which then has the gateway's MAC and no master.
//
// Invariants (plan tables and the convergence suite hold them):
//   - Fixpoint: the plan of a world that matches is empty; otherwise its actions, executed on a
//     world that stands still, make it match.
//   - Never up un-isolated, without both programs, without an identity entry or without a bound,
//     not even between two actions: qdiscs, entry and programs come before `up`, isolation comes
//     in the same message. A device that is found so, whoever did it, is taken down (or isolated)
//     by the first action of the plan, mended, and then raised: to mend takes milliseconds, in
//     which its guest would go on sending. A program of an earlier version translates too, and is
//     replaced without a packet in between.
//   - The entry stands before the programs, and goes after the device: no window in which a packet
//     passes untranslated. No entry means drop.
//   - A device is found by its leased index, never by name: a lease's index is not given out again
//     before this loop saw the device gone (ledger ConfirmAbsent), so a stale intent cannot touch a
//     newer TAP and nothing is deleted by a name that may mean another (upstream faults W3, W14).
//   - Rate, burst and limit of the TBF belong to the shaping loop: here only "there is one".
//   - A running VMM keeps its guest: a device that somebody deleted is made again behind the file
//     the VMM has. A device whose VMM is not known yet is left alone, not replaced.
//
// A released address is free only after the kernel forgot its flows (reconciler.h), so its next
// owner gets nothing that was meant for the last one (W16).
//
// Excluded by this design: W11 (state only in memory), W17 (collection by age), W19 (the entry pins
// MAC and IP, the neighbour is permanent), W6 (no identity in copied files).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "drivers/identity_driver.h"
#include "drivers/link_driver.h"
#include "drivers/qdisc_driver.h"
#include "drivers/sysctl_driver.h"
#include "drivers/tap_driver.h"

namespace forkplane::tap {

// What the lease asks for. `present` false: the lease is being released; what the TAP should be is
// used only to tell whether it is safe until it is gone.
struct Desired {
  bool present = true;
  drivers::TapSpec spec;     // number, owner's uid as alias, what the hypervisor wants
  std::uint32_t bridge = 0;  // number; routed: the one that has the gateway's address
  bool routed = false;       // no port of it: route and neighbour are on the TAP
  bool isolated = true;
  std::uint32_t mtu = 1500;
  drivers::IdentityEntry entry;
  drivers::Tbf unshaped;  // of a new TBF while the interface's own rate is not known
  Ipv4 address;           // outer
  bool operator==(const Desired&) const = default;
};

// What is known of the process that has the TAP open. Unknown: after a restart, while the ledger
// has a VMM on record, or somebody holds the device, and the VM loop has not looked yet.
enum class Vmm : std::uint8_t { kUnknown, kNone, kRunning };

// The root qdisc of the device; a TBF is ours by its handle.
enum class Root : std::uint8_t { kNone, kTbf, kOther };

struct Observed {
  std::optional<drivers::Link> link;
  drivers::TapFile file = drivers::TapFile::kNone;
  bool ipv6_disabled = false;
  // Routed: of drivers::kGuestLinkSwitches, that are on.
  std::set<drivers::LinkSwitch> switches = {};
  bool clsact = false;
  bool foreign_ingress = false;  // another qdisc in its place
  Root root = Root::kNone;
  drivers::AttachedPrograms programs;
  std::optional<drivers::IdentityEntry> entry;
  bool bridge_up = false;  // the bridge is there and up
  bool host_route = false;
  std::optional<MacAddress> neighbour;
  Vmm vmm = Vmm::kUnknown;
  int vmm_pid = 0;
};

struct SetEntry {
  static constexpr std::string_view kName = "SetEntry";
};
struct CreateTap {
  static constexpr std::string_view kName = "CreateTap";
};
struct ReattachTap {
  int pid = 0;  // 0: behind the kept file
  std::string Text() const;
};
struct AdoptTap {
  int pid = 0;
  std::string Text() const;
};
struct ForgetFile {
  static constexpr std::string_view kName = "ForgetFile";
};
struct DeleteTap {
  static constexpr std::string_view kName = "DeleteTap";
};
struct DeleteLink {  // something that is no TAP under our index
  static constexpr std::string_view kName = "DeleteLink";
};
struct SetName {
  static constexpr std::string_view kName = "SetName";
};
struct SetAlias {
  static constexpr std::string_view kName = "SetAlias";
};
struct SetMtu {
  static constexpr std::string_view kName = "SetMtu";
};
struct DisableIpv6 {
  static constexpr std::string_view kName = "DisableIpv6";
};
struct SwitchOn {  // routed
  drivers::LinkSwitch which = drivers::LinkSwitch::kForwarding;
  std::string Text() const;
};
struct DeleteIngress {  // what stands where clsact should
  static constexpr std::string_view kName = "DeleteIngress";
};
struct AddClsact {
  static constexpr std::string_view kName = "AddClsact";
};
struct Attach {
  drivers::Direction direction = drivers::Direction::kIngress;
  std::string Text() const;
};
struct DeleteRoot {
  static constexpr std::string_view kName = "DeleteRoot";
};
struct AddTbf {
  static constexpr std::string_view kName = "AddTbf";
};
struct SetDown {
  static constexpr std::string_view kName = "SetDown";
};
struct SetMaster {
  static constexpr std::string_view kName = "SetMaster";
};
struct SetPortUp {
  static constexpr std::string_view kName = "SetPortUp";
};
struct SetMac {  // TapMac; routed: that of the gateway, which the TAP is
  static constexpr std::string_view kName = "SetMac";
};
struct SetUp {
  static constexpr std::string_view kName = "SetUp";
};  // routed
struct SetPortIsolation {
  static constexpr std::string_view kName = "SetPortIsolation";
};
struct AddHostRoute {
  static constexpr std::string_view kName = "AddHostRoute";
};
struct SetNeighbour {
  static constexpr std::string_view kName = "SetNeighbour";
};
struct DeleteHostRoute {
  static constexpr std::string_view kName = "DeleteHostRoute";
};
struct DeleteNeighbour {
  static constexpr std::string_view kName = "DeleteNeighbour";
};
struct DeleteEntry {
  static constexpr std::string_view kName = "DeleteEntry";
};

using Action =
    std::variant<SetEntry, CreateTap, ReattachTap, AdoptTap, ForgetFile, DeleteTap, DeleteLink,
                 SetName, SetAlias, SetMtu, DisableIpv6, SwitchOn, DeleteIngress, AddClsact, Attach,
                 DeleteRoot, AddTbf, SetDown, SetMaster, SetPortUp, SetMac, SetUp, SetPortIsolation,
                 AddHostRoute, SetNeighbour, DeleteHostRoute, DeleteNeighbour, DeleteEntry>;
std::string ToString(const Action& action);
// What the action puts back when it had stood before; "" when it makes nothing.
std::string_view PartOf(const Action& action);

std::vector<Action> MakePlan(const Desired& desired, const Observed& observed);

// The index of the link that route and neighbour of the interface are on.
std::uint32_t RouteLink(const Desired& desired);

// Why an empty plan does not mean ready; empty when it does. CamelCase, a condition's reason.
std::string WaitsFor(const Desired& desired, const Observed& observed);
// Nothing of the lease is left on the host.
bool IsAbsent(const Observed& observed);

}  // namespace forkplane::tap
