// The host loop: one key, "uplink". See plan.h for what it owns. It also writes Host.status, of
// which the app supplies what no loop knows (Facts).
//
// The translating programs are loaded and pinned when the identity driver opens: a host without
// them never gets as far as this loop.
//
// NOTE Wiring (app): one worker. Add kKey for a LinkEvent on an IFB of ours and for kLost, a change
// of our Host object, an OrphanFacts change, a ledger Change (KeysOf; merged: slots are a count,
// and until a further IFB is there its interfaces cannot send, so nothing passes unbounded), and a
// periodic resync.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "controller/ledger/ledger.h"
#include "controller/runtime/compute_budget.h"
#include "controller/runtime/facts.h"
#include "controller/runtime/reconciler.h"
#include "controller/runtime/repairs.h"
#include "crd/host.h"
#include "drivers/identity_driver.h"
#include "drivers/link_events.h"
#include "drivers/route_driver.h"
#include "drivers/sysctl_driver.h"
#include "reconcilers/host/plan.h"

namespace forkplane::host {

inline constexpr const char* kKey = "uplink";
inline constexpr std::uint64_t kUnknownCapacityBits = 100'000'000'000;  // 100 Gbit/s
inline constexpr std::uint64_t kDefaultClassBits = 1'000'000;           // of what no class claims

// All outlive the reconciler.
struct Drivers {
  drivers::LinkDriver& links;
  drivers::QdiscDriver& qdiscs;
  drivers::RouteDriver& routes;
  drivers::SysctlDriver& sysctls;
  drivers::IdentityDriver& identities;
};

struct Options {
  std::string host_name;
  std::uint32_t domains = 16;  // IFBs there may be (ledger Options)
  drivers::LeafKind leaf = drivers::LeafKind::kBfifo;
  // Our Host object as the cache has it; null: not there (yet).
  std::function<std::shared_ptr<const crd::Host>()> object;
  // Capacity, hypervisors, pressure, kernel version and features: what the app knows.
  std::function<crd::HostStatus()> known;
  // Hands a whole status to the status writer.
  std::function<void(const crd::Host& object, const crd::HostStatus& status)> report;
  // With --redirect mark, whenever upload is to be shaped on another link than before: of what
  // stands there already no event tells. Add every shaping key.
  std::function<void()> moved = {};
  // Conditions of other rooms, shown beside ours; null: none. Add kKey when it changes.
  const runtime::HostConditionBoard* conditions = nullptr;
  // What is promised to machines; null: not shown. Add kKey when it changes.
  const runtime::ComputeBudget* compute = nullptr;
  // What the uplink carries, for those that promise of it; null: nobody asks.
  runtime::UplinkFactBoard* uplinks = nullptr;
  metrics::Registry* registry = nullptr;
};

class HostReconciler final : public runtime::Reconciler {
 public:
  HostReconciler(const ledger::Ledger& ledger, Drivers drivers,
                 const runtime::OrphanFactBoard& orphans, Options options);

  Result<runtime::Next> Reconcile(const std::string& key, const std::stop_token& stop) override;
  Result<std::string> Explain(const std::string& key) override;

  // Before any loop starts: what the uplink carries, and which link stands in for IFB 0, so that no
  // pass takes an IFB that is not there for classes that are gone.
  Status FindUplink();

  std::vector<std::string> KeysOf(const ledger::Change& change) const;
  std::vector<std::string> KeysOf(const drivers::LinkEvent& event) const;

 private:
  struct Capacity {
    std::uint64_t bits_per_second = 0;
    std::string uplink;       // "": none
    std::uint32_t index = 0;  // of it
    bool known = true;
  };
  // How a pass ended, for NetworkReady.
  static constexpr const char* kConverged = "Converged";
  struct Outcome {
    std::string reason = kConverged;
    std::string message;
  };
  // The action that failed last, and how.
  struct Refusal {
    Action action;
    Error error;
  };
  static void NameCause(const Refusal& refusal, Outcome& outcome);
  Result<Outcome> JudgeUplinks(const crd::Host* object);
  Result<Capacity> UploadCapacity(const crd::Host* object);
  // `taken`: its root qdisc is somebody else's.
  void PublishUplink(const Capacity& capacity, bool taken);
  bool IsShut() const;  // as published last; not seen yet: where uploads are shaped on it
  Desired Desire(const crd::Host* object, const Capacity& capacity) const;
  bool ShapesOnUplink() const;
  Outcome JudgeShaping(const Desired& desired, const Observed& observed,
                       const Capacity& capacity) const;
  void ShapeOn(std::uint32_t uplink);
  Status ObserveUplink(const Desired& desired, Observed& observed);
  Result<Observed> Observe(const Desired& desired);
  Status Execute(const Desired& desired, const Action& action);
  void Report(const Capacity& capacity, const Outcome& outcome);
  void FillSlots(crd::HostStatus& status) const;

  const ledger::Ledger& ledger_;
  Drivers drivers_;
  const runtime::OrphanFactBoard& orphans_;
  const Options options_;
  runtime::Repairs<std::string, Desired> repairs_;
  std::uint32_t shaped_on_ = 0;  // one worker
  bool left_behind_ = true;      // an earlier daemon's HTB on a link that is not ours, perhaps
};

}  // namespace forkplane::host
