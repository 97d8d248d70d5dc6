// Does this host forward what guests send out, or to each other, or does a table of somebody else
// drop it (Docker's `policy drop` of FORWARD, for one)?
//
// NOTE Method: one small UDP packet enters the host as if a guest on the bridge had sent it, from
// an address that no guest has to one that nobody has (192.0.2.1, say), or to a guest's. It counts
// as forwarded when it has come through every chain of the forward hook, and is dropped there: no
// packet leaves the host and nobody else's chain behind that hook sees it. No device is made.
// NOTE Performance: two nftables transactions, some milliseconds. On no path that somebody waits
// for.
// NOTE Contract, threading, namespace: as in link_driver.h.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "controller/base/net_address.h"
#include "controller/base/result.h"

namespace forkplane::drivers {

enum class Forwarding : std::uint8_t {
  kOpen,
  kBlocked,
  // The packet did not get as far as the forward hook: forwarding is off, there is no route, a
  // chain before it drops; or this kernel cannot be asked.
  kUnknown,
};

// A chain of another that the forward hook leads to, and that may drop.
struct ForwardChain {
  std::string family;  // "ip", "inet"; "iptables-legacy", of which only the table is known
  std::string table;
  std::string chain;
  bool drops_by_policy = false;  // what none of its rules accepts; else a rule of its table drops
  bool operator==(const ForwardChain&) const = default;
};

struct ForwardingVerdict {
  Forwarding forwarding = Forwarding::kUnknown;
  std::string reason = {};                  // of kUnknown
  std::vector<ForwardChain> suspects = {};  // of kBlocked; those that drop by policy first
  bool operator==(const ForwardingVerdict&) const = default;
};

// One of each block of documentation (RFC 5737), nobody's; three, because laboratories use them.
inline const std::vector<Ipv4> kOutsideTargets = {
    {0xc0000201},  // 192.0.2.1
    {0xc6336401},  // 198.51.100.1
    {0xcb007101},  // 203.0.113.1
};

class ForwardingProbe {
 public:
  virtual ~ForwardingProbe() = default;
  // Of a bridge that is up; `source` is an address of its network that no guest has. The targets
  // are tried one after the other until one tells: one may be an address of this host, or have no
  // route. Invalid: no bridge of ours. NotFound: no such link.
  virtual Result<ForwardingVerdict> Probe(std::uint32_t bridge, Ipv4 source,
                                          const std::vector<Ipv4>& targets) = 0;
};

}  // namespace forkplane::drivers
