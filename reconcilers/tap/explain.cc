#include "reconcilers/tap/explain.h"

#include <nlohmann/json.hpp>

#include "controller/base/network_names.h"
#include "crd/json.h"

namespace forkplane::tap {
namespace {

using crd::Json;

Json JsonOf(const std::optional<drivers::IdentityEntry>& entry) {
  if (!entry) return nullptr;
  Json dns = Json::array();
  for (const Ipv4 server : entry->dns) {
    if (!server.empty()) dns.push_back(ToString(server));
  }
  return {{"innerMAC", ToString(entry->inner_mac)},
          {"innerAddress", ToString(entry->inner_address)},
          {"outerMAC", ToString(entry->outer_mac)},
          {"outerAddress", ToString(entry->outer_address)},
          {"gateway", fmt::format("{}/{}", ToString(entry->gateway), entry->prefix_length)},
          {"mtu", entry->mtu},
          {"dns", std::move(dns)}};
}

const char* NameOf(drivers::TapFile file) {
  if (file == drivers::TapFile::kNone) return "None";
  return file == drivers::TapFile::kAttached ? "Attached" : "Detached";
}

const char* NameOf(drivers::ProgramState state) {
  switch (state) {
    case drivers::ProgramState::kNone:
      return "None";
    case drivers::ProgramState::kOurs:
      return "Ours";
    case drivers::ProgramState::kStale:
      return "Stale";
    case drivers::ProgramState::kForeign:
      break;
  }
  return "Foreign";
}

const char* NameOf(Root root) {
  if (root == Root::kNone) return "None";
  return root == Root::kTbf ? "Tbf" : "Other";
}

const char* NameOf(Vmm vmm) {
  if (vmm == Vmm::kUnknown) return "Unknown";
  return vmm == Vmm::kRunning ? "Running" : "None";
}

Json JsonOf(const Desired& desired) {
  if (!desired.present) return {{"present", false}};
  return {{"present", true},
          {"bridge", BridgeName(desired.bridge)},
          {"routed", desired.routed},
          {"isolated", desired.isolated},
          {"mtu", desired.mtu},
          {"address", ToString(desired.address)},
          {"entry", JsonOf(std::optional(desired.entry))},
          {"unshapedBytesPerSecond", desired.unshaped.rate_bytes_per_second}};
}

Json JsonOf(const Observed& observed) {
  Json json = {{"link", nullptr},
               {"file", NameOf(observed.file)},
               {"entry", JsonOf(observed.entry)},
               {"bridgeUp", observed.bridge_up},
               {"hostRoute", observed.host_route},
               {"neighbour", nullptr},
               {"vmm", NameOf(observed.vmm)}};
  if (observed.neighbour) json["neighbour"] = ToString(*observed.neighbour);
  if (!observed.link) return json;
  const drivers::Link& link = *observed.link;
  json["link"] = {{"name", link.name},
                  {"alias", link.alias},
                  {"mtu", link.mtu},
                  {"master", link.master},
                  {"up", link.up},
                  {"isolated", link.isolated},
                  {"carrier", link.carrier},
                  {"ipv6Disabled", observed.ipv6_disabled},
                  {"clsact", observed.clsact},
                  {"root", NameOf(observed.root)},
                  {"ingress", NameOf(observed.programs.ingress)},
                  {"egress", NameOf(observed.programs.egress)}};
  return json;
}

}  // namespace

std::string ExplainText(const ledger::InterfaceLease& lease, const Desired& desired,
                        const Observed& observed) {
  Json plan = Json::array();
  for (const Action& action : MakePlan(desired, observed)) plan.push_back(ToString(action));
  return crd::DumpJson({{"lease", lease.id},
                        {"owner", ToString(lease.owner)},
                        {"tap", TapName(lease.number)},
                        {"desired", JsonOf(desired)},
                        {"observed", JsonOf(observed)},
                        {"plan", std::move(plan)},
                        {"waitsFor", WaitsFor(desired, observed)}});
}

}  // namespace forkplane::tap
