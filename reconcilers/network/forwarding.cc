#include "reconcilers/network/forwarding.h"

#include "controller/base/log.h"
#include "controller/base/network_names.h"

namespace forkplane::network {
namespace {

using drivers::ForwardChain;

// What drivers/forwarding_probe.h calls the tables that nftables does not see.
constexpr std::string_view kLegacy = "iptables-legacy";

bool IsOfIptables(const ForwardChain& chain) {
  return chain.family != "inet" && chain.table == "filter" && chain.chain == "FORWARD";
}

std::string Describe(const ForwardChain& chain) {
  if (chain.family == kLegacy) {
    return fmt::format("table {} of {} may drop it", chain.table, chain.family);
  }
  const std::string which =
      fmt::format("table {} {}, chain {}", chain.family, chain.table, chain.chain);
  return which + (chain.drops_by_policy ? " has policy drop" : " leads to a rule that drops");
}

// Both ways: what goes out, and the answers. A rule of nft in a table of iptables would make that
// tool refuse the table, so each gets its own.
std::string Remedy(const ForwardChain& chain, const std::string& bridge) {
  if (IsOfIptables(chain)) {
    const std::string_view tool = chain.family == kLegacy ? kLegacy : "iptables";
    return fmt::format(
        "{0} -I FORWARD -i {1} -j ACCEPT; {0} -I FORWARD -o {1} -m conntrack --ctstate "
        "RELATED,ESTABLISHED -j ACCEPT",
        tool, bridge);
  }
  return fmt::format(
      "nft insert rule {0} {1} {2} iifname {3} accept; nft insert rule {0} {1} {2} oifname {3} ct "
      "state established,related accept",
      chain.family, chain.table, chain.chain, bridge);
}

}  // namespace

std::string BlockedMessage(const std::string& bridge, const std::vector<ForwardChain>& suspects) {
  const std::string what =
      fmt::format("what guests on {} send out is dropped in the forward hook", bridge);
  if (suspects.empty()) return what + "; no table of nftables or iptables that does it was found";
  std::vector<std::string> described;
  described.reserve(suspects.size());
  for (const ForwardChain& chain : suspects) described.push_back(Describe(chain));
  return fmt::format("{}: {}. Allow the bridge there: {}", what, fmt::join(described, "; "),
                     Remedy(suspects.front(), bridge));
}

std::string ForwardingWatch::WhoBlocks(const std::string& uid, std::uint32_t bridge, Ipv4 source,
                                       bool changed) {
  const MonotonicTime now = clock_.Now();
  const auto known = known_.find(uid);
  if (!changed && known != known_.end() && now - known->second.since < kProbePeriod) {
    return known->second.blocked;
  }
  Known fresh{now, {}};
  const auto verdict = probe_.Probe(BridgeIndex(bridge), source);
  if (!verdict.ok()) {
    // Not the Network's fault, and no reason to say that it does not stand.
    log::Warn("cannot probe forwarding", {{"network", uid}, {"err", verdict.error()}});
  } else if (verdict->forwarding == drivers::Forwarding::kBlocked) {
    fresh.blocked = BlockedMessage(BridgeName(bridge), verdict->suspects);
  } else if (verdict->forwarding == drivers::Forwarding::kUnknown) {
    log::Debug("forwarding is not known", {{"network", uid}, {"reason", verdict->reason}});
  }
  return known_.insert_or_assign(uid, std::move(fresh)).first->second.blocked;
}

}  // namespace forkplane::network
