// One nftables table, `inet forkplane`, as a value: what is wanted is written whole, in one
// transaction; what is there is read back whole. No other table is read or touched.
//
//   forward:     drops traffic between guests of an isolated network that comes through the
//                gateway (bridge port isolation stops the direct way); of traffic that enters by
//                the uplink of a masqueraded network, lets answers in and drops the rest.
//   postrouting: masquerades what leaves a network by its uplink.
//
// NOTE Contract, threading, namespace: as in link_driver.h.
#pragma once

#include <string>
#include <vector>

#include "controller/base/net_address.h"
#include "controller/base/result.h"

namespace forkplane::drivers {

struct FirewallNetwork {
  Ipv4Prefix cidr;     // its Network()
  std::string uplink;  // link name; needed when masquerade
  bool isolated = true;
  bool masquerade = true;
  auto operator<=>(const FirewallNetwork&) const = default;
};

struct FirewallRules {
  std::vector<FirewallNetwork> networks = {};  // ordered by cidr, no two equal
  // Observed only: lines of the table that are not ours, or ours that lost their partner. Not
  // empty means drift; Replace removes them.
  std::vector<std::string> unexpected = {};
  bool operator==(const FirewallRules&) const = default;
};

// Invalid as Replace says.
Status Validate(const FirewallRules& rules);
// The form in which Observe gives them back: ordered, an uplink only with masquerade, no network
// that has no rule. Compare Canonical(desired) with what is observed.
FirewallRules Canonical(FirewallRules rules);

class FirewallDriver {
 public:
  virtual ~FirewallDriver() = default;
  // Absent: no table.
  virtual Lookup<FirewallRules> Observe() = 0;
  // Makes the table exactly this, atomically; established connections are kept. Invalid: two equal
  // cidrs, a masquerade without uplink, a name nft cannot hold.
  virtual Status Replace(const FirewallRules& rules) = 0;
  // NotFound: no table.
  virtual Status Remove() = 0;
};

}  // namespace forkplane::drivers
