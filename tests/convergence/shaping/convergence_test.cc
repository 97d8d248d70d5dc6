// Goal: from every small world, with any one fault at any driver call, the shaping loop reaches
// what the specs say. Method: every combination of what can be wrong with the uplink, with each
// interface's class and bucket and with a class nobody leased, is built in the fake host; each is
// run once clean and once per call and kind of fault; then the loop runs on undisturbed. The judge
// reads the fake host and compares it with numbers written here by hand: it knows no planner. The
// keys are the whole domain's, and, where nothing else is to be done, those of its interfaces.
#include "controller/base/rng.h"
#include "drivers/fake/drivers.h"
#include "drivers/fault/fault.h"
#include "drivers/hooked/network.h"
#include "reconcilers/shaping/reconciler.h"
#include "tests/convergence/support.h"
#include "tests/support/memory_ledger.h"

namespace forkplane::shaping {
namespace {

using convergence::Mutant;
using convergence::Report;

constexpr std::uint64_t kCapacity = 125'000'000;
// The spec of every VM here: 10 Mbit/s up to 20, down 50. What the kernel must hold for it:
constexpr std::uint64_t kUpRate = 1'250'000;
constexpr std::uint64_t kUpCeil = 2'500'000;
constexpr std::uint64_t kDownRate = 6'250'000;
constexpr std::uint32_t kUpLeaf = 65'536;
constexpr std::uint32_t kDownLimit = 312'500;

enum class ClassIs { kRight, kAbsent, kSlow, kNoLeaf, kWrongParent };
enum class BucketIs { kRight, kNoTap, kNoBucket, kUnshaped, kWide };

struct World {
  bool uplink = true;
  bool leaked = false;  // class 7f00:77, which nobody leased
  struct {
    ClassIs up = ClassIs::kRight;
    BucketIs down = BucketIs::kRight;
    bool releasing = false;
  } vm[2];
  std::vector<std::string> keys = {"0"};

  std::string Name() const {
    return fmt::format("uplink={} leaked={} vm1={}/{}{} vm2={}/{}{} keys={}", uplink, leaked,
                       static_cast<int>(vm[0].up), static_cast<int>(vm[0].down),
                       vm[0].releasing ? " releasing" : "", static_cast<int>(vm[1].up),
                       static_cast<int>(vm[1].down), vm[1].releasing ? " releasing" : "",
                       fmt::join(keys, ","));
  }
};

class FixedSpecs final : public Specs {
 public:
  FixedSpecs() {
    auto vm = std::make_shared<crd::VirtualMachine>();
    crd::Bandwidth bandwidth;
    bandwidth.upload =
        crd::UploadLimit{crd::Quantity::Of("10M"), crd::Quantity::Of("20M"), std::nullopt};
    bandwidth.download = crd::DownloadLimit{crd::Quantity::Of("50M"), std::nullopt};
    vm->spec.interfaces[0].bandwidth = bandwidth;
    vm_ = vm;
  }
  std::shared_ptr<const crd::VirtualMachine> Vm(const std::string&) const override { return vm_; }
  std::shared_ptr<const crd::Network> Network(const std::string&) const override { return nullptr; }

 private:
  std::shared_ptr<const crd::VirtualMachine> vm_;
};

std::unique_ptr<ledger::Ledger> MakeLedger(const World& world) {
  static SeededRng rng(1);
  auto ledger = testing::MemoryLedgerWith(testing::NetworkOf("10.0.0.0/24"), RealClock(), rng);
  for (int i = 0; i < 2; ++i) {
    const std::string name = std::to_string(i + 1);
    testing::ClaimOne(*ledger, "uid-" + name, name);
    if (world.vm[i].releasing) CHECK(ledger->Release("uid-" + name).ok());
  }
  return ledger;
}

void BuildUplink(fake::FakeQdiscDriver& qdiscs) {
  CHECK(qdiscs.AddHtb(IfbIndex(0), kDefaultClassMinor).ok());
  for (const std::uint32_t minor : {kRootClassMinor, kDefaultClassMinor}) {
    const std::uint64_t rate = minor == kRootClassMinor ? kCapacity : 125'000;
    CHECK(qdiscs.AddClass(IfbIndex(0), {minor, 0, rate, rate, 20'000, 20'000, 20'000}).ok());
  }
}

void BuildClass(fake::FakeQdiscDriver& qdiscs, std::uint32_t minor, ClassIs is) {
  if (is == ClassIs::kAbsent) return;
  drivers::HtbClass htb{minor,  kRootClassMinor,       kUpRate, kUpCeil, 12'500,
                        25'000, drivers::kQuantumBytes};
  if (is == ClassIs::kSlow) htb.rate_bytes_per_second = 1'000;
  if (is == ClassIs::kWrongParent) htb.parent_minor = 0;
  CHECK(qdiscs.AddClass(IfbIndex(0), htb).ok());
  if (is == ClassIs::kNoLeaf) return;
  CHECK(qdiscs.SetLeaf(IfbIndex(0), minor, {drivers::LeafKind::kBfifo, kUpLeaf}).ok());
}

void BuildTap(fake::FakeKernel& kernel, fake::FakeQdiscDriver& qdiscs, std::uint32_t number,
              BucketIs is) {
  if (is == BucketIs::kNoTap) return;
  drivers::TapSpec spec;
  spec.number = number;
  CHECK(fake::FakeTapDriver(kernel).Create(spec).ok());
  if (is == BucketIs::kNoBucket) return;
  const drivers::Tbf right{kDownRate, 62'500, kDownLimit};
  const drivers::Tbf unshaped{625'000, 6'250, 65'536};
  const drivers::Tbf wide{4 * kDownRate, 250'000, 4 * kDownLimit};
  const drivers::Tbf& tbf =
      is == BucketIs::kRight ? right : (is == BucketIs::kWide ? wide : unshaped);
  CHECK(qdiscs.AddTbf(TapIndex(number), tbf).ok());
}

void Build(const World& world, fake::FakeKernel& kernel) {
  fake::FakeQdiscDriver qdiscs(kernel);
  CHECK(fake::FakeLinkDriver(kernel).CreateIfb({0, "host"}).ok());
  if (world.uplink) {
    BuildUplink(qdiscs);
    for (std::uint32_t i = 0; i < 2; ++i) BuildClass(qdiscs, i + 1, world.vm[i].up);
    if (world.leaked) BuildClass(qdiscs, 0x77, ClassIs::kRight);
  }
  for (std::uint32_t i = 0; i < 2; ++i) BuildTap(kernel, qdiscs, i + 1, world.vm[i].down);
}

// ---- the judge --------------------------------------------------------------------------------

std::string JudgeClass(const fake::FakeLink& ifb, std::uint32_t minor) {
  const auto it = ifb.classes.find(minor);
  if (it == ifb.classes.end()) return fmt::format("class {} is missing", minor);
  const drivers::HtbClass& htb = it->second.htb;
  if (htb.rate_bytes_per_second != kUpRate || htb.ceil_bytes_per_second != kUpCeil) {
    return fmt::format("class {} has the wrong rate", minor);
  }
  if (htb.parent_minor != kRootClassMinor) return fmt::format("class {} has a wrong parent", minor);
  if (htb.quantum_bytes == 0) return fmt::format("class {} has no quantum", minor);
  const auto& leaf = it->second.leaf;
  if (!leaf || leaf->limit_bytes != kUpLeaf) return fmt::format("class {} has no leaf", minor);
  return {};
}

std::string Judge(const World& world, fake::State& state) {
  const fake::FakeLink& ifb = state.links.at(IfbIndex(0));
  if (ifb.classes.contains(0x77)) return "a leaked class stands";
  if (world.uplink &&
      (!ifb.classes.contains(kRootClassMinor) || !ifb.classes.contains(kDefaultClassMinor))) {
    return "the host's own classes were touched";
  }
  for (std::uint32_t i = 0; i < 2; ++i) {
    const std::uint32_t minor = i + 1;
    if (world.vm[i].releasing) {
      if (ifb.classes.contains(minor)) return fmt::format("class {} still stands", minor);
      continue;
    }
    if (world.uplink) {
      std::string wrong = JudgeClass(ifb, minor);
      if (!wrong.empty()) return wrong;
    }
    const auto tap = state.links.find(TapIndex(minor));
    // Without the uplink's capacity nothing is said; a bucket that is not there is another's.
    const bool due = world.uplink && tap != state.links.end() && tap->second.root;
    if (!due) continue;
    const drivers::Tbf& tbf = *tap->second.root->tbf;
    if (tbf.rate_bytes_per_second != kDownRate || tbf.limit_bytes != kDownLimit) {
      return fmt::format("bucket {} has the wrong rate", minor);
    }
    if (tap->second.blocked) return fmt::format("bucket {} may be blocked", minor);
  }
  return {};
}

// ---- one run ----------------------------------------------------------------------------------

struct Run {
  explicit Run(const World& w) : world(w), ledger(MakeLedger(w)) { Build(w, kernel); }

  // One pass for each key; false when the process "died" in one.
  bool Pass(const Planner& planner, fault::Injector& injector) {
    fake::FakeQdiscDriver qdiscs(kernel);
    drivers::HookedQdiscDriver hooked(qdiscs, injector);
    Options options;
    options.plan = planner;
    ShapingReconciler loop(*ledger, specs, hooked, facts, options);
    try {
      for (const std::string& key : world.keys) {
        last = loop.Reconcile(key, {});
        if (!last.ok()) return true;
      }
    } catch (const fault::SimulatedCrash&) {
      return false;
    }
    return true;
  }

  std::string Judgement() {
    return kernel.Change([this](fake::State& state) { return Judge(world, state); });
  }

  // Confirmed exactly when the class is gone; "shaped" exactly when all is in place.
  std::string JudgeReports() {
    for (std::uint32_t i = 0; i < 2; ++i) {
      const auto lease = ledger->GetInterfaceByNumber(i + 1);
      CHECK(lease.has_value());  // nobody confirms the TAP here
      if (lease->class_absent != world.vm[i].releasing) return "absence is confirmed wrongly";
      const auto fact = facts.Get(ledger::KeyOf(lease->id)).value_or(runtime::InterfaceFacts{});
      const BucketIs down = world.vm[i].down;
      const bool bucket = down != BucketIs::kNoTap && down != BucketIs::kNoBucket;
      const bool shaped = world.uplink && bucket && !world.vm[i].releasing;
      if (fact.shaped != shaped) return fmt::format("shaped={} is a lie", fact.shaped);
      if (fact.shaped && fact.upload_rate_bits_per_second != 10'000'000) return "facts are wrong";
    }
    return {};
  }

  // A confirmation is never ahead of the kernel, whatever happened.
  std::string JudgeConfirmed() {
    for (std::uint32_t i = 0; i < 2; ++i) {
      const bool confirmed = ledger->GetInterfaceByNumber(i + 1)->class_absent;
      const bool stands = kernel.Change(
          [i](fake::State& state) { return state.links.at(IfbIndex(0)).classes.contains(i + 1); });
      if (confirmed && stands) return "absence confirmed while the class stands";
    }
    return {};
  }

  World world;
  fake::FakeKernel kernel;
  std::unique_ptr<ledger::Ledger> ledger;
  FixedSpecs specs;
  runtime::InterfaceFactBoard facts;
  Result<runtime::Next> last = runtime::Next::Done();
};

void RunFault(const World& world, const Planner& planner, fault::Options fault, Report& report) {
  ++report.runs;
  const auto wrong = [&](const std::string& what) {
    report.Wrong(fmt::format("{} | {} at call {}: {}", world.Name(), ToString(fault.kind),
                             fault.call, what));
  };
  Run run(world);
  fault::Injector injector(fault);
  run.Pass(planner, injector);
  if (const auto what = run.JudgeConfirmed(); !what.empty()) return wrong(what);
  const bool raced = fault.call == 0 || fault.kind == fault::Kind::kRaced;
  if (raced && (!run.last.ok() || !run.Judgement().empty())) {
    return wrong("a rival is no failure: the same pass must converge");
  }
  fault::Injector none;
  if (!raced) run.Pass(planner, none);
  if (!run.last.ok()) return wrong("the next pass fails: " + run.last.error().message);
  if (const auto what = run.Judgement(); !what.empty()) return wrong(what);
  if (const auto what = run.JudgeReports(); !what.empty()) return wrong(what);
  fault::Injector counter;
  run.Pass(planner, counter);
  if (counter.calls() != 0) wrong("a converged world is written to");
}

void RunWorld(const World& world, const Planner& planner, Report& report) {
  ++report.worlds;
  RunFault(world, planner, {}, report);
  if (report.clean_only || report.Done()) return;
  int calls = 0;
  {
    Run run(world);
    fault::Injector counter;
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

std::vector<World> Worlds() {
  std::vector<World> worlds;
  const bool deep = convergence::Depth() > 1;
  const auto add = [&](bool uplink, bool leaked, ClassIs up, BucketIs down) {
    for (const bool releasing : {false, true}) {
      for (const ClassIs other : {ClassIs::kRight, ClassIs::kAbsent}) {
        if (!deep && leaked && other == ClassIs::kAbsent) continue;
        World world{uplink, leaked, {}};
        world.vm[0] = {up, down, releasing};
        world.vm[1] = {other, BucketIs::kUnshaped, false};
        worlds.push_back(world);
        // The same by the keys of interfaces, where those are all there is to do.
        if (leaked || releasing) continue;
        world.keys = {"0:1", "0:2"};
        worlds.push_back(world);
      }
    }
  };
  for (const bool uplink : {true, false}) {
    for (const bool leaked : {false, true}) {
      for (const ClassIs up : {ClassIs::kRight, ClassIs::kAbsent, ClassIs::kSlow, ClassIs::kNoLeaf,
                               ClassIs::kWrongParent}) {
        for (const BucketIs down : {BucketIs::kRight, BucketIs::kNoTap, BucketIs::kNoBucket,
                                    BucketIs::kUnshaped, BucketIs::kWide}) {
          add(uplink, leaked, up, down);
        }
      }
    }
  }
  return worlds;
}

void Suite(const Planner& planner, Report& report) {
  for (const World& world : Worlds()) {
    if (report.Done()) return;
    RunWorld(world, planner, report);
  }
}

// ---- mutants ----------------------------------------------------------------------------------

template <typename Dropped>
std::vector<Action> Without(const Desired& desired, const Observed& observed) {
  std::vector<Action> plan = MakePlan(desired, observed);
  std::erase_if(plan, [](const Action& a) { return std::holds_alternative<Dropped>(a); });
  return plan;
}

std::vector<Action> ChangeAsAdd(const Desired& desired, const Observed& observed) {
  std::vector<Action> plan = MakePlan(desired, observed);
  for (Action& action : plan) {
    if (const auto* change = std::get_if<ChangeClass>(&action)) action = AddClass{change->htb};
  }
  return plan;
}

std::vector<Action> OnlyKnownDeleted(const Desired& desired, const Observed& observed) {
  std::vector<Action> plan = MakePlan(desired, observed);
  std::erase_if(plan, [](const Action& a) {
    const auto* gone = std::get_if<DeleteClass>(&a);
    return gone != nullptr && gone->minor == 0x77;
  });
  return plan;
}

std::vector<Action> ReleasedKept(const Desired& desired, const Observed& observed) {
  Desired kept = desired;
  for (DesiredShape& shape : kept.shapes) {
    if (shape.intent == Intent::kRelease) shape.intent = Intent::kKeep;
  }
  return MakePlan(kept, observed);
}

std::vector<Action> HalfTheRate(const Desired& desired, const Observed& observed) {
  Desired half = desired;
  for (DesiredShape& shape : half.shapes) shape.rates.htb.rate_bytes_per_second /= 2;
  return MakePlan(half, observed);
}

std::vector<Action> ParentForgotten(const Desired& desired, const Observed& observed) {
  Observed blind = observed;
  for (auto& [minor, is] : blind.classes) is.htb.parent_minor = kRootClassMinor;
  return MakePlan(desired, blind);
}

std::vector<Action> BucketsForgotten(const Desired& desired, const Observed& observed) {
  Observed blind = observed;
  blind.tbfs.clear();
  return MakePlan(desired, blind);
}

std::vector<Action> QueuesKept(const Desired& desired, const Observed& observed) {
  std::vector<Action> plan = MakePlan(desired, observed);
  for (Action& action : plan) {
    if (auto* change = std::get_if<ChangeTbf>(&action)) change->queue = drivers::Queue::kKeep;
  }
  return plan;
}

std::vector<Action> FirstOnly(const Desired& desired, const Observed& observed) {
  Desired first = desired;
  if (first.shapes.size() > 1) first.shapes[1].intent = Intent::kKeep;
  return MakePlan(first, observed);
}

std::vector<Action> AlwaysRewrites(const Desired& desired, const Observed& observed) {
  std::vector<Action> plan = MakePlan(desired, observed);
  const bool stands = observed.classes.contains(2);
  if (plan.empty() && stands) plan.emplace_back(ChangeClass{observed.classes.at(2).htb});
  return plan;
}

const std::vector<Mutant<Planner>> kMutants = {
    {"never deletes a class", Without<DeleteClass>},
    {"never adds a class", Without<AddClass>},
    {"never changes a class", Without<ChangeClass>},
    {"never sets a leaf", Without<SetLeaf>},
    {"never changes a bucket", Without<ChangeTbf>},
    {"adds what it should change", ChangeAsAdd},
    {"leaves leaked classes", OnlyKnownDeleted},
    {"keeps the class of a released interface", ReleasedKept},
    {"mistakes the rate", HalfTheRate},
    {"does not look at the parent", ParentForgotten},
    {"does not look at the buckets", BucketsForgotten},
    {"keeps what a narrower bucket cannot pass", QueuesKept},
    {"serves the first interface only", FirstOnly},
    {"writes what is right already", AlwaysRewrites},
};

}  // namespace
}  // namespace forkplane::shaping

int main(int argc, char** argv) {  // W7
  using forkplane::shaping::Planner;
  return forkplane::convergence::Main<Planner>(argc, argv, forkplane::shaping::Suite,
                                               forkplane::shaping::MakePlan,
                                               forkplane::shaping::kMutants);
}
