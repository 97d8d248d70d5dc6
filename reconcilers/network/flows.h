// Which tracked connections may not go on under the rules. Pure.
//
// Rules see the first packet of a connection; the rest passes as established. So a connection that
// began while rules were gone, or before a switch was closed, lives on unless its entry goes; one
// that began without masquerade keeps a private source outside for ever.
#pragma once

#include <set>

#include "drivers/firewall_driver.h"
#include "drivers/flow_driver.h"

namespace forkplane::network {

// `host`: the addresses of this host. Connections that are not of guests, and those that this host
// began, are never forbidden.
bool IsForbidden(const drivers::FirewallRules& rules, const std::set<Ipv4>& host,
                 const drivers::Flow& flow);

// Whether what was allowed under `from` may be forbidden under `to`: no, when Networks were only
// added.
bool Closes(const drivers::FirewallRules& from, const drivers::FirewallRules& to);

}  // namespace forkplane::network
