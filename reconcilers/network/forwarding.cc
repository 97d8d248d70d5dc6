#include "reconcilers/network/forwarding.h"

#include "controller/base/log.h"
#include "controller/base/network_names.h"

namespace forkplane::network {
namespace {

using drivers::ForwardChain;

// What drivers/forwarding_probe.h calls the tables that nftables does not see.
constexpr std::string_view kLegacy = "iptables-legacy";
// As nft writes it.
constexpr const char* kAllOurs = "fk*";

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

// A rule of nft in a table of iptables would make that tool refuse the table, so each gets its own.
// Outwards it takes two: what goes out, and the answers.
std::string IptablesRemedy(Way way, std::string_view tool, std::string links) {
  if (links == kAllOurs) links.back() = '+';
  if (way == Way::kToNeighbours) {
    return fmt::format("{0} -I FORWARD -i {1} -o {1} -j ACCEPT", tool, links);
  }
  return fmt::format(
      "{0} -I FORWARD -i {1} -j ACCEPT; {0} -I FORWARD -o {1} -m conntrack --ctstate "
      "RELATED,ESTABLISHED -j ACCEPT",
      tool, links);
}

std::string Remedy(Way way, const ForwardChain& chain, const std::string& name) {
  if (IsOfIptables(chain)) {
    return IptablesRemedy(way, chain.family == kLegacy ? kLegacy : "iptables", name);
  }
  const std::string links = name == kAllOurs ? "'fk*'" : name;  // no shell may expand it
  if (way == Way::kToNeighbours) {
    return fmt::format("nft insert rule {0} {1} {2} iifname {3} oifname {3} accept", chain.family,
                       chain.table, chain.chain, links);
  }
  return fmt::format(
      "nft insert rule {0} {1} {2} iifname {3} accept; nft insert rule {0} {1} {2} oifname {3} ct "
      "state established,related accept",
      chain.family, chain.table, chain.chain, links);
}

}  // namespace

std::string BlockedMessage(Way way, const std::string& links,
                           const std::vector<ForwardChain>& suspects) {
  const std::string what = fmt::format("what guests on {} send {} is dropped in the forward hook",
                                       links, way == Way::kOutwards ? "out" : "to each other");
  if (suspects.empty()) return what + "; no table of nftables or iptables that does it was found";
  std::vector<std::string> described;
  described.reserve(suspects.size());
  for (const ForwardChain& chain : suspects) described.push_back(Describe(chain));
  return fmt::format("{}: {}. Allow {} there: {}", what, fmt::join(described, "; "),
                     links == kAllOurs ? "these links" : "the bridge",
                     Remedy(way, suspects.front(), links));
}

std::string ForwardingWatch::WhoBlocks(const std::string& uid, const ForwardingQuestion& question,
                                       bool changed) {
  const MonotonicTime now = clock_.Now();
  const auto known = known_.find(uid);
  if (!changed && known != known_.end() && now - known->second.since < kProbePeriod) {
    return known->second.blocked;
  }
  Known fresh{now, {}};
  if (question.outwards) {
    fresh.blocked = Ask(uid, question, Way::kOutwards, drivers::kOutsideTargets);
  }
  // Who drops what goes out usually drops this too; one message is enough.
  if (fresh.blocked.empty() && !question.neighbours.empty()) {
    fresh.blocked = Ask(uid, question, Way::kToNeighbours, question.neighbours);
  }
  return known_.insert_or_assign(uid, std::move(fresh)).first->second.blocked;
}

std::string ForwardingWatch::Ask(const std::string& uid, const ForwardingQuestion& question,
                                 Way way, const std::vector<Ipv4>& targets) {
  const auto verdict = probe_.Probe(BridgeIndex(question.bridge), question.source, targets);
  if (!verdict.ok()) {
    // Not the Network's fault, and no reason to say that it does not stand.
    log::Warn("cannot probe forwarding", {{"network", uid}, {"err", verdict.error()}});
    return {};
  }
  if (verdict->forwarding == drivers::Forwarding::kUnknown) {
    log::Debug("forwarding is not known", {{"network", uid}, {"reason", verdict->reason}});
  }
  if (verdict->forwarding != drivers::Forwarding::kBlocked) return {};
  return BlockedMessage(way, question.many_links ? kAllOurs : BridgeName(question.bridge),
                        verdict->suspects);
}
}  // namespace forkplane::network
