// The network loop: one pass for one Network (key: its name). See plan.h for what it owns.
//
// NOTE Wiring (app): ONE worker: the firewall table is shared by all Networks and written whole.
// Add a key for a change of a Network object, a ledger Change (KeysOf; of kind kNetwork at once, a
// further bridge is waited for; else merged, it is a count), a LinkEvent on our bridges and kLost
// (KeysOf; merged unless the bridge is new, gone, or went up or down: each port that joins is an
// event of its bridge), and a periodic resync of every Network and of kRulesKey. What happens to
// our table or to a default route, and a change of UplinkFacts, add kRulesKey at once: a gap in
// the rules is as long as one pass.
//
// NOTE Forwarding: a Network that stands is probed when a pass changed something of it and at the
// periodic resync (forwarding.h), never because of a port; it stays Ready when it is blocked, since
// guests and host still talk.
//
// NOTE Deletion: a finalizer of ours holds a Network until no interface uses it and its bridge was
// seen gone. A lease whose object vanished without that (lost store, forced finalizer) is kept.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "controller/ledger/ledger.h"
#include "controller/runtime/facts.h"
#include "controller/runtime/reconciler.h"
#include "controller/runtime/repairs.h"
#include "crd/network.h"
#include "drivers/flow_driver.h"
#include "drivers/forwarding_probe.h"
#include "drivers/link_events.h"
#include "drivers/route_driver.h"
#include "drivers/sysctl_driver.h"
#include "reconcilers/network/forwarding.h"
#include "reconcilers/network/plan.h"
#include "reconcilers/network/refusals.h"

namespace forkplane::network {

inline constexpr const char* kFinalizer = "forkplane.dev/network";
// The rules of all Networks, and nothing else. No Network can have this name.
inline constexpr const char* kRulesKey = "/rules";

// All outlive the reconciler.
struct Drivers {
  drivers::LinkDriver& links;
  drivers::RouteDriver& routes;
  drivers::SysctlDriver& sysctls;
  drivers::FirewallDriver& firewall;
  drivers::ForwardingProbe& forwarding;
  drivers::FlowDriver& flows;
};

// The Network objects, and what is written back. The app builds it from an informer, the finalizer
// helpers and the status writer.
class Objects {
 public:
  virtual ~Objects() = default;
  virtual std::shared_ptr<const crd::Network> Get(const std::string& name) const = 0;
  virtual Status AddFinalizer(const crd::Network& network) = 0;
  virtual Status RemoveFinalizer(const crd::Network& network) = 0;
  virtual void Report(const crd::Network& network, const crd::NetworkStatus& status) = 0;
};

class NetworkReconciler final : public runtime::Reconciler {
 public:
  NetworkReconciler(ledger::Ledger& ledger, Objects& objects, Drivers drivers,
                    std::string host_name, Clock& clock = RealClock(),
                    metrics::Registry* registry = nullptr,
                    const runtime::UplinkFactBoard* uplinks = nullptr);

  Result<runtime::Next> Reconcile(const std::string& key, const std::stop_token& stop) override;
  Result<std::string> Explain(const std::string& key) override;

  std::vector<std::string> KeysOf(const ledger::Change& change) const;
  std::vector<std::string> KeysOf(const drivers::LinkEvent& event) const;

 private:
  // Of what is counted as repaired.
  static constexpr const char* kBridgePart = "bridge";
  static constexpr const char* kRulesPart = "rules";
  static constexpr const char* kForwardingPart = "forwarding";  // of links of others

  struct Bridge {
    std::uint32_t number = 0;
    bool first = true;  // the others come and go with the number of ports
    bool present = true;
  };
  // What a pass found, for the status.
  struct Outcome {
    std::string reason = "Ready";  // Ready: True
    std::string message;
    std::string conflict;  // the overlapping route, or Network; "": none
    bool no_uplink = false;
    std::string blocked;  // who drops what guests send; "": nobody, as far as known
    std::string bounded;  // guests whose new connections were refused; "": none
  };

  Result<runtime::Next> Raise(const crd::Network& object, const std::stop_token& stop);
  Result<runtime::Next> Remove(const crd::Network& object, const std::stop_token& stop);
  Result<std::string> OverlappingRoute(const Cidr& cidr);
  Result<std::string> UplinkName();
  Result<ForwardingQuestion> AskOf(const ledger::NetworkLease& lease, bool outwards);
  Status JudgeForwarding(const crd::Network& object, const ledger::NetworkLease& lease,
                         bool changed, Outcome& outcome);
  Result<Desired> Desire(const ledger::NetworkLease& lease, const Bridge& bridge,
                         const Observed& observed);
  Result<drivers::FirewallRules> DesireFirewall(const Observed& observed);
  Result<std::set<std::string>> LinksToOpen(const Observed& observed);
  std::set<std::string> UnshapedLinks(const Observed& observed) const;
  Result<std::set<std::string>> Routers(const Observed& observed);
  std::vector<Action> Plan(const Desired& desired, const Observed& observed);
  Status ConvergeRules(const std::stop_token& stop);
  Result<Observed> Observe(const ledger::NetworkParameters& network, const Bridge& bridge);
  // Of the table, and of what stands in for it.
  Result<Observed> ObserveRules();
  // Whether anything had to be changed.
  Result<bool> ConvergeAll(const ledger::NetworkLease& lease, bool present,
                           const std::stop_token& stop);
  Result<bool> ConvergeFurther(const ledger::NetworkLease& lease,
                               const ledger::FurtherBridge& further, bool present,
                               const std::stop_token& stop);
  Result<bool> Converge(const ledger::NetworkLease& lease, const Bridge& bridge,
                        const std::stop_token& stop);
  Status Execute(const std::string& name, const Desired& desired, const Action& action);
  void Report(const crd::Network& object, const Outcome& outcome);

  ledger::Ledger& ledger_;
  Objects& objects_;
  Drivers drivers_;
  const std::string host_name_;
  const runtime::UplinkFactBoard* const uplinks_;  // null: uploads are always shaped
  ForwardingWatch forwarding_;
  RefusalWatch refusals_;
  // Since this daemon began, by the Network's uid: for a store that is lost while it runs.
  std::map<std::string, drivers::FirewallNetwork> known_rules_;
  // Links of others that forward by somebody's wish; none: not looked yet.
  std::optional<std::set<std::string>> routers_;
  bool flows_doubtful_ = true;  // nobody knows what passed while no daemon ran
  runtime::Repairs<std::uint32_t, DesiredBridge> bridge_repairs_;  // by the bridge's number
  runtime::Repairs<std::string, drivers::FirewallRules> repairs_;  // of the one table
};

}  // namespace forkplane::network
