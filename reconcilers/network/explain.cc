// /debug/plan/network/NAME.
#include <nlohmann/json.hpp>

#include "controller/base/network_names.h"
#include "crd/json.h"
#include "reconcilers/network/reconciler.h"

namespace forkplane::network {
namespace {

using crd::Json;

Json JsonOf(const Desired& desired) {
  Json json = {{"present", desired.present},
               {"bridge", BridgeName(desired.bridge)},
               {"gateway", ToString(desired.gateway)},
               {"mtu", desired.mtu},
               {"isolated", desired.isolated}};
  if (desired.firewall) {
    json["firewallNetworks"] = desired.firewall->networks.size();
    json["openedLinks"] = desired.firewall->opened;
    json["unshapedLinks"] = desired.firewall->unshaped;
  }
  return json;
}

Json JsonOf(const Observed& observed) {
  Json addresses = Json::array();
  for (const auto& address : observed.addresses) addresses.push_back(ToString(address));
  Json switches = Json::array();
  for (const auto which : observed.switches) switches.push_back(ToString(which));
  return {{"link", observed.link ? Json(observed.link->name) : Json()},
          {"up", observed.link && observed.link->up},
          {"mac", observed.link ? Json(ToString(observed.link->mac)) : Json()},
          {"addresses", std::move(addresses)},
          {"switches", std::move(switches)},
          {"unjudgedRule", observed.unjudged_rule},
          {"hostForwards", observed.host_forwards},
          {"blackhole", observed.routes.blackhole},
          {"connectedRoute", observed.routes.connected},
          {"firewallNetworks", observed.firewall ? observed.firewall->networks.size() : 0}};
}

}  // namespace

// The first bridge, then what is found and wished of the further ones; one plan of all.
Result<std::string> NetworkReconciler::Explain(const std::string& key) {
  const auto lease = ledger_.GetNetworkByName(key);
  if (!lease) return NotFound(fmt::format("network {} has no lease on this host", key));
  const Bridge first{lease->bridge, true, !lease->releasing};
  ASSIGN_OR_RETURN(const Observed observed, Observe(lease->parameters, first));
  ASSIGN_OR_RETURN(const Desired desired, Desire(*lease, first, observed));
  Json plan = Json::array();
  for (const Action& action : MakePlan(desired, observed)) plan.push_back(ToString(action));
  Json further = Json::array();
  for (const ledger::FurtherBridge& bridge : lease->further) {
    const Bridge other{bridge.number, false, !bridge.releasing && !lease->releasing};
    ASSIGN_OR_RETURN(const Observed is, Observe(lease->parameters, other));
    ASSIGN_OR_RETURN(const Desired want, Desire(*lease, other, is));
    further.push_back({{"desired", JsonOf(want)},
                       {"observed", JsonOf(is)},
                       {"ports", ledger_.PortsOf(bridge.number)}});
    for (const Action& action : MakePlan(want, is)) {
      plan.push_back(fmt::format("{} {}", BridgeName(bridge.number), ToString(action)));
    }
  }
  return crd::DumpJson({{"desired", JsonOf(desired)},
                        {"observed", JsonOf(observed)},
                        {"further", std::move(further)},
                        {"plan", std::move(plan)}});
}

}  // namespace forkplane::network
