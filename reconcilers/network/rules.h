// What a Network's spec asks of the firewall. Pure.
#pragma once

#include "controller/base/result.h"
#include "controller/ledger/ledger.h"
#include "crd/network.h"
#include "drivers/firewall_driver.h"

namespace forkplane::network {

// Of a spec that passed validation; Invalid otherwise.
Result<drivers::FirewallNetwork> RuleOf(const crd::NetworkSpec& spec,
                                        const ledger::NetworkLease& lease);
// Of a lease whose object nobody knows and whose rules are not there either: closed.
drivers::FirewallNetwork ClosedRule(const ledger::NetworkLease& lease);

}  // namespace forkplane::network
