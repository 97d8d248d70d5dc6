// Goal: a new interface is shaped by the pass that makes its TAP; "shaped" is never said of what
// the kernel does not hold; whatever fails, ends the daemon or comes in between at any call, the
// loops get there, and nothing of a released one is left or confirmed too early. Method: the tap
// loop and the shaping loop, wired as in the daemon, over the fake host. The birth is run once
// clean and once per driver call and kind of fault, or with a pass of the shaping loop or a release
// in the middle of that call; then both loops run on. The judge reads the fake host and compares it
// with numbers written here by hand.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "controller/base/network_names.h"
#include "controller/base/rng.h"
#include "drivers/fault/fault.h"
#include "reconcilers/shaping/reconciler.h"
#include "reconcilers/tap/reconciler.h"
#include "tests/support/fake_drivers.h"
#include "tests/support/memory_ledger.h"

namespace forkplane {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr std::uint64_t kCapacity = 125'000'000;
// The spec of every VM here: 10 Mbit/s up, 50 down. What the kernel must hold for it:
constexpr drivers::HtbClass kClass{1,      kRootClassMinor, 1'250'000, 1'250'000,
                                   12'500, 12'500,          20'000};
constexpr drivers::Leaf kLeaf{drivers::LeafKind::kBfifo, 65'536};
constexpr drivers::Tbf kBucket{6'250'000, 62'500, 312'500};
constexpr std::uint32_t kTap = 0x46000001;
constexpr const char* kKey = "1";  // the first lease of a ledger

class OneSpec final : public shaping::Specs {
 public:
  OneSpec() {
    auto vm = std::make_shared<crd::VirtualMachine>();
    crd::Bandwidth bandwidth;
    bandwidth.upload = crd::UploadLimit{crd::Quantity::Of("10M"), std::nullopt, std::nullopt};
    bandwidth.download = crd::DownloadLimit{crd::Quantity::Of("50M"), std::nullopt};
    vm->spec.interfaces[0].bandwidth = bandwidth;
    vm_ = vm;
  }
  std::shared_ptr<const crd::VirtualMachine> Vm(const std::string&) const override {
    return known ? vm_ : nullptr;
  }
  std::shared_ptr<const crd::Network> Network(const std::string&) const override { return nullptr; }
  bool known = true;

 private:
  std::shared_ptr<const crd::VirtualMachine> vm_;
};

// Faults, and what comes in between: before one call of them all.
class Hook final : public drivers::CallHook {
 public:
  std::optional<Error> Before(const drivers::CallInfo& call,
                              const std::function<void()>& perform) override {
    (call.mutates ? changes : looks).push_back(fmt::format("{}.{}", call.driver, call.op));
    if (std::exchange(left_, left_ - 1) == 1 && between_) std::exchange(between_, {})();
    return fault ? fault->Before(call, perform) : std::nullopt;
  }
  std::optional<Error> After(const drivers::CallInfo& call, const Error* error) override {
    return fault ? fault->After(call, error) : std::nullopt;
  }
  void At(int call, std::function<void()> between) {
    left_ = call;
    between_ = std::move(between);
  }
  bool Fired() const { return !between_; }

  std::unique_ptr<fault::Injector> fault;
  std::vector<std::string> changes;
  std::vector<std::string> looks;

 private:
  int left_ = 0;
  std::function<void()> between_;
};

// One life of the daemon: its loops and facts.
struct Daemon {
  Daemon(fake::FakeKernel& kernel, ledger::Ledger& ledger, const OneSpec& specs, Hook& hook)
      : bare(kernel),
        hooked(bare, hook),
        shaping(ledger, specs, hooked.qdiscs, facts,
                {.later = [this](const std::string& key, auto) { looks_due.push_back(key); }}),
        tap(ledger,
            {hooked.links, hooked.taps, hooked.qdiscs, hooked.identities, hooked.routes,
             hooked.sysctls, bare.flows},
            facts, vmms,
            {.deletion_threads = 0,
             .bucket = [this](const auto& lease) { return shaping.BucketOf(lease); },
             .shape = [this](const auto& lease) { shaping.ShapeNewborn(lease); }}) {}

  Result<runtime::Next> Birth() { return tap.Reconcile(kKey, {}); }
  Result<runtime::Next> Look() { return shaping.Reconcile("0", {}); }
  // What is said, and is not so.
  bool SaysShaped() const {
    const auto fact = facts.Get(kKey);
    return fact && fact->shaped;
  }

  testing::FakeDrivers bare;
  testing::HookedDrivers hooked;
  runtime::InterfaceFactBoard facts;
  runtime::VmmFactBoard vmms;
  std::vector<std::string> looks_due;
  shaping::ShapingReconciler shaping;
  tap::TapReconciler tap;
};

struct World {
  World() {
    fake::FakeLinkDriver links(kernel);
    fake::FakeQdiscDriver qdiscs(kernel);
    CHECK(links.CreateBridge({0, kGatewayMac, "net", kMtuDefault}).ok());
    CHECK(links.SetUp(BridgeIndex(0), true).ok());
    CHECK(links.CreateIfb({0, "host"}).ok());
    CHECK(qdiscs.AddHtb(IfbIndex(0), kDefaultClassMinor).ok());
    for (const std::uint32_t minor : {kRootClassMinor, kDefaultClassMinor}) {
      const std::uint64_t rate = minor == kRootClassMinor ? kCapacity : 125'000;
      CHECK(qdiscs.AddClass(IfbIndex(0), {minor, 0, rate, rate, 20'000, 20'000, 20'000}).ok());
    }
    Restart();
    CHECK(daemon->Look().ok());  // as at every start
  }
  void Restart() { daemon = std::make_unique<Daemon>(kernel, *ledger, specs, hook); }
  void Claim() {
    testing::ClaimOne(*ledger, "a", "a");
    hook.changes.clear();
    hook.looks.clear();
  }
  // What is wrong with the rates in the kernel; "" when all are there.
  std::string WrongRates() {
    return kernel.Change([](fake::State& state) -> std::string {
      const auto& classes = state.links.at(IfbIndex(0)).classes;
      const auto is = classes.find(1);
      if (is == classes.end() || !(is->second.htb == kClass)) return "class";
      if (is->second.leaf != kLeaf) return "leaf";
      const auto tap = state.links.find(kTap);
      if (tap == state.links.end()) return "TAP";
      const auto& root = tap->second.root;
      return root && root->tbf == kBucket ? "" : "bucket";
    });
  }
  bool HasClass() {
    return kernel.Change(
        [](fake::State& state) { return state.links.at(IfbIndex(0)).classes.contains(1); });
  }
  bool IsUp() {
    return kernel.Change([](fake::State& state) {
      const auto* tap = fake::Find(state, kTap);
      return tap != nullptr && tap->link.up;
    });
  }

  SeededRng rng{1};
  fake::FakeKernel kernel;
  std::unique_ptr<ledger::Ledger> ledger =
      testing::MemoryLedgerWith(testing::NetworkOf(), RealClock(), rng);
  OneSpec specs;
  Hook hook;
  std::unique_ptr<Daemon> daemon;
};

int CallsOfABirth() {
  World world;
  world.Claim();
  EXPECT_TRUE(world.daemon->Birth().ok());
  return static_cast<int>(world.hook.changes.size() + world.hook.looks.size());
}

// Until nothing is left to do: the keys that facts bring, and a resync.
void RunOn(World& world) {
  for (int round = 0; round < 3; ++round) {
    EXPECT_TRUE(world.daemon->Birth().ok());
    for (const std::string& key : world.daemon->shaping.KeyOfFact(kKey)) {
      EXPECT_TRUE(world.daemon->shaping.Reconcile(key, {}).ok());
    }
    EXPECT_TRUE(world.daemon->Look().ok());
  }
}

TEST(BirthTest, ANewTapIsShapedByThePassThatMakesIt) {
  World world;
  world.Claim();
  ASSERT_TRUE(world.daemon->Birth().ok());
  EXPECT_EQ(world.WrongRates(), "");
  const auto fact = world.daemon->facts.Get(kKey);
  EXPECT_TRUE(fact->ready && fact->shaped);
  EXPECT_EQ(fact->download_rate_bits_per_second, 50'000'000u);
  EXPECT_EQ(fact->upload_rate_bits_per_second, 10'000'000u);
  EXPECT_THAT(world.hook.changes, Contains("qdisc.add_tbf"));
  EXPECT_THAT(world.hook.changes, ::testing::Not(Contains("qdisc.change_tbf"))) << "at once right";
  EXPECT_THAT(world.hook.looks, ElementsAre("qdisc.observe_interface")) << "what is said was seen";
  EXPECT_THAT(world.daemon->shaping.KeyOfFact(kKey), IsEmpty());
  EXPECT_THAT(world.daemon->looks_due, ElementsAre("0")) << "with all others, a second later";
  world.hook.changes.clear();
  ASSERT_TRUE(world.daemon->Look().ok());
  EXPECT_THAT(world.hook.changes, IsEmpty());
}

TEST(BirthTest, WithoutASpecItIsBoundAndWaitsForTheLoop) {
  World world;
  world.specs.known = false;
  world.Claim();
  ASSERT_TRUE(world.daemon->Birth().ok());
  EXPECT_FALSE(world.daemon->SaysShaped());
  EXPECT_TRUE(world.IsUp());
  EXPECT_EQ(world.WrongRates(), "class");
  world.specs.known = true;
  RunOn(world);
  EXPECT_EQ(world.WrongRates(), "");
  EXPECT_TRUE(world.daemon->SaysShaped());
}

TEST(BirthTest, AnyFaultAtAnyCallIsGotOver) {
  const int calls = CallsOfABirth();
  ASSERT_GT(calls, 12);
  for (int call = 1; call <= calls; ++call) {
    for (const fault::Kind kind : fault::kKinds) {
      SCOPED_TRACE(fmt::format("{} at call {}", ToString(kind), call));
      World world;
      world.Claim();
      fault::Options fault;
      fault.call = call;
      fault.kind = kind;
      fault.reads_too = true;
      world.hook.fault = std::make_unique<fault::Injector>(fault);
      try {
        static_cast<void>(world.daemon->Birth());
        EXPECT_TRUE(!world.daemon->SaysShaped() || world.WrongRates().empty());
      } catch (const fault::SimulatedCrash&) {
        world.kernel.Change([](fake::State& state) {
          state.kept.clear();
          fake::SweepTaps(state);
          return true;
        });
        world.Restart();
        ASSERT_TRUE(world.daemon->Look().ok());
      }
      RunOn(world);
      EXPECT_EQ(world.WrongRates(), "");
      EXPECT_TRUE(world.IsUp() && world.daemon->SaysShaped());
    }
  }
}

// A domain's pass that looks while a TAP is made neither takes its class for one that nobody leased
// nor makes it in its place.
TEST(BirthTest, APassOverItsDomainInTheMiddleChangesNothing) {
  for (int call = 1; call <= CallsOfABirth(); ++call) {
    SCOPED_TRACE(call);
    World world;
    world.Claim();
    world.hook.At(call, [&] {
      const std::size_t before = world.hook.changes.size();
      EXPECT_TRUE(world.daemon->Look().ok());
      EXPECT_EQ(world.hook.changes.size(), before);
      EXPECT_FALSE(world.daemon->facts.Get(kKey)) << "what is half made is not spoken of";
    });
    ASSERT_TRUE(world.daemon->Birth().ok());
    ASSERT_TRUE(world.hook.Fired());
    EXPECT_EQ(world.WrongRates(), "");
    EXPECT_TRUE(world.daemon->SaysShaped());
  }
}

// Its fact would say that the birth is over.
TEST(BirthTest, OfWhatIsUnbornNothingIsSaidByAPassThatFails) {
  World world;
  world.Claim();
  fault::Options fault;
  fault.call = 1;
  fault.reads_too = true;
  world.hook.fault = std::make_unique<fault::Injector>(fault);
  EXPECT_FALSE(world.daemon->Look().ok());
  EXPECT_FALSE(world.daemon->facts.Get(kKey));
  ASSERT_TRUE(world.daemon->Birth().ok());
  EXPECT_TRUE(world.daemon->SaysShaped());
}

// The other way round: the whole birth falls between the leases that a domain's pass has read and
// its look.
TEST(BirthTest, AClassMadeDuringADomainsPassIsNobodysToDelete) {
  World world;
  world.hook.At(1, [&] {
    world.Claim();
    EXPECT_TRUE(world.daemon->Birth().ok());
  });
  ASSERT_TRUE(world.daemon->Look().ok());
  ASSERT_TRUE(world.hook.Fired());
  EXPECT_THAT(world.hook.changes, ::testing::Not(Contains("qdisc.delete_class")));
  EXPECT_EQ(world.WrongRates(), "");
  EXPECT_TRUE(world.daemon->SaysShaped());
}

// A number is free only when its class was seen gone, and it may be made after that look.
TEST(BirthTest, AReleaseInTheMiddleLeavesNothingAndConfirmsNothingEarly) {
  for (int call = 1; call <= CallsOfABirth(); ++call) {
    SCOPED_TRACE(call);
    World world;
    world.Claim();
    world.hook.At(call, [&] {
      ASSERT_TRUE(world.ledger->Release("a").ok());
      const auto pass = world.daemon->Look();
      ASSERT_TRUE(pass.ok());
      EXPECT_TRUE(pass->after.has_value()) << "it comes again";
      EXPECT_FALSE(world.ledger->GetInterface(1)->class_absent);
    });
    static_cast<void>(world.daemon->Birth());
    ASSERT_TRUE(world.hook.Fired());
    RunOn(world);
    EXPECT_FALSE(world.HasClass());
    EXPECT_FALSE(world.IsUp());
    EXPECT_FALSE(world.ledger->GetInterface(1).has_value()) << "freed";
  }
}

// P2. After what it has changed itself a domain's pass lists the classes of its IFB, and not all
// links' qdiscs again; unless something went otherwise than it thought.
TEST(BirthTest, TheSecondLookAtADomainIsAtItsClasses) {
  for (const bool raced : {false, true}) {
    SCOPED_TRACE(raced);
    World world;
    world.Claim();
    ASSERT_TRUE(world.daemon->Birth().ok());
    ASSERT_TRUE(fake::FakeQdiscDriver(world.kernel).DeleteClass(IfbIndex(0), 1).ok());
    world.hook.looks.clear();
    if (raced) {
      fault::Options fault;
      fault.call = 1;
      fault.kind = fault::Kind::kRaced;
      world.hook.fault = std::make_unique<fault::Injector>(fault);
    }
    ASSERT_TRUE(world.daemon->Look().ok());
    EXPECT_EQ(world.WrongRates(), "");
    EXPECT_TRUE(world.daemon->SaysShaped());
    std::vector<std::string> looks = {"qdisc.observe_domain", "qdisc.observe_classes"};
    if (raced) looks.insert(looks.begin(), "qdisc.observe_domain");
    EXPECT_EQ(world.hook.looks, looks);
  }
}

// Nobody hears of what the tap loop does: that a bucket is new it must say itself.
TEST(BirthTest, ABucketMadeAnewHasItsRateAndIsLookedAtAgain) {
  World world;
  world.Claim();
  ASSERT_TRUE(world.daemon->Birth().ok());
  ASSERT_TRUE(fake::FakeQdiscDriver(world.kernel).DeleteRoot(kTap).ok());
  ASSERT_TRUE(world.daemon->Birth().ok());
  EXPECT_EQ(world.WrongRates(), "");
  EXPECT_FALSE(world.daemon->SaysShaped());
  EXPECT_THAT(world.daemon->shaping.KeyOfFact(kKey), ElementsAre("0:1"));
  ASSERT_TRUE(world.daemon->shaping.Reconcile("0:1", {}).ok());
  EXPECT_TRUE(world.daemon->SaysShaped());
}

}  // namespace
}  // namespace forkplane
