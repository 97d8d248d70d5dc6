#include "drivers/nftables/forwarding_probe.h"

#include <algorithm>
#include <fstream>

#include "controller/base/network_names.h"
#include "drivers/nftables/probe_text.h"

namespace forkplane::nftables {
namespace {

using drivers::ForwardChain;
using drivers::Forwarding;
using drivers::ForwardingVerdict;

// The tables of the old iptables, which nftables does not see: one name a line.
constexpr const char* kLegacyTables = "/proc/thread-self/net/ip_tables_names";

bool HasLegacyFilterTable() {
  std::ifstream names(kLegacyTables);
  for (std::string name; std::getline(names, name);) {
    if (name == "filter") return true;
  }
  return false;
}

std::string OnTable(std::string_view verb, std::string_view family, std::string_view table) {
  return fmt::format("{} table {} {}", verb, family, table);
}

}  // namespace

Result<std::unique_ptr<NftForwardingProbe>> NftForwardingProbe::Open(Inject inject) {
  ASSIGN_OR_RETURN(auto context, Context::Open(Context::Counters::kShown));
  return std::unique_ptr<NftForwardingProbe>(
      new NftForwardingProbe(std::move(context), std::move(inject)));
}

Result<ForwardingVerdict> NftForwardingProbe::Probe(std::uint32_t bridge, Ipv4 source,
                                                    const std::vector<Ipv4>& targets) {
  if (!IsBridgeIndex(bridge)) {
    return Invalid(fmt::format("probe link {:#x}: not a bridge of ours", bridge));
  }
  CHECK(!targets.empty());
  RETURN_IF_ERROR(context_->Run(ProbeTableCommands(source, targets), "add the probe's table"));
  Result<ForwardingVerdict> verdict = SendProbes(bridge, source, targets);
  RETURN_IF_ERROR(
      context_->Run(OnTable("delete", "inet", kProbeTable), "remove the probe's table"));
  if (!verdict.ok() || verdict->forwarding != Forwarding::kBlocked) return verdict;
  ASSIGN_OR_RETURN(verdict->suspects, FindSuspects());
  return verdict;
}

Result<ForwardingVerdict> NftForwardingProbe::SendProbes(std::uint32_t bridge, Ipv4 source,
                                                         const std::vector<Ipv4>& targets) {
  ForwardingVerdict verdict;
  // The first usually tells. It may also still be in another processor's queue (RPS).
  for (const Ipv4 target : targets) {
    const Status injected = inject_(bridge, MakeProbeFrame(source, target));
    if (!injected.ok() && injected.error().code == Code::kInvalid) {
      verdict.reason = injected.error().message;
      return verdict;
    }
    RETURN_IF_ERROR(injected);
    ASSIGN_OR_RETURN(const std::string listing,
                     context_->Run(OnTable("list", "inet", kProbeTable), "read the probe's table"));
    const auto counts = ReadProbeCounts(listing);
    if (!counts) return Internal("read the probe's table: not as it was written");
    if (counts->passed > 0) {
      verdict.forwarding = Forwarding::kOpen;
      return verdict;
    }
    if (counts->entered > 0) verdict.forwarding = Forwarding::kBlocked;
  }
  if (verdict.forwarding == Forwarding::kUnknown) {
    verdict.reason = fmt::format("a packet to {} does not get as far as the forward hook",
                                 ToString(targets.front()));
  }
  return verdict;
}

Result<std::vector<ForwardChain>> NftForwardingProbe::FindSuspects() {
  ASSIGN_OR_RETURN(const std::string listing, context_->Run("list chains", "list chains"));
  std::vector<ForwardChain> suspects;
  for (ForwardChain& chain : ReadForwardChains(listing)) {
    if (!chain.drops_by_policy) {
      const auto table =
          context_->Run(OnTable("list", chain.family, chain.table), "list a forward table");
      if (!table.ok() || !HoldsDrop(*table)) continue;
    }
    suspects.push_back(std::move(chain));
  }
  if (HasLegacyFilterTable()) suspects.push_back({"iptables-legacy", "filter", "FORWARD", false});
  std::stable_partition(suspects.begin(), suspects.end(),
                        [](const ForwardChain& chain) { return chain.drops_by_policy; });
  return suspects;
}

}  // namespace forkplane::nftables
