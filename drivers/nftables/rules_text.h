// The table as text: what nft is told, and what it lists in numeric form. Pure.
#pragma once

#include <string>

#include "controller/base/result.h"
#include "drivers/firewall_driver.h"

namespace forkplane::nftables {

// Commands that make the table exactly `rules` in one transaction. Invalid: see Replace.
Result<std::string> CommandsFor(const drivers::FirewallRules& rules);

// The reverse of what nft lists.
drivers::FirewallRules ReadListing(const std::string& listing);

}  // namespace forkplane::nftables
