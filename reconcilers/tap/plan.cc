#include "reconcilers/tap/plan.h"

#include "controller/base/network_names.h"
#include "controller/runtime/plan_text.h"

namespace forkplane::tap {
namespace {

using drivers::LinkKind;
using drivers::ProgramState;
using drivers::TapFile;

std::string WithPid(std::string_view name, int pid) {
  return pid > 0 ? fmt::format("{} pid={}", name, pid) : std::string(name);
}

// Everything else changes the device itself.
template <typename T>
std::string_view PartOfOne(const T&) {
  return "tap";
}
std::string_view PartOfOne(const SetEntry&) { return "entry"; }
std::string_view PartOfOne(const DeleteIngress&) { return "filter"; }
std::string_view PartOfOne(const AddClsact&) { return "filter"; }
std::string_view PartOfOne(const Attach&) { return "filter"; }
std::string_view PartOfOne(const DeleteRoot&) { return "tbf"; }
std::string_view PartOfOne(const AddTbf&) { return "tbf"; }
std::string_view PartOfOne(const AddHostRoute&) { return "route"; }
std::string_view PartOfOne(const SetNeighbour&) { return "neighbour"; }
// A file that is looked for again, and what goes.
std::string_view PartOfOne(const AdoptTap&) { return ""; }
std::string_view PartOfOne(const ForgetFile&) { return ""; }
std::string_view PartOfOne(const DeleteTap&) { return ""; }
std::string_view PartOfOne(const DeleteHostRoute&) { return ""; }
std::string_view PartOfOne(const DeleteNeighbour&) { return ""; }
std::string_view PartOfOne(const DeleteEntry&) { return ""; }

// Ours, or an earlier version of ours, which translates until it is replaced.
bool Translates(ProgramState state) {
  return state == ProgramState::kOurs || state == ProgramState::kStale;
}

std::uint32_t MasterOf(const Desired& desired) {
  return desired.routed ? 0 : BridgeIndex(desired.bridge);
}

// The device is up and lets frames past that are not translated, not bounded, or for others than it
// should reach. A missing identity entry is no such case: the programs drop without one.
bool IsExposed(const Desired& desired, const Observed& observed) {
  if (!observed.link || !observed.link->up) return false;
  return !observed.clsact || !Translates(observed.programs.ingress) ||
         !Translates(observed.programs.egress) || observed.root != Root::kTbf ||
         observed.link->master != MasterOf(desired);
}

bool HasWrongIsolation(const Desired& desired, const drivers::Link& link) {
  return !desired.routed && link.up && link.isolated != desired.isolated;
}

// The device shall be there with all it needs; built up in the order of the invariants.
class Builder {
 public:
  Builder(const Desired& desired, const Observed& observed)
      : want_(desired), is_(observed), link_(observed.link.value_or(drivers::Link{})) {}

  std::vector<Action> Build() {
    if (is_.link && link_.kind == LinkKind::kTap && link_.name != TapName(want_.spec.number)) {
      return Rename();
    }
    // Not our device: another kind, or one that took the place of ours while we still hold the
    // file. DeleteTap would forget that file, so it goes as a link.
    const bool impostor = link_.kind != LinkKind::kTap || is_.file == TapFile::kDetached;
    if (is_.link && impostor) return {DeleteLink{}};
    if (is_.link && IsAbandoned()) return {DeleteTap{}};
    if (is_.link) Secure();
    if (is_.entry != want_.entry) Add(SetEntry{});
    if (!is_.link) {
      if (!Make()) return plan_;
    } else if (is_.file != TapFile::kAttached && is_.vmm == Vmm::kRunning) {
      Add(AdoptTap{is_.vmm_pid});
    }
    const bool fresh = !is_.link;
    Dress(fresh);
    if (fresh && !is_.bridge_up) Translate(false);
    if (is_.bridge_up) {
      if (want_.routed) {
        Stand(fresh);
        Reach();
      } else {
        Reach();  // nothing of a guest arrives before its way back stands
        Plug(fresh);
      }
    }
    return plan_;
  }

 private:
  template <typename T>
  void Add(T action) {
    plan_.emplace_back(action);
  }

  // Everything else goes by the name: files are told apart by it, and switches found. Older kernels
  // rename only what is down.
  std::vector<Action> Rename() {
    GoDown();
    Add(SetName{});
    return plan_;
  }

  // Comes before everything else: what lets frames past that it should not goes down, or becomes
  // isolated, before anything is mended. A mend waits for RCU for milliseconds, and guests send.
  void Secure() {
    if (IsExposed(want_, is_)) {
      GoDown();
    } else if (HasWrongIsolation(want_, link_)) {
      Add(SetPortIsolation{});
    }
  }

  void GoDown() {
    if (!link_.up) return;
    Add(SetDown{});
    link_.up = false;
    fell_ = true;
  }

  // There is a device, we hold no file of it, and nobody runs behind it: left over from a daemon
  // that died between two steps. Nothing could ever be passed on to a VMM.
  bool IsAbandoned() const { return is_.file != TapFile::kAttached && is_.vmm == Vmm::kNone; }

  // False: it is not known yet how to make it.
  bool Make() {
    if (is_.file == TapFile::kDetached) {
      Add(ReattachTap{0});
    } else if (is_.vmm == Vmm::kRunning) {
      Add(ReattachTap{is_.vmm_pid});
    } else if (is_.vmm == Vmm::kNone) {
      Add(CreateTap{});
    } else {
      return false;  // a new device would stand in the way of the one its VMM needs back
    }
    link_ = drivers::Link{};
    link_.mac = drivers::TapMac(want_.spec.number);
    link_.mtu = kMtuDefault;
    link_.alias = want_.spec.alias;
    return true;
  }

  // Everything that must be in place before a packet can pass.
  void Dress(bool fresh) {
    const bool clsact = !fresh && is_.clsact;
    if (!clsact && !fresh && is_.foreign_ingress) Add(DeleteIngress{});
    if (!clsact) Add(AddClsact{});
    if (!fresh) Translate(clsact);
    if (link_.alias != want_.spec.alias) Add(SetAlias{});
    if (link_.mtu != want_.mtu) Add(SetMtu{});
    if (fresh || !is_.ipv6_disabled) Add(DisableIpv6{});
    if (want_.routed) SwitchOnForwarding(fresh);
    const Root root = fresh ? Root::kNone : is_.root;
    if (root == Root::kTbf) return;
    if (root == Root::kOther) Add(DeleteRoot{});
    Add(AddTbf{});
  }

  // The first filter of a clsact waits for an RCU grace period, under the lock of all network
  // changes, unless one has passed since the clsact was made (mini_qdisc_pair_swap). So on a new
  // device, where nothing passes before `up`, the programs come last: what the kernel waited for
  // meanwhile, a deletion say, may be enough.
  void Translate(bool clsact) {
    if (!clsact || is_.programs.ingress != ProgramState::kOurs) {
      Add(Attach{drivers::Direction::kIngress});
    }
    if (!clsact || is_.programs.egress != ProgramState::kOurs) {
      Add(Attach{drivers::Direction::kEgress});
    }
  }

  // A TAP of a routed Network is the host's own link to its guest.
  void SwitchOnForwarding(bool fresh) {
    for (const drivers::LinkSwitch which : drivers::WantedSwitches(want_.isolated)) {
      if (fresh || !is_.switches.contains(which)) Add(SwitchOn{which});
    }
  }

  void Plug(bool fresh) {
    if (link_.mac != drivers::TapMac(want_.spec.number)) Add(SetMac{});
    if (link_.master != MasterOf(want_)) {
      Add(SetMaster{});
      if (fresh) Translate(false);
    }
    if (!link_.up) Add(SetPortUp{});
  }

  // The host answers for the gateway's address on every link, with that link's MAC.
  void Stand(bool fresh) {
    if (link_.master != MasterOf(want_)) Add(SetMaster{});
    if (fresh) Translate(false);
    if (link_.mac != kGatewayMac) Add(SetMac{});
    if (!link_.up) Add(SetUp{});
  }

  // A link that goes down loses its routes and neighbours; those of a port are on its bridge.
  void Reach() {
    const bool lost = fell_ && want_.routed;
    if (lost || !is_.host_route) Add(AddHostRoute{});
    if (lost || is_.neighbour != want_.entry.outer_mac) Add(SetNeighbour{});
  }

  const Desired& want_;
  const Observed& is_;
  drivers::Link link_;  // as it will be when `plan_` is executed
  bool fell_ = false;   // `plan_` takes it down
  std::vector<Action> plan_;
};

std::vector<Action> PlanRemoval(const Desired& desired, const Observed& observed) {
  std::vector<Action> plan;
  // Its end may have to wait for others (deletion_pool.h).
  if (IsExposed(desired, observed) || (observed.link && HasWrongIsolation(desired, *observed.link)))
    plan.emplace_back(SetDown{});
  if (observed.neighbour) plan.emplace_back(DeleteNeighbour{});
  if (observed.host_route) plan.emplace_back(DeleteHostRoute{});
  if (observed.link) {
    if (observed.link->kind == LinkKind::kTap) {
      plan.emplace_back(DeleteTap{});  // forgets the file too
    } else {
      plan.emplace_back(DeleteLink{});
    }
  } else if (observed.file != TapFile::kNone) {
    plan.emplace_back(ForgetFile{});
  }
  if (observed.entry) plan.emplace_back(DeleteEntry{});
  return plan;
}

}  // namespace

std::string ReattachTap::Text() const { return WithPid("ReattachTap", pid); }
std::string AdoptTap::Text() const { return WithPid("AdoptTap", pid); }
std::string SwitchOn::Text() const { return fmt::format("SwitchOn {}", ToString(which)); }
std::string Attach::Text() const {
  return direction == drivers::Direction::kIngress ? "AttachIngress" : "AttachEgress";
}

std::string ToString(const Action& action) { return runtime::ActionText(action); }

std::string_view PartOf(const Action& action) {
  return std::visit([](const auto& a) { return PartOfOne(a); }, action);
}

std::vector<Action> MakePlan(const Desired& desired, const Observed& observed) {
  return desired.present ? Builder(desired, observed).Build() : PlanRemoval(desired, observed);
}

std::uint32_t RouteLink(const Desired& desired) {
  return desired.routed ? TapIndex(desired.spec.number) : BridgeIndex(desired.bridge);
}

std::string WaitsFor(const Desired& desired, const Observed& observed) {
  if (!desired.present) return "Releasing";
  if (!observed.bridge_up) return "WaitingForNetwork";
  if (observed.file != TapFile::kAttached) return "WaitingForVmm";
  return {};
}

bool IsAbsent(const Observed& observed) {
  return !observed.link && observed.file == TapFile::kNone && !observed.entry &&
         !observed.host_route && !observed.neighbour;
}

}  // namespace forkplane::tap
