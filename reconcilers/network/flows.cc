#include "reconcilers/network/flows.h"

#include <netinet/in.h>

#include <algorithm>
#include <array>

namespace forkplane::network {
namespace {

using drivers::Egress;
using drivers::FirewallNetwork;
using drivers::FirewallRules;
using drivers::Flow;
using drivers::Opening;

// As the chains have them (drivers/nftables/table.cc).
constexpr std::array<Ipv4Prefix, 4> kPrivate = {{{{0x0a000000}, 8},     // 10.0.0.0
                                                 {{0x64400000}, 10},    // 100.64.0.0
                                                 {{0xac100000}, 12},    // 172.16.0.0
                                                 {{0xc0a80000}, 16}}};  // 192.168.0.0
constexpr Ipv4Prefix kLinkLocal = {{0xa9fe0000}, 16};

const FirewallNetwork* NetworkOf(const FirewallRules& rules, Ipv4 address) {
  for (const FirewallNetwork& network : rules.networks) {
    if (network.cidr.Contains(address)) return &network;
  }
  return nullptr;
}

bool Covers(const std::vector<Opening>& boxes, Ipv4 remote, const Flow& flow) {
  const bool has_ports = flow.port != 0;
  return std::any_of(boxes.begin(), boxes.end(), [&](const Opening& box) {
    const bool port = has_ports ? box.port_first <= flow.port && flow.port <= box.port_last
                                : box.port_first == 0 && box.port_last == drivers::kAnyPortLast;
    return box.first <= remote && remote <= box.last && box.protocol_first <= flow.protocol &&
           flow.protocol <= box.protocol_last && port;
  });
}

bool MayCallHost(const FirewallNetwork& network, const Flow& flow) {
  return network.host_access || flow.protocol == IPPROTO_ICMP ||
         Covers(network.services, flow.destination, flow);
}

bool MayLeave(const FirewallNetwork& network, Ipv4 to, const Flow& flow) {
  if (kLinkLocal.Contains(to) && !network.metadata_access) return false;
  if (Covers(network.allow, to, flow)) return true;
  if (network.egress != Egress::kInternet) return network.egress == Egress::kAll;
  return std::none_of(kPrivate.begin(), kPrivate.end(),
                      [&](const Ipv4Prefix& block) { return block.Contains(to); });
}

}  // namespace

bool IsForbidden(const FirewallRules& rules, const std::set<Ipv4>& host, const Flow& flow) {
  if (host.contains(flow.source)) return false;
  const FirewallNetwork* from = NetworkOf(rules, flow.source);
  const Ipv4 callee = flow.reply_source;  // whom the packets reach
  const bool to_host = host.contains(callee);
  const FirewallNetwork* to = to_host ? nullptr : NetworkOf(rules, callee);
  if (from == nullptr) return to != nullptr && !Covers(to->ingress, flow.source, flow);
  if (to_host) return !MayCallHost(*from, flow);
  if (to != nullptr) return to != from || from->isolated;
  const bool masqueraded = flow.reply_destination != flow.source;
  return masqueraded != from->masquerade || !MayLeave(*from, callee, flow);
}

bool Closes(const FirewallRules& from, const FirewallRules& to) {
  return !from.unexpected.empty() ||
         !std::all_of(from.networks.begin(), from.networks.end(), [&](const FirewallNetwork& is) {
           return std::find(to.networks.begin(), to.networks.end(), is) != to.networks.end();
         });
}

}  // namespace forkplane::network
