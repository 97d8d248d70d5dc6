// The shaping loop. Two kinds of keys: a shaping domain (the IFB's number, "0") is looked at and
// repaired as a whole, what nobody leased and what is released included; an active interface
// ("0:1f", IFB and minor as tc writes it) costs the same however many others there are. What one
// interface alone does not get right, its domain does. See plan.h for what it owns and promises.
// A new interface is shaped by the pass that makes its TAP (ShapeNewborn, on that pass's thread);
// this loop looks at it a second later, with its domain. What could not be shaped so is this
// loop's: until it ran, both directions are bounded by the Network's unshapedRate and the default
// class.
//
// NOTE Wiring (app): one worker, so that no two passes are about one class. Add a key for
//   - a ledger Change of kind kInterface or kNetwork (KeysOf),
//   - a LinkEvent on our IFBs or TAPs (KeysOf, gathered for MergeWindow); kLost: AllKeys. What the
//     loop itself changes it looks at: of that no event should come back (netlink::QuietSocket),
//   - a change of a VirtualMachine (KeysOfVm), of a Network's defaultBandwidth or of the host's
//     overcommit (AllKeys),
//   - a change of InterfaceFacts (KeyOfFact),
//   - a periodic resync: AllKeys.
// `later` of Options goes to the same queue. BucketOf and ShapeNewborn are the tap loop's
// (tap::Options).
// Before the key, tell Learn of each ledger Change and LearnOfVm, LearnOfNetwork of each change of
// an object that was known before: the lag is counted from there.
//
// NOTE Threading: one worker reconciles; BucketOf and ShapeNewborn run on the tap loop's threads,
// for a lease that the worker leaves alone: one of this life of which there is no fact yet.
//
// NOTE Facts: publishes InterfaceFacts.shaped only when what was seen equals the spec, with the
// rates as observed. The ledger is told ConfirmAbsent(kClass) after a dump without the class.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "controller/base/mutex.h"
#include "controller/ledger/ledger.h"
#include "controller/runtime/facts.h"
#include "controller/runtime/reconciler.h"
#include "controller/runtime/repairs.h"
#include "drivers/link_events.h"
#include "reconcilers/shaping/metrics.h"
#include "reconcilers/shaping/rates.h"

namespace forkplane::shaping {

// What the specs say. Null: not in the cache.
class Specs {
 public:
  virtual ~Specs() = default;
  virtual std::shared_ptr<const crd::VirtualMachine> Vm(const std::string& uid) const = 0;
  virtual std::shared_ptr<const crd::Network> Network(const std::string& name) const = 0;
  // spec.overcommit.network of this host.
  virtual double Overcommit() const { return 1; }
};

// MakePlan, or in tests a mutant of it that the suite must notice.
using Planner = std::function<std::vector<Action>(const Desired&, const Observed&)>;

struct Options {
  drivers::LeafKind leaf = drivers::LeafKind::kBfifo;  // fq_codel where the kernel has it
  std::function<void(const std::string& key, std::chrono::nanoseconds delay)> later = {};
  Planner plan = MakePlan;
  metrics::Registry* registry = nullptr;
  const Clock* clock = nullptr;  // none: the machine's
};

class ShapingReconciler final : public runtime::Reconciler {
 public:
  // All outlive it.
  ShapingReconciler(ledger::Ledger& ledger, const Specs& specs, drivers::QdiscDriver& qdiscs,
                    runtime::InterfaceFactBoard& facts, Options options);

  Result<runtime::Next> Reconcile(const std::string& key, const std::stop_token& stop) override;
  Result<std::string> Explain(const std::string& key) override;

  // The bucket that the TAP of an interface shall have; nullopt: not known (the VM is not in the
  // cache, or no look at the uplink has succeeded yet).
  std::optional<drivers::Tbf> BucketOf(const ledger::InterfaceLease& lease) const EXCLUDES(mu_);
  // A TAP that nobody else works on was made with the bucket that BucketOf said: makes class and
  // leaf, looks at all three, and publishes what it saw. What fails is left to the loop.
  void ShapeNewborn(const ledger::InterfaceLease& lease) EXCLUDES(mu_);

  static bool IsDomain(const std::string& key) { return key.find(':') == std::string::npos; }
  // How long events of the key are gathered.
  static std::chrono::nanoseconds MergeWindow(const std::string& key);

  std::vector<std::string> AllKeys() const;
  std::vector<std::string> KeysOf(const ledger::Change& change) const;
  std::vector<std::string> KeysOf(const drivers::LinkEvent& event) const;
  std::vector<std::string> KeysOfVm(const std::string& owner_uid) const;
  void Learn(const ledger::Change& change);
  void LearnOfVm(const std::string& owner_uid);
  void LearnOfNetwork(const std::string& network_uid);
  // Of a fact that asks for a pass: ready and not shaped yet.
  std::vector<std::string> KeyOfFact(const std::string& lease_key) const;

 private:
  using Leases = std::vector<ledger::InterfaceLease>;
  struct Scope {
    std::uint32_t ifb = 0;
    std::optional<std::uint32_t> number = {};  // of the only interface; else all of the domain
  };
  static Result<Scope> ScopeOf(const std::string& key);
  std::string KeyOfNumber(std::uint32_t number) const;
  Leases LeasesOf(const Scope& scope) const;
  struct Pass {
    Scope scope;
    bool newborn = false;              // of ShapeNewborn: its lease is given
    Leases leases;                     // as they were before the last look
    std::set<ledger::LeaseId> unborn;  // of them: kept, and nothing is said of them
    std::vector<DesiredShape> shapes;  // by the last look; one for each lease
    // What the last look found and each action since has made of it; none after one that failed.
    std::optional<Observed> known;
    MonotonicTime looked;  // when that began
  };
  // What the leases of a Network have in common.
  struct Shared {
    std::optional<std::uint32_t> mtu = {};  // none: the Network has no lease
    std::shared_ptr<const crd::Network> network = {};
  };
  // Until the kernel is as wished. `assumed` takes the place of the first look.
  Result<Observed> Shape(Pass& pass, std::optional<Observed> assumed, const std::stop_token& stop);
  // The tap loop is about to make its TAP, or does, and shapes it.
  bool IsUnborn(const ledger::InterfaceLease& lease) const;
  bool IsLeasedSince(const Pass& pass, std::uint32_t number) const;
  void TakeLeases(Pass& pass) const;
  std::optional<std::uint64_t> CapacityOf(std::uint32_t ifb) const EXCLUDES(mu_);
  static Desired Desire(std::vector<DesiredShape> shapes, const Observed& observed);
  Shared SharedOf(const ledger::InterfaceLease& lease) const;
  // What the spec asks for; nullopt: it is not known.
  struct Asked {
    crd::Bandwidth bandwidth;
    std::uint32_t mtu = 0;
    Surroundings surroundings;
  };
  std::optional<Asked> AskedFor(const ledger::InterfaceLease& lease, const Shared& shared,
                                std::uint64_t capacity) const;
  // Of each lease of the pass. Needs the observation: unlimited means the uplink's capacity.
  using AskedAll = std::vector<std::optional<Asked>>;
  AskedAll AskedOf(const Pass& pass, const Observed& observed) const;
  // With what is granted so far.
  DesiredShape DesiredShapeOf(const ledger::InterfaceLease& lease,
                              const std::optional<Asked>& asked) const;
  std::vector<DesiredShape> DesiredShapesOf(const Pass& pass, const AskedAll& asked) const;
  // Of a daemon's first look at a domain: what the classes hold was granted by an earlier one.
  Status LearnGuarantees(const Scope& scope, const Observed& observed);
  void AskForGuarantees(const Pass& pass, const AskedAll& asked, const Observed& observed);
  // Others' shares have changed: their classes are to follow.
  void Wake(const Pass* pass, const Guarantees::Others& others);
  Result<Observed> Observe(const Scope& scope, const Leases& leases) EXCLUDES(mu_);
  static void NoteClasses(const std::vector<drivers::ObservedClass>& classes, Observed& observed);
  Result<Observed> Look(Pass& pass);
  // Of a domain after actions of this pass, which the kernel has acknowledged: only its classes are
  // listed, of which it keeps what it likes (their parents), and not the qdiscs of every link.
  Result<Observed> LookAgain(const Pass& pass, Observed known);
  Status Execute(Pass& pass, const Action& action);
  void Report(const Pass& pass, const Observed& observed);
  void Amend(const ledger::InterfaceLease& lease,
             const std::function<void(runtime::InterfaceFacts&)>& change);
  void Fail(const Leases& leases);
  void Want(const Desired& desired);
  void Note(const ledger::InterfaceLease& lease, const DesiredShape& shape,
            const std::string& shortfall, MonotonicTime looked);
  void Publish(const ledger::InterfaceLease& lease, const DesiredShape& shape,
               const std::string& shortfall, const Observed& observed);
  // False: of some it is too early.
  Result<bool> ConfirmReleased(const Pass& pass, const Observed& observed);

  ledger::Ledger& ledger_;
  const Specs& specs_;
  drivers::QdiscDriver& qdiscs_;
  runtime::InterfaceFactBoard& facts_;
  const Options options_;
  const ledger::LeaseId last_unseen_;  // leases up to it are older than this process
  Guarantees guarantees_;
  Metrics metrics_;
  runtime::Repairs<std::uint32_t, Rates> repairs_;  // by number
  mutable Mutex mu_;
  // Of the root class of each IFB as last seen, in bytes per second; none while it is not there.
  std::map<std::uint32_t, std::uint64_t> capacities_ GUARDED_BY(mu_);
};

}  // namespace forkplane::shaping
