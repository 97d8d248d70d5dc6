// One nftables table, `inet forkplane`, as a value: what is wanted is made so, in one transaction;
// what is there is read back whole. No other table is read or touched.
//
// Ours is what comes from or goes to a link whose name begins with fk; the uplink is named nowhere.
// The rules are constant (drivers/nftables/table.h): a Network, a switch or an opening is an
// element of a set, and what no element opens is closed.
//
//   from guests   by a link of `unshaped` nothing, not even of established connections
//                 a source that the host would not answer to on that link: dropped before
//                 connection tracking, as are other protocols than IPv4
//                 to another link of ours: within one Network that is not isolated
//                 to others: `allow`, then `egress`; masqueraded whatever link they leave by
//                 to this host: ICMP echo, `services`; the rest with `host_access`
//   to guests     `ingress`, by others than guests; this host itself always
//   the rest      is not ours, but between links of `opened`, which are dropped
//   new flows     of guests: at most connections_max at once and 200 a second (400 at once) per
//                 address; what does not fit into the kernel's sets is dropped too
//
// NOTE Contract, threading, namespace: as in link_driver.h.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "controller/base/net_address.h"
#include "controller/base/result.h"

namespace forkplane::drivers {

inline constexpr std::uint8_t kAnyProtocolLast = 255;
inline constexpr std::uint16_t kAnyPortLast = 65535;

// A box of remote addresses, protocols and ports of the side that is called; all inclusive. The
// port of what has none is the two bytes where TCP has it, so only every port covers them.
struct Opening {
  Ipv4 first;
  Ipv4 last;
  std::uint8_t protocol_first = 0;
  std::uint8_t protocol_last = kAnyProtocolLast;
  std::uint16_t port_first = 0;
  std::uint16_t port_last = kAnyPortLast;
  auto operator<=>(const Opening&) const = default;

  static Opening Of(const Ipv4Prefix& block) {
    return {block.Network().address, {block.address.value | ~block.Mask()}};
  }
  // No address is in both but with another protocol or port.
  bool Overlaps(const Opening& other) const;
};

enum class Egress : std::uint8_t {
  kNone,      // only `allow`
  kInternet,  // no private, shared (CGN) or link-local address but by `allow`
  kAll,
};

struct FirewallNetwork {
  Ipv4Prefix cidr;  // its Network()
  // Name of the link on which the host itself may send as the cidr's inner address, to probe.
  std::string bridge = {};
  bool isolated = true;
  bool masquerade = true;
  Egress egress = Egress::kNone;
  bool host_access = false;
  bool metadata_access = false;  // link-local addresses, as far as `egress` lets them
  std::string uplink = {};       // the one link by which its guests leave; "": any
  std::uint32_t connections_max = 4096;
  std::vector<Opening> allow = {};     // of others, to its guests
  std::vector<Opening> ingress = {};   // to its guests, of others
  std::vector<Opening> services = {};  // of this host, to its guests
  auto operator<=>(const FirewallNetwork&) const = default;
};

struct FirewallRules {
  std::vector<FirewallNetwork> networks = {};  // ordered by cidr, no two overlap
  // Names of links whose forwarding is switched on for guests alone: nothing passes from them to
  // links of others.
  std::set<std::string> opened = {};
  // Names of links by which nothing of guests leaves: their rates would not hold there.
  std::set<std::string> unshaped = {};
  // Observed only: lines of the table that are not ours, or ours that are missing. Not empty means
  // drift; Replace removes it.
  std::vector<std::string> unexpected = {};
  bool operator==(const FirewallRules&) const = default;
};

// Link names may hold almost any byte; those that the quoting of nft cannot are Invalid in rules.
bool CanNameLink(const std::string& name);

// For people: one line for each Network, opened or unshaped link and unexpected line.
std::string ToString(const FirewallRules& rules);

// More boxes than that of one Network are refused.
inline constexpr std::size_t kOpeningsMax = 1024;

// Invalid as Replace says.
Status Validate(const FirewallRules& rules);
// The form in which Observe gives them back: ordered, openings without overlaps. Compare
// Canonical(desired) with what is observed.
FirewallRules Canonical(FirewallRules rules);

// New connections of one address that were refused since it was last quiet for a minute.
struct RefusedFlows {
  Ipv4 address;
  std::uint64_t packets = 0;
  auto operator<=>(const RefusedFlows&) const = default;
};

class FirewallDriver {
 public:
  virtual ~FirewallDriver() = default;
  // Absent: no table. Costs one question to the kernel while no rules of this host changed.
  virtual Lookup<FirewallRules> Observe() = 0;
  // Makes the table exactly this, atomically; established connections are kept. Invalid: cidrs that
  // overlap, a name nft cannot hold, too many openings. NotFound: a module of the kernel is missing
  // (the message names the likely ones).
  virtual Status Replace(const FirewallRules& rules) = 0;
  // NotFound: no table.
  virtual Status Remove() = 0;
  // Guests over their bounds within the last minute, by address. No table: none.
  virtual Result<std::vector<RefusedFlows>> ListRefused() = 0;
};

}  // namespace forkplane::drivers
