// Goal: from every small world, with any one fault at any driver call, the tap loop makes the TAP
// what its lease says, heals it under a running VMM, and leaves no trace of a released one; and on
// the way a TAP is never up unless it is isolated, translated and bounded: one that is found so is
// secured by the first call that succeeds.
// Method: a right world is broken by one or two drifts of a list, with and without a VMM behind the
// TAP; each broken world is run once clean and once per call and kind of fault; then the loop runs
// on undisturbed. The judge reads the fake host and compares it with values written here by hand:
// it knows no planner. After a crash the files of the daemon are gone, as they would be.
#include "controller/base/rng.h"
#include "drivers/fault/fault.h"
#include "reconcilers/tap/reconciler.h"
#include "tests/convergence/support.h"
#include "tests/support/fake_drivers.h"
#include "tests/support/memory_ledger.h"

namespace forkplane::tap {
namespace {

using convergence::Mutant;
using convergence::Report;
using drivers::ProgramState;

constexpr std::uint32_t kNumber = 1;
constexpr std::uint32_t kTap = 0x46000001;
constexpr std::uint32_t kBridge = 0x48000000;
constexpr std::uint32_t kOtherBridge = 0x48000001;
constexpr pid_t kVmmPid = 4711;
const Ipv4 kAddress{0x0a000003};  // the first that is not reserved
const MacAddress kOuter = OuterMac(kNumber);
const Ipv4 kDns{0x01010101};
const drivers::IdentityEntry kEntry = {
    InnerMac(0), kOuter, Ipv4{0x0a000002}, kAddress, Ipv4{0x0a000001}, 24, 1500, {kDns}};

// Masqueraded: the reply goes to the host.
const Ipv4 kPeer{0x08080808};
const Ipv4 kUplinkAddress{0xc0000205};
const fake::FakeFlow kOwnFlow = {kAddress, kPeer, kPeer, kUplinkAddress};
const fake::FakeFlow kFlowOfAnother = {Ipv4{0x0a000004}, kPeer, kPeer, kUplinkAddress};

// ---- worlds -----------------------------------------------------------------------------------

using Drift = std::function<void(fake::State&)>;
struct NamedDrift {
  const char* name;
  Drift apply;
  bool on_bridge = false;  // nothing of a routed interface is there
};

// Applies to the TAP when it is there.
Drift OnTap(std::function<void(fake::FakeLink&)> change) {
  return [change](fake::State& state) {
    if (auto* link = fake::Find(state, kTap)) change(*link);
  };
}

void LoseClsact(fake::FakeLink& tap) {
  tap.clsact = false;
  tap.programs = {};
}

const std::vector<NamedDrift> kDrifts = {
    {"device deleted", [](fake::State& s) { static_cast<void>(fake::RemoveLink(s, kTap)); }},
    {"daemon restarted",
     [](fake::State& s) {
       s.kept.clear();
       fake::SweepTaps(s);
     }},
    {"clsact deleted", OnTap(LoseClsact)},
    {"ingress stale", OnTap([](auto& t) { t.programs.ingress = ProgramState::kStale; })},
    {"a program before ours", OnTap([](auto& t) { t.programs.ingress = ProgramState::kForeign; })},
    {"egress deleted", OnTap([](auto& t) { t.programs.egress = ProgramState::kNone; })},
    {"bucket deleted", OnTap([](auto& t) { t.root.reset(); })},
    {"foreign root", OnTap([](auto& t) {
       t.root = drivers::ObservedRoot{"pfifo", 0x80010000, {}, 0, {}};
     })},
    {"out of the bridge", OnTap([](auto& t) {
       t.link.master = 0;
       t.link.isolated = false;
     })},
    {"in another bridge", OnTap([](auto& t) {
       t.link.master = kOtherBridge;
       t.link.isolated = true;
     })},
    {"not isolated", OnTap([](auto& t) { t.link.isolated = false; })},
    {"down", OnTap([](auto& t) { t.link.up = false; })},
    {"renamed", OnTap([](auto& t) { t.link.name = "mine0"; })},
    {"alias lost", OnTap([](auto& t) { t.link.alias = ""; })},
    {"MAC of a guest", OnTap([](auto& t) { t.link.mac = kOuter; })},
    {"forwards nothing", OnTap([](auto& t) { t.switches.clear(); })},
    {"mtu changed", OnTap([](auto& t) { t.link.mtu = 9000; })},
    {"ipv6 on", OnTap([](auto& t) { t.ipv6_disabled = false; })},
    {"entry deleted", [](fake::State& s) { s.entries.erase(kTap); }},
    {"entry of another",
     [](fake::State& s) {
       if (s.entries.contains(kTap)) s.entries[kTap].outer_address = Ipv4{0x0a000009};
     }},
    {"route deleted", [](fake::State& s) { s.links.at(kBridge).host_routes.clear(); }, true},
    {"neighbour deleted", [](fake::State& s) { s.links.at(kBridge).neighbours.clear(); }, true},
    {"neighbour hijacked",
     [](fake::State& s) { s.links.at(kBridge).neighbours[kAddress] = OuterMac(9); }, true},
    {"entry left behind", [](fake::State& s) { s.entries[kTap] = kEntry; }},
};

struct World {
  bool built = true;  // start from the right TAP, else from none
  bool vmm = false;   // a VMM runs behind it
  bool releasing = false;
  bool routed = false;
  bool newborn = false;  // leased after the loop began: nothing of it is built
  std::vector<const NamedDrift*> drifts = {};

  std::string Name() const {
    std::string text = fmt::format("{}{}{}{}{}", built ? "built" : "empty", vmm ? " vmm" : "",
                                   releasing ? " releasing" : "", routed ? " routed" : "",
                                   newborn ? " newborn" : "");
    for (const auto* drift : drifts) text += fmt::format(", {}", drift->name);
    return text;
  }
};

void ClaimInterface(ledger::Ledger& ledger) { testing::ClaimOne(ledger, "uid-a", "a"); }

std::unique_ptr<ledger::Ledger> MakeLedger(const World& world) {
  static SeededRng rng(1);
  ledger::NetworkParameters network = testing::NetworkOf("10.0.0.0/24");
  network.dns = {kDns};
  network.routed = world.routed;
  auto ledger = testing::MemoryLedgerWith(network, RealClock(), rng);
  if (!world.newborn) ClaimInterface(*ledger);
  if (world.releasing) CHECK(ledger->Release("uid-a").ok());
  return ledger;
}

void BuildTap(const World& world, fake::FakeKernel& kernel) {
  drivers::TapSpec spec;
  spec.number = kNumber;
  spec.alias = "uid-a";
  CHECK(fake::FakeTapDriver(kernel).Create(spec).ok());
  kernel.Change([&](fake::State& state) {
    fake::FakeLink& tap = state.links.at(kTap);
    tap.ipv6_disabled = true;
    tap.clsact = true;
    tap.programs = {ProgramState::kOurs, ProgramState::kOurs};
    tap.root =
        drivers::ObservedRoot{"tbf", kTbfHandle, drivers::Tbf{625'000, 6'250, 65'536}, 0, {}};
    tap.link.master = world.routed ? 0 : kBridge;
    tap.link.isolated = !world.routed;
    if (world.routed) {
      tap.link.mac = kGatewayMac;
      tap.switches = {drivers::kGuestLinkSwitches.begin(), drivers::kGuestLinkSwitches.end()};
    }
    tap.link.up = true;
    state.entries[kTap] = kEntry;
    fake::FakeLink& way = state.links.at(world.routed ? kTap : kBridge);
    way.host_routes.insert(kAddress);
    way.neighbours[kAddress] = kOuter;
    return true;
  });
}

void Build(const World& world, fake::FakeKernel& kernel) {
  fake::FakeLinkDriver links(kernel);
  CHECK(links.CreateBridge({0, kGatewayMac, "net", 1500}).ok());
  CHECK(links.CreateBridge({1, kGatewayMac, "other", 1500}).ok());
  CHECK(links.SetUp(kBridge, true).ok());
  kernel.Change([](fake::State& state) {
    state.flows = {kOwnFlow, kFlowOfAnother};
    return true;
  });
  if (world.built) BuildTap(world, kernel);
  if (world.vmm) kernel.Hold(kNumber, kVmmPid);
  kernel.Change([&](fake::State& state) {
    for (const auto* drift : world.drifts) {
      if (!drift->on_bridge || !world.routed) drift->apply(state);
    }
    return true;
  });
}

// ---- the judge --------------------------------------------------------------------------------

std::string JudgeDevice(const World& world, const fake::FakeLink& tap) {
  const drivers::Link& link = tap.link;
  if (link.kind != drivers::LinkKind::kTap || link.name != "fk46000001") return "no TAP of ours";
  if (link.alias != "uid-a") return "wrong alias";
  if (link.mtu != 1500) return "wrong mtu";
  if (world.routed) {
    if (!link.up || link.master != 0 || link.mac != kGatewayMac) return "no gateway of its own, up";
    for (const drivers::LinkSwitch which : drivers::WantedSwitches(true)) {
      if (!tap.switches.contains(which)) return "not switched on";
    }
  } else if (!link.up || !link.isolated || link.master != kBridge) {
    return "not an isolated port, up";
  }
  if (!world.routed && link.mac != drivers::TapMac(kNumber)) return "wrong MAC";
  if (!tap.ipv6_disabled) return "speaks IPv6";
  if (!tap.clsact || tap.programs.ingress != ProgramState::kOurs ||
      tap.programs.egress != ProgramState::kOurs) {
    return "programs are not ours";
  }
  if (!tap.root || tap.root->kind != "tbf") return "not bounded";
  return {};
}

std::string JudgeActive(const World& world, fake::State& state) {
  const auto* tap = fake::Find(state, kTap);
  if (tap == nullptr) return "no TAP";
  if (std::string wrong = JudgeDevice(world, *tap); !wrong.empty()) return wrong;
  const auto entry = state.entries.find(kTap);
  if (entry == state.entries.end() || entry->second != kEntry) return "wrong identity";
  const fake::FakeLink& way = world.routed ? *tap : state.links.at(kBridge);
  if (!way.host_routes.contains(kAddress)) return "no route";
  const auto neighbour = way.neighbours.find(kAddress);
  if (neighbour == way.neighbours.end() || neighbour->second != kOuter) return "no neighbour";
  const auto kept = state.kept.find(kNumber);
  if (kept == state.kept.end() || kept->second->number != kNumber) return "no file to pass on";
  if (world.vmm && state.processes.at(kVmmPid).front()->number != kNumber) {
    return "the guest is cut off";
  }
  if (state.flows != std::vector{kOwnFlow, kFlowOfAnother}) return "flows are broken off";
  return {};
}

std::string JudgeReleased(fake::State& state) {
  if (fake::Find(state, kTap) != nullptr) return "the TAP is there";
  if (state.entries.contains(kTap)) return "the entry is there";
  if (state.kept.contains(kNumber)) return "the file is held";
  const fake::FakeLink& bridge = state.links.at(kBridge);
  if (!bridge.host_routes.empty()) return "the route is there";
  if (!bridge.neighbours.empty()) return "the neighbour is there";
  return {};
}

// The next owner of the address must find nothing of this one.
std::string JudgeForgotten(fake::State& state) {
  if (std::string what = JudgeReleased(state); !what.empty()) return what;
  if (state.flows != std::vector{kFlowOfAnother}) return "its flows are there, or not another's";
  return {};
}

// May a packet pass as it should not? Asked after every single call. Without an entry none passes.
std::string Danger(fake::State& state) {
  const auto* tap = fake::Find(state, kTap);
  if (tap == nullptr || !tap->link.up) return {};
  if (tap->link.master != 0 && !tap->link.isolated) return "up and not isolated";
  if (tap->link.master == kOtherBridge) return "up in another bridge";
  const auto translates = [](ProgramState program) {
    return program == ProgramState::kOurs || program == ProgramState::kStale;
  };
  if (!tap->clsact || !translates(tap->programs.ingress) || !translates(tap->programs.egress)) {
    return "up without its programs";
  }
  if (!tap->root || tap->root->kind != "tbf") return "up without a bound";
  return {};
}

class Watchman final : public drivers::CallHook {
 public:
  Watchman(fault::Options fault, fake::FakeKernel& kernel)
      : injector_(std::move(fault)), kernel_(kernel) {}

  std::optional<Error> Before(const drivers::CallInfo& call,
                              const std::function<void()>& perform) override {
    return injector_.Before(call, perform);
  }
  std::optional<Error> After(const drivers::CallInfo& call, const Error* error) override {
    // What failed may have done nothing; a danger that was there before it may stand.
    if (error == nullptr && call.mutates) acted_ = true;
    std::string danger = acted_ ? kernel_.Change(Danger) : std::string();
    const bool attached = error == nullptr && std::string_view(call.op) == "attach";
    if (attached && !kernel_.Change([](auto& s) { return s.entries.contains(kTap); })) {
      danger = "programs before the entry";  // an upgrade would drop what its guests send
    }
    if (!danger.empty() && danger_.empty()) {
      danger_ = fmt::format("after {}.{}: {}", call.driver, call.op, danger);
    }
    return injector_.After(call, error);
  }
  int calls() const { return injector_.calls(); }
  const std::string& danger() const { return danger_; }

 private:
  fault::Injector injector_;
  fake::FakeKernel& kernel_;
  bool acted_ = false;
  std::string danger_;
};

// ---- one run ----------------------------------------------------------------------------------

struct Run {
  explicit Run(const World& w) : world(w), ledger(MakeLedger(w)) {
    Build(w, kernel);
    LearnOfVmm();
  }

  // What the VM loop publishes after it looked.
  void LearnOfVmm() { vmms.Publish("uid-a", {world.vmm ? kVmmPid : 0, world.vmm}); }

  // One pass; after a crash the daemon's files are gone.
  void Pass(const Planner& planner, Watchman& hook) {
    testing::FakeDrivers bare(kernel);
    testing::HookedDrivers hooked(bare, hook);
    Options options;
    options.deletion_threads = 0;
    options.plan = planner;
    TapReconciler loop(*ledger,
                       {hooked.links, hooked.taps, hooked.qdiscs, hooked.identities, hooked.routes,
                        hooked.sysctls, hooked.flows},
                       facts, vmms, options);
    if (world.newborn && !ledger->GetInterfaceByNumber(kNumber)) ClaimInterface(*ledger);
    try {
      last = loop.Reconcile(key, {});
    } catch (const fault::SimulatedCrash&) {
      kernel.Change([](fake::State& state) {
        state.kept.clear();
        fake::SweepTaps(state);
        return true;
      });
    }
  }

  std::string Judgement() {
    return kernel.Change([this](fake::State& state) {
      return world.releasing ? JudgeForgotten(state) : JudgeActive(world, state);
    });
  }

  std::string JudgeReports() {
    const auto lease = ledger->GetInterfaceByNumber(kNumber);
    if (world.releasing) return lease->tap_absent ? "" : "absence is not confirmed";
    return facts.Get(key)->ready ? "" : "not ready: " + facts.Get(key)->reason;
  }

  // A confirmation is never ahead of the kernel, whatever happened.
  std::string JudgeConfirmed() {
    if (!ledger->GetInterfaceByNumber(kNumber)->tap_absent) return {};
    return kernel.Change(JudgeForgotten);
  }

  World world;
  fake::FakeKernel kernel;
  std::unique_ptr<ledger::Ledger> ledger;
  runtime::InterfaceFactBoard facts;
  runtime::VmmFactBoard vmms;
  const std::string key = "1";  // the first lease of a ledger
  Result<runtime::Next> last = runtime::Next::Done();
};

void RunFault(const World& world, const Planner& planner, const fault::Options& fault,
              Report& report) {
  ++report.runs;
  const auto wrong = [&](const std::string& what) {
    report.Wrong(fmt::format("{} | {} at call {}: {}", world.Name(), ToString(fault.kind),
                             fault.call, what));
  };
  Run run(world);
  Watchman hook(fault, run.kernel);
  run.Pass(planner, hook);
  if (!hook.danger().empty()) return wrong(hook.danger());
  if (const auto what = run.JudgeConfirmed(); !what.empty()) return wrong("confirmed, but " + what);
  const bool clean = fault.call == 0 || fault.kind == fault::Kind::kRaced;
  if (clean && (!run.last.ok() || !run.Judgement().empty())) {
    const std::string why = run.last.ok() ? run.Judgement() : run.last.error().message;
    return wrong("a rival is no failure, the same pass must converge: " + why);
  }
  if (!clean) {
    Watchman next({}, run.kernel);
    run.Pass(planner, next);
    if (!next.danger().empty()) return wrong("next pass, " + next.danger());
    if (!run.last.ok()) return wrong("the next pass fails: " + run.last.error().message);
  }
  if (const auto what = run.Judgement(); !what.empty()) return wrong(what);
  if (const auto what = run.JudgeReports(); !what.empty()) return wrong(what);
  Watchman still({}, run.kernel);
  run.Pass(planner, still);
  if (still.calls() != 0) wrong("a converged world is written to");
}

void RunWorld(const World& world, const Planner& planner, Report& report) {
  ++report.worlds;
  RunFault(world, planner, {}, report);
  if (report.clean_only || report.Done()) return;
  int calls = 0;
  {
    Run run(world);
    Watchman counter({}, run.kernel);
    run.Pass(planner, counter);
    calls = counter.calls();
  }
  for (int call = 1; call <= calls; ++call) {
    for (const fault::Kind kind : fault::kKinds) {
      if (report.Done()) return;
      fault::Options fault;
      fault.call = call;
      fault.kind = kind;
      RunFault(world, planner, fault, report);
    }
  }
}

void RunDrifts(World world, const Planner& planner, Report& report) {
  RunWorld(world, planner, report);
  const bool pairs = convergence::Depth() > 1;
  for (std::size_t i = 0; i < kDrifts.size(); ++i) {
    world.drifts = {&kDrifts[i]};
    RunWorld(world, planner, report);
    for (std::size_t j = i + 1; pairs && j < kDrifts.size(); ++j) {
      if (report.Done()) return;
      world.drifts = {&kDrifts[i], &kDrifts[j]};
      RunWorld(world, planner, report);
    }
  }
}

void Suite(const Planner& planner, Report& report) {
  for (const bool releasing : {false, true}) {
    for (const bool routed : {false, true}) {
      RunDrifts({false, false, releasing, routed}, planner, report);
      RunDrifts({true, false, releasing, routed}, planner, report);
      RunDrifts({true, true, releasing, routed}, planner, report);
    }
  }
  RunDrifts({.built = false, .newborn = true}, planner, report);
}

// ---- mutants ----------------------------------------------------------------------------------

template <typename Dropped>
std::vector<Action> Without(const Desired& desired, const Observed& observed) {
  std::vector<Action> plan = MakePlan(desired, observed);
  std::erase_if(plan, [](const Action& a) { return std::holds_alternative<Dropped>(a); });
  return plan;
}

// The first action of one kind goes to the end of the plan.
template <typename Late>
std::vector<Action> Last(const Desired& desired, const Observed& observed) {
  std::vector<Action> plan = MakePlan(desired, observed);
  const auto late = std::find_if(plan.begin(), plan.end(),
                                 [](const Action& a) { return std::holds_alternative<Late>(a); });
  if (late != plan.end()) std::rotate(late, late + 1, plan.end());
  return plan;
}

std::vector<Action> CreateForReattach(const Desired& desired, const Observed& observed) {
  std::vector<Action> plan = MakePlan(desired, observed);
  for (Action& action : plan) {
    if (std::holds_alternative<ReattachTap>(action)) action = CreateTap{};
  }
  return plan;
}

std::vector<Action> OneProgram(const Desired& desired, const Observed& observed) {
  std::vector<Action> plan = MakePlan(desired, observed);
  std::erase_if(plan, [](const Action& a) {
    const auto* attach = std::get_if<Attach>(&a);
    return attach != nullptr && attach->direction == drivers::Direction::kEgress;
  });
  return plan;
}

std::vector<Action> TrustsForeignPrograms(const Desired& desired, const Observed& observed) {
  Observed trusting = observed;
  if (trusting.programs.ingress == ProgramState::kForeign) {
    trusting.programs.ingress = ProgramState::kStale;
  }
  return MakePlan(desired, trusting);
}

std::vector<Action> ReleasedIsWanted(const Desired& desired, const Observed& observed) {
  return desired.present ? MakePlan(desired, observed) : std::vector<Action>{};
}

std::vector<Action> VmmIgnored(const Desired& desired, const Observed& observed) {
  Observed blind = observed;
  blind.vmm = Vmm::kNone;
  return MakePlan(desired, blind);
}

std::vector<Action> WritesAlways(const Desired& desired, const Observed& observed) {
  std::vector<Action> plan = MakePlan(desired, observed);
  if (plan.empty() && desired.present) plan.emplace_back(SetEntry{});
  return plan;
}

const std::vector<Mutant<Planner>> kMutants = {
    {"never sets an entry", Without<SetEntry>},
    {"never creates", Without<CreateTap>},
    {"never reattaches", Without<ReattachTap>},
    {"creates where it should reattach", CreateForReattach},
    {"never adopts", Without<AdoptTap>},
    {"never forgets a file", Without<ForgetFile>},
    {"never deletes", Without<DeleteTap>},
    {"never gives back the name", Without<SetName>},
    {"never repairs the alias", Without<SetAlias>},
    {"never repairs the mtu", Without<SetMtu>},
    {"leaves IPv6 on", Without<DisableIpv6>},
    {"never switches on", Without<SwitchOn>},
    {"never adds clsact", Without<AddClsact>},
    {"attaches one program of two", OneProgram},
    {"leaves a foreign root", Without<DeleteRoot>},
    {"never adds a bucket", Without<AddTbf>},
    {"moves a port while it is up", Without<SetDown>},
    {"never joins the bridge", Without<SetMaster>},
    {"never goes up", Without<SetPortUp>},
    {"never repairs isolation", Without<SetPortIsolation>},
    {"leaves a routed TAP its own MAC", Without<SetMac>},
    {"never raises a routed TAP", Without<SetUp>},
    {"adds no route", Without<AddHostRoute>},
    {"sets no neighbour", Without<SetNeighbour>},
    {"leaves the route", Without<DeleteHostRoute>},
    {"leaves the neighbour", Without<DeleteNeighbour>},
    {"leaves the entry", Without<DeleteEntry>},
    {"entry after the programs", Last<SetEntry>},
    {"mends before it takes down", Last<SetDown>},
    {"isolates when all else is done", Last<SetPortIsolation>},
    {"takes a foreign program for an earlier version", TrustsForeignPrograms},
    {"bound after up", Last<AddTbf>},
    {"programs after up", Last<Attach>},
    {"keeps what was released", ReleasedIsWanted},
    {"does not know of VMMs", VmmIgnored},
    {"writes what is right already", WritesAlways},
};

}  // namespace
}  // namespace forkplane::tap

int main(int argc, char** argv) {
  using forkplane::tap::Planner;
  return forkplane::convergence::Main<Planner>(argc, argv, forkplane::tap::Suite,
                                               forkplane::tap::MakePlan, forkplane::tap::kMutants);
}
