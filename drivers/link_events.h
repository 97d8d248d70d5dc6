// What others (and we) change in the kernel, as it happens: the rtnetlink groups of links, traffic
// control, IPv4 addresses, routes, rules and switches, and neighbours. An event says where to look,
// never what to believe: observers re-read.
//
// NOTE Kernel: a port that joins a bridge is told of five times, twice under the bridge's index.
// NOTE Absence: the kernel does not announce what dies with its parent. kLinkGone implies that the
// link's qdiscs, classes, filters, addresses, routes and neighbours are gone; kQdisc of an IFB's
// root implies all its classes; kQdisc of clsact implies its filters. kAddressGone of the last
// address of a link implies its routes and neighbours (all those of IPv4).
// NOTE Echo: our own writes come back too, also those that changed nothing, but for what drivers do
// to the qdiscs, filters, routes and neighbours of interfaces of VMs and were told to keep quiet
// about (netlink::OwnChanges). Compare before writing. Our looks do not.
// NOTE Loss: when the socket overflows, kLost comes at once and again when no more is missing:
// everything may have changed. A periodic resync is still needed (map entries and the IPv6 switches
// have no events here).
// NOTE Threading: the callback runs in the monitor's own thread; it must only enqueue.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>

#include "controller/base/net_address.h"
#include "controller/base/result.h"

namespace forkplane::drivers {

enum class LinkEventKind : std::uint8_t {
  kLink,
  kLinkGone,
  kQdisc,
  kClass,
  kFilter,
  kAddress,  // new, or changed
  kAddressGone,
  kRoute,       // a host route through the link has gone, or another has taken its place
  kNeighbour,   // new, changed or gone
  kForwarding,  // IPv4, of the whole namespace: switched on or off
  kSwitch,  // forwarding, reverse path filter or proxy_arp of the link: switched off by somebody
  kBlackholeGone,     // of ours; `address`: of its net
  kDefaultRoute,      // one has come, changed or gone
  kFirewall,          // something of our nftables table was changed, by whomever
  kUnjudgedRuleGone,  // our rule of policy routing
  kLost,
};

struct LinkEvent {
  LinkEventKind kind = LinkEventKind::kLink;
  // Of the link; 0 with kLost, kForwarding, kBlackholeGone, kDefaultRoute, kFirewall and
  // kUnjudgedRuleGone.
  std::uint32_t index = 0;
  std::uint32_t handle = 0;  // of the qdisc or class, else 0
  bool turned = false;       // kLink: it is new, or went up or down
  Ipv4 address = {};         // kRoute, kNeighbour, kBlackholeGone
  // kNeighbour: of a permanent one that stands now. One that is as it should be is no news.
  std::optional<MacAddress> mac = {};
  std::uint32_t parent = 0;  // kQdisc, kFilter: the class or root of our HTB it hangs below
  bool down = false;         // kLink: it went down
  bool operator==(const LinkEvent&) const = default;
};

class LinkEvents {
 public:
  using Callback = std::function<void(const LinkEvent&)>;
  virtual ~LinkEvents() = default;
  // Events from this moment on, of links in our ranges only; of others what happens to a HTB of
  // ours and that forwarding is off (and those of no link). Conflict: already started.
  virtual Status Start(Callback callback) = 0;
  // When it returns, no callback runs any more. Safe to call twice.
  virtual void Stop() = 0;
};

}  // namespace forkplane::drivers
