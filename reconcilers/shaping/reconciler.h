// The shaping loop. Two kinds of keys: a shaping domain (the IFB's number, "0") is looked at and
// repaired as a whole, what nobody leased and what is released included; an active interface
// ("0:1f", IFB and minor as tc writes it) costs the same however many others there are. What one
// interface alone does not get right, its domain does. See plan.h for what it owns and promises.
// No fork waits for it: until it ran, both directions are bounded by the Network's unshapedRate
// and the default class.
//
// NOTE Wiring (app): one worker, so that no two passes are about one class. Add a key for
//   - a ledger Change of kind kInterface or kNetwork (KeysOf),
//   - a LinkEvent on our IFBs or TAPs (KeysOf, gathered for MergeWindow); kLost: AllKeys. What the
//     loop itself changes it looks at: of that no event should come back (netlink::RateEvents),
//   - a change of a VirtualMachine (KeysOfVm) or of a Network's defaultBandwidth (AllKeys),
//   - a change of InterfaceFacts (KeyOfFact),
//   - a periodic resync: AllKeys.
// `requeue`, `looking` and `pressed` of Options go to the same queue. Looking with the key of a
// domain means its interfaces too (WorkQueue::Looking). Domains stand behind interfaces (IsDomain),
// and end early for one that waits.
// Before the key, tell Learn of each ledger Change and LearnOfVm, LearnOfNetwork of each change of
// an object that was known before: the lag is counted from there.
//
// NOTE Facts: publishes InterfaceFacts.shaped only when what was seen equals the spec, with the
// rates as observed. The ledger is told ConfirmAbsent(kClass) after a dump without the class.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

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
};

// MakePlan, or in tests a mutant of it that the suite must notice.
using Planner = std::function<std::vector<Action>(const Desired&, const Observed&)>;

struct Options {
  drivers::LeafKind leaf = drivers::LeafKind::kBfifo;  // fq_codel where the kernel has it
  std::function<void(const std::string& key)> requeue = {};
  // Before each look of a pass at the kernel: answers what was merged into the queue before.
  std::function<void(const std::string& key)> looking = {};
  // Whether the key of an interface waits for the worker.
  std::function<bool()> pressed = {};
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

  // Many changes, nobody waits for each: a thousand releases, say.
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
  // What a pass saw besides what stands.
  struct Sight {
    MonotonicTime looked;           // when the last look began
    std::vector<Wish> wishes;       // by it; one for each lease
    std::set<std::uint32_t> newer;  // of TAPs that the first look did not find
    bool yields = false;            // of a domain: its pass has ended for an interface
  };
  // Until the kernel is as wished.
  Result<Observed> Shape(const std::string& key, const Scope& scope, const Leases& leases,
                         Sight& sight, const std::stop_token& stop);
  // Needs the observation: unlimited means the uplink's capacity.
  std::vector<Wish> WishesOf(const Leases& leases, const Observed& observed) const;
  static Desired Desire(std::vector<Wish> wishes, const Observed& observed);
  Wish WishOf(const ledger::InterfaceLease& lease, const Observed& observed) const;
  Result<Observed> Observe(const Scope& scope, const Leases& leases);
  bool MustYield(const std::string& key, int actions) const;
  Status Execute(std::uint32_t ifb, const Action& action);
  void Amend(const ledger::InterfaceLease& lease,
             const std::function<void(runtime::InterfaceFacts&)>& change);
  void Fail(const Leases& leases);
  void Want(const Desired& desired);
  void Note(const ledger::InterfaceLease& lease, const Wish& wish, const std::string& shortfall,
            MonotonicTime looked);
  void Publish(const ledger::InterfaceLease& lease, const Wish& wish, const std::string& shortfall,
               const Observed& observed);
  Status ConfirmReleased(const Leases& leases, const Observed& observed);

  ledger::Ledger& ledger_;
  const Specs& specs_;
  drivers::QdiscDriver& qdiscs_;
  runtime::InterfaceFactBoard& facts_;
  const Options options_;
  Metrics metrics_;
  runtime::Repairs<std::uint32_t, Rates> repairs_;  // by number
};

}  // namespace forkplane::shaping
