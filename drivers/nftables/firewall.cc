#include "drivers/nftables/firewall.h"

#include "controller/base/network_names.h"
#include "drivers/nftables/missing.h"

namespace forkplane::nftables {
namespace {

// The counts before and after a listing differ only while others write; so often in a row never.
constexpr int kLooksMax = 5;

std::string OnTable(std::string_view verb) {
  return fmt::format("{} table inet {}", verb, kFirewallTable);
}

}  // namespace

Result<std::unique_ptr<NftFirewallDriver>> NftFirewallDriver::Open() {
  ASSIGN_OR_RETURN(auto context, Context::Open(Context::Counters::kHidden));
  ASSIGN_OR_RETURN(auto counting, Context::Open(Context::Counters::kShown));
  ASSIGN_OR_RETURN(auto generation, Generation::Open());
  return std::unique_ptr<NftFirewallDriver>(
      new NftFirewallDriver(std::move(context), std::move(counting), std::move(generation)));
}

Result<NftFirewallDriver::Seen> NftFirewallDriver::Look() {
  ASSIGN_OR_RETURN(std::uint32_t before, generation_->Read());
  {
    const MutexLock lock(mutex_);
    if (seen_ && seen_->generation == before) return *seen_;
  }
  Seen seen;
  for (int look = 0; look < kLooksMax; ++look) {
    seen = {before, {}, {}};
    const Result<std::string> listing = context_->Run(OnTable("list"), "list firewall");
    if (listing.ok()) {
      seen.table = ReadListing(*listing);
      seen.rules = RulesOf(*seen.table);
    } else if (listing.error().code != Code::kNotFound) {
      return listing.error();
    }
    ASSIGN_OR_RETURN(const std::uint32_t after, generation_->Read());
    if (after == before) {
      const MutexLock lock(mutex_);
      seen_ = seen;
      return seen;
    }
    before = after;
  }
  return seen;  // true a moment ago, as any look is
}

Lookup<drivers::FirewallRules> NftFirewallDriver::Observe() {
  ASSIGN_OR_RETURN(Seen seen, Look());
  return std::move(seen.rules);
}

Status NftFirewallDriver::Replace(const drivers::FirewallRules& rules) {
  RETURN_IF_ERROR(Validate(rules));
  const Table wanted = TableOf(Canonical(rules));
  ASSIGN_OR_RETURN(const Seen seen, Look());
  const bool sound = seen.rules && seen.rules->unexpected.empty();
  const std::string commands = sound ? CommandsBetween(*seen.table, wanted) : CommandsFor(wanted);
  if (commands.empty()) return OkStatus();
  Result<std::string> outcome = context_->Run(commands, "replace firewall");
  if (!outcome.ok() && sound) {
    // Somebody changed it meanwhile; the whole of it needs nothing to be there.
    outcome = context_->Run(CommandsFor(wanted), "replace firewall");
  }
  if (outcome.ok()) return OkStatus();
  if (outcome.error().code != Code::kNotFound) return outcome.error();
  // The whole of it names nothing that is not in it.
  const auto run = [&](const std::string& trial) -> Status {
    RETURN_IF_ERROR(context_->Run(trial, "try a feature of nftables"));
    return OkStatus();
  };
  return NameMissing(FeaturesOfTable(), run, outcome.error());
}

Status NftFirewallDriver::Remove() {
  RETURN_IF_ERROR(context_->Run(OnTable("delete"), "remove firewall"));
  return OkStatus();
}

Result<std::vector<drivers::RefusedFlows>> NftFirewallDriver::ListRefused() {
  const Result<std::string> listing = counting_->Run(
      fmt::format("list set inet {} {}", kFirewallTable, kRefusedSet), "list refused connections");
  if (listing.ok()) return ReadRefused(*listing);
  if (listing.error().code == Code::kNotFound) return std::vector<drivers::RefusedFlows>();
  return listing.error();
}

}  // namespace forkplane::nftables
