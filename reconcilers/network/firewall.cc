// What is wanted of the one table of all Networks, what is seen of it, and the way from one to the
// other.
#include <algorithm>
#include <set>

#include "controller/base/network_names.h"
#include "controller/runtime/converge.h"
#include "reconcilers/network/reconciler.h"
#include "reconcilers/network/rules.h"

namespace forkplane::network {

// A Network whose object is not known (a lost store) keeps the rules that it had: those this daemon
// saw, or those that stand.
Result<drivers::FirewallRules> NetworkReconciler::DesireFirewall(const Observed& observed) {
  drivers::FirewallRules rules;
  for (const auto& lease : ledger_.Networks()) {
    if (lease.releasing) continue;
    const ledger::NetworkParameters& parameters = lease.parameters;
    const auto object = objects_.Get(parameters.name);
    if (object && object->metadata.uid == parameters.uid) {
      ASSIGN_OR_RETURN(drivers::FirewallNetwork rule, RuleOf(object->spec, lease));
      known_rules_.insert_or_assign(parameters.uid, rule);
      rules.networks.push_back(std::move(rule));
      continue;
    }
    const auto known = known_rules_.find(parameters.uid);
    drivers::FirewallNetwork rule = known != known_rules_.end() ? known->second : ClosedRule(lease);
    if (observed.firewall && known == known_rules_.end()) {
      for (const auto& is : observed.firewall->networks) {
        if (is.cidr == rule.cidr) rule = is;
      }
    }
    rules.networks.push_back(std::move(rule));
  }
  if (!rules.networks.empty()) {
    ASSIGN_OR_RETURN(rules.opened, LinksToOpen(observed));
    rules.unshaped = UnshapedLinks(observed);
  }
  return drivers::Canonical(std::move(rules));
}

// Until the host loop knows, what the last daemon closed stays closed.
std::set<std::string> NetworkReconciler::UnshapedLinks(const Observed& observed) const {
  if (uplinks_ == nullptr) return {};
  const auto fact = uplinks_->Get(host_name_);
  if (!fact) return observed.firewall ? observed.firewall->unshaped : std::set<std::string>();
  if (!drivers::CanNameLink(fact->unshaped)) return {};
  return {fact->unshaped};
}

// Every link of others, but those that forwarded by somebody's wish before we came: guests may
// leave by any, and answers must come in by it.
Result<std::set<std::string>> NetworkReconciler::LinksToOpen(const Observed& observed) {
  std::set<std::string> opened;
  if (observed.host_forwards) {
    routers_.reset();  // whoever takes that back switches every link off
    return opened;
  }
  if (!routers_) {
    ASSIGN_OR_RETURN(routers_, Routers(observed));
  }
  for (const auto& [name, forwards] : observed.foreign) {
    // One that no rule can name stays as it is: it may not keep all others from having rules.
    if (!routers_->contains(name) && drivers::CanNameLink(name)) opened.insert(name);
  }
  return opened;
}

// The table knows which links an earlier daemon has opened. Where it was lost and bridges of that
// daemon stand, nobody can tell: all are taken for opened, which closes them to others.
Result<std::set<std::string>> NetworkReconciler::Routers(const Observed& observed) {
  std::set<std::string> routers;
  if (!observed.firewall) {
    ASSIGN_OR_RETURN(const std::vector<drivers::Link> links, drivers_.links.ListOwned());
    const bool was_here = std::any_of(links.begin(), links.end(), [](const drivers::Link& link) {
      return IsBridgeIndex(link.index);
    });
    if (was_here) return routers;
  }
  for (const auto& [name, forwards] : observed.foreign) {
    const bool opened = observed.firewall && observed.firewall->opened.contains(name);
    if (forwards && !opened) routers.insert(name);
  }
  return routers;
}

Result<Observed> NetworkReconciler::ObserveRules() {
  Observed observed;
  ASSIGN_OR_RETURN(observed.firewall, drivers_.firewall.Observe());
  ASSIGN_OR_RETURN(observed.unjudged_rule, drivers_.routes.HasUnjudgedRule());
  ASSIGN_OR_RETURN(observed.host_forwards, drivers_.sysctls.Ipv4Forwarding());
  ASSIGN_OR_RETURN(observed.foreign, drivers_.sysctls.ForeignForwarding());
  return observed;
}

// Of all Networks, whatever their bridges are like.
Status NetworkReconciler::ConvergeRules(const std::stop_token& stop) {
  Desired desired;
  desired.present = false;
  drivers::FirewallRules rules;
  RETURN_IF_ERROR(runtime::Converge<Observed>(
      [&]() -> Result<Observed> {
        ASSIGN_OR_RETURN(Observed is, ObserveRules());
        ASSIGN_OR_RETURN(rules, DesireFirewall(is));
        return is;
      },
      [&](const Observed& is) {
        desired.firewall = rules;
        desired.flows_doubtful = flows_doubtful_;
        repairs_.Want(kRulesKey, rules);
        return Plan(desired, is);
      },
      [&](const Action& action) { return Execute("", desired, action); }, stop));
  repairs_.Saw(kRulesKey, rules);
  return OkStatus();
}

}  // namespace forkplane::network
