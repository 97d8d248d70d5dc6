#include "controller/app/debug.h"

#include <nlohmann/json.hpp>

#include "controller/base/network_names.h"

namespace forkplane::app {
namespace {

using Json = nlohmann::json;

// null: nobody wrote it down.
Json Since(WallTime since) { return since == WallTime() ? Json() : Json(FormatTime(since)); }

Json ToJson(const ledger::NetworkLease& lease) {
  return {{"uid", lease.parameters.uid},
          {"name", lease.parameters.name},
          {"cidr", ToString(lease.parameters.cidr)},
          {"gateway", ToString(lease.parameters.gateway)},
          {"bridge", BridgeName(lease.bridge)},
          {"releasing", lease.releasing},
          {"owner", lease.parameters.name},
          {"state", lease.releasing ? "Releasing" : "Active"},
          {"since", Since(lease.since)}};
}

Json ToJson(const ledger::InterfaceLease& lease) {
  Json waits_for = Json::array();
  if (lease.state == ledger::InterfaceState::kReleasing) {
    if (!lease.tap_absent) waits_for.push_back("tap");
    if (!lease.class_absent) waits_for.push_back("class");
  }
  return {{"id", lease.id},
          {"name", lease.name},
          {"network", lease.network_name},
          {"address", ToString(lease.address)},
          {"tap", TapName(lease.number)},
          {"class", fmt::format("7f00:{:x}", MinorOf(lease.number))},
          {"state", std::string(ledger::ToString(lease.state))},
          {"waitsFor", std::move(waits_for)},
          {"since", Since(lease.since)}};
}

Json ToJson(const ledger::VmLease& lease) {
  Json vm = {{"owner", ledger::ToString(lease.owner)},
             {"uid", lease.owner.uid},
             {"releasing", lease.releasing},
             {"state", lease.releasing ? "Releasing" : "Active"},
             {"vmmUid", lease.vmm_uid},
             {"cgroup", lease.cgroup},
             {"directory", lease.directory},
             {"since", Since(lease.since)},
             {"interfaces", Json::array()}};
  if (lease.vmm) vm["vmm"] = {{"pid", lease.vmm->pid}, {"bootID", lease.vmm->boot_id}};
  if (lease.slot) {
    vm["slot"] = {{"pool", lease.slot->pool},
                  {"granted", lease.slot->granted},
                  {"position", lease.slot->position},
                  {"state", lease.slot->granted ? "Granted" : "Waiting"},
                  {"since", Since(lease.slot->since)}};
  }
  for (const ledger::InterfaceLease& interface : lease.interfaces) {
    vm["interfaces"].push_back(ToJson(interface));
  }
  return vm;
}

Json ToJson(const ledger::RestingAddress& resting, const Clock& clock) {
  const auto left = std::max(resting.until - clock.Now(), MonotonicTime::duration(0));
  const WallTime since = clock.WallNow() - (resting.rest - left);
  return {{"address", ToString(resting.address)},
          {"lastOwner", ledger::ToString(resting.last_owner)},
          {"lastOwnerUid", resting.last_owner.uid},
          {"networkUid", resting.network_uid},
          {"state", left.count() > 0 ? "Resting" : "Rested"},
          {"since", FormatTime(since)},
          {"millisecondsLeft", std::chrono::ceil<std::chrono::milliseconds>(left).count()}};
}

Json ToJson(const ledger::PoolState& pool) {
  Json waiting = Json::array();
  for (const ledger::Owner& owner : pool.waiting) waiting.push_back(ledger::ToString(owner));
  return {{"pool", pool.pool},
          {"total", pool.total},
          {"granted", pool.granted},
          {"waiting", std::move(waiting)},
          {"oldestWait", pool.oldest_wait ? Since(*pool.oldest_wait) : Json()}};
}

}  // namespace

std::string LedgerToJson(const ledger::Listing& listing, const Clock& clock) {
  Json json = {{"identity", listing.identity},      {"unreadable", listing.unreadable},
               {"networks", Json::array()},         {"vms", Json::array()},
               {"restingAddresses", Json::array()}, {"pools", Json::array()}};
  for (const auto& network : listing.networks) json["networks"].push_back(ToJson(network));
  for (const auto& vm : listing.vms) json["vms"].push_back(ToJson(vm));
  for (const auto& resting : listing.resting) {
    json["restingAddresses"].push_back(ToJson(resting, clock));
  }
  for (const auto& pool : listing.pools) json["pools"].push_back(ToJson(pool));
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

Result<std::string> Debug::Plan(std::string_view controller, std::string_view key) {
  std::string names;
  for (runtime::Controller* known : controllers_) {
    if (known->name() == controller) return known->reconciler().Explain(std::string(key));
    names += (names.empty() ? "" : ", ") + known->name();
  }
  return NotFound(fmt::format("no controller \"{}\": there are {}", controller, names));
}

Result<std::string> Debug::Ledger() { return LedgerToJson(ledger_.ListAll(), clock_); }

}  // namespace forkplane::app
