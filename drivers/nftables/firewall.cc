#include "drivers/nftables/firewall.h"

#include "controller/base/network_names.h"
#include "drivers/nftables/rules_text.h"

namespace forkplane::nftables {
namespace {

std::string OnTable(std::string_view verb) {
  return fmt::format("{} table inet {}", verb, kFirewallTable);
}

}  // namespace

Result<std::unique_ptr<NftFirewallDriver>> NftFirewallDriver::Open() {
  ASSIGN_OR_RETURN(auto context, Context::Open(Context::Counters::kHidden));
  return std::unique_ptr<NftFirewallDriver>(new NftFirewallDriver(std::move(context)));
}

Lookup<drivers::FirewallRules> NftFirewallDriver::Observe() {
  const Result<std::string> listing = context_->Run(OnTable("list"), "list firewall");
  if (listing.ok()) return std::optional<drivers::FirewallRules>(ReadListing(*listing));
  if (listing.error().code == Code::kNotFound) return std::optional<drivers::FirewallRules>();
  return listing.error();
}

Status NftFirewallDriver::Replace(const drivers::FirewallRules& rules) {
  ASSIGN_OR_RETURN(const std::string commands, CommandsFor(rules));
  RETURN_IF_ERROR(context_->Run(commands, "replace firewall"));
  return OkStatus();
}

Status NftFirewallDriver::Remove() {
  RETURN_IF_ERROR(context_->Run(OnTable("delete"), "remove firewall"));
  return OkStatus();
}

}  // namespace forkplane::nftables
