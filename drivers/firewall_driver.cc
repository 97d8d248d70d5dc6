#include "drivers/firewall_driver.h"

#include <algorithm>
#include <set>

namespace forkplane::drivers {
namespace {

constexpr std::size_t kLinkNameMax = 15;

// Link names may hold almost any byte; those that nft's quoting cannot are refused.
bool IsPlainName(const std::string& name) {
  return !name.empty() && name.size() <= kLinkNameMax &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return c > ' ' && c < 0x7f && c != '"' && c != '*' && c != '\\';
         });
}

}  // namespace

Status Validate(const FirewallRules& rules) {
  std::set<Ipv4Prefix> seen;
  for (const FirewallNetwork& network : rules.networks) {
    const std::string what = fmt::format("firewall for {}", ToString(network.cidr));
    if (network.cidr != network.cidr.Network()) return Invalid(what + ": host bits are set");
    if (!seen.insert(network.cidr).second) return Invalid(what + ": given twice");
    if (network.masquerade && !IsPlainName(network.uplink)) {
      return Invalid(fmt::format("{}: uplink '{}' cannot be used", what, network.uplink));
    }
  }
  return OkStatus();
}

FirewallRules Canonical(FirewallRules rules) {
  for (FirewallNetwork& network : rules.networks) {
    if (!network.masquerade) network.uplink.clear();
  }
  // A network without any rule leaves no trace.
  std::erase_if(rules.networks, [](const auto& n) { return !n.isolated && !n.masquerade; });
  std::sort(rules.networks.begin(), rules.networks.end());
  rules.unexpected.clear();
  return rules;
}

}  // namespace forkplane::drivers
