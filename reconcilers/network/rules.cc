#include "reconcilers/network/rules.h"

#include <netinet/in.h>

#include "controller/base/network_names.h"
#include "reconcilers/network/plan.h"

namespace forkplane::network {
namespace {

using drivers::Opening;

constexpr std::uint16_t kDnsPort = 53;

std::uint8_t NumberOf(crd::Transport transport) {
  switch (transport) {
    case crd::Transport::kTcp:
      return IPPROTO_TCP;
    case crd::Transport::kUdp:
      return IPPROTO_UDP;
    case crd::Transport::kSctp:
      return IPPROTO_SCTP;
    case crd::Transport::kIcmp:
      return IPPROTO_ICMP;
  }
  return 0;
}

drivers::Egress EgressOf(crd::EgressPolicy policy) {
  switch (policy) {
    case crd::EgressPolicy::kInternet:
      return drivers::Egress::kInternet;
    case crd::EgressPolicy::kAll:
      return drivers::Egress::kAll;
    case crd::EgressPolicy::kNone:
      return drivers::Egress::kNone;
  }
  return drivers::Egress::kNone;
}

Status AddOpenings(const std::string& block, const std::vector<crd::PortRange>& ports,
                   std::vector<Opening>& boxes) {
  ASSIGN_OR_RETURN(const Cidr cidr, ParseCidr(block));
  const Opening all = Opening::Of({cidr.base, static_cast<std::uint8_t>(cidr.prefix)});
  if (ports.empty()) boxes.push_back(all);
  for (const crd::PortRange& range : ports) {
    Opening box = all;
    box.protocol_first = box.protocol_last = NumberOf(range.protocol);
    if (range.port) {
      box.port_first = static_cast<std::uint16_t>(*range.port);
      box.port_last = static_cast<std::uint16_t>(range.end_port.value_or(*range.port));
    }
    boxes.push_back(box);
  }
  return OkStatus();
}

}  // namespace

drivers::FirewallNetwork ClosedRule(const ledger::NetworkLease& lease) {
  const ledger::NetworkParameters& parameters = lease.parameters;
  drivers::FirewallNetwork rule;
  rule.cidr = PrefixOf(parameters.cidr, parameters.cidr.base);
  rule.bridge = BridgeName(lease.bridge);
  rule.isolated = parameters.isolation;
  return rule;
}

Result<drivers::FirewallNetwork> RuleOf(const crd::NetworkSpec& spec,
                                        const ledger::NetworkLease& lease) {
  drivers::FirewallNetwork rule = ClosedRule(lease);
  rule.masquerade = spec.nat == crd::Nat::kMasquerade;
  rule.egress = EgressOf(spec.EgressPolicyInForce());
  rule.host_access = spec.host_access == crd::Access::kAllowed;
  rule.metadata_access = spec.metadata_access == crd::Access::kAllowed;
  rule.uplink = spec.uplink.interface;
  rule.connections_max = static_cast<std::uint32_t>(spec.connections_max);
  for (const crd::EgressPeer& peer : spec.egress.allow) {
    RETURN_IF_ERROR(AddOpenings(peer.cidr, peer.ports, rule.allow));
  }
  for (const crd::IngressPeer& peer : spec.ingress.allow) {
    RETURN_IF_ERROR(AddOpenings(peer.from, peer.ports, rule.ingress));
  }
  if (spec.ingress.policy == crd::IngressPolicy::kAll) {
    rule.ingress.push_back(Opening::Of({{}, 0}));
  }
  // Wherever the server is: this host, or somebody whom `egress` may close.
  for (const std::string& server : spec.dns) {
    ASSIGN_OR_RETURN(const Ipv4 address, ParseIpv4(server));
    for (const std::uint8_t protocol : {std::uint8_t{IPPROTO_TCP}, std::uint8_t{IPPROTO_UDP}}) {
      const Opening box = {address, address, protocol, protocol, kDnsPort, kDnsPort};
      rule.allow.push_back(box);
      rule.services.push_back(box);
    }
  }
  return rule;
}

}  // namespace forkplane::network
