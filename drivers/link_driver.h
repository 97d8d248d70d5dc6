// Links: bridges, IFBs, and what is common to every link of ours (TAPs are made by tap_driver.h).
//
// NOTE Contract: each call is one kernel operation and forgives nothing. Exists, NotFound and
// Conflict mean that the world moved since the caller looked: observe again. A call on an index
// outside the reserved ranges of network_names.h is Invalid, so a bug here cannot harm a foreign
// link. Observing is allowed for every index.
// NOTE Threading: thread-safe; calls of one driver are serialised (more writers make the kernel
// slower, not faster: measured), except Delete, whose wait must not hold others up.
// NOTE Namespace: one network namespace, that of the threads that open and call the driver.
// NOTE Performance: set master 65 us, isolated + up 45 us; Delete of a TAP waits ~20 ms for RCU:
// never on a create or restore path.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "controller/base/net_address.h"
#include "controller/base/result.h"

namespace forkplane::drivers {

enum class LinkKind : std::uint8_t { kOther, kBridge, kIfb, kTap };

// A link as the kernel reports it.
struct Link {
  std::uint32_t index = 0;
  std::string name;
  LinkKind kind = LinkKind::kOther;
  std::string alias;  // ifalias: the owner's uid on ours
  MacAddress mac;
  std::uint32_t mtu = 0;
  std::uint32_t queue_length = 0;
  std::uint32_t master = 0;  // index of the bridge, 0: none
  bool up = false;           // administratively
  bool carrier = false;      // of a TAP: some process has it open and attached
  bool isolated = false;     // as a port of its bridge
  bool operator==(const Link&) const = default;
};

// Makes fkbr<n> at its index with a pinned MAC (a bridge without one takes the lowest port MAC and
// changes it under its guests: measured). Down, no address.
struct BridgeSpec {
  std::uint32_t n = 0;
  MacAddress mac;
  std::string alias;
  std::uint32_t mtu = 1500;
};

// Makes fkifb<ifb> at its index, down, with kIfbQueueLength.
struct IfbSpec {
  std::uint32_t ifb = 0;
  std::string alias;
};

class LinkDriver {
 public:
  virtual ~LinkDriver() = default;

  virtual Lookup<Link> Observe(std::uint32_t index) = 0;
  virtual Lookup<Link> ObserveByName(const std::string& name) = 0;
  // Every link whose index lies in a reserved range, ordered by index.
  virtual Result<std::vector<Link>> ListOwned() = 0;

  // Exists: the index or the name is taken.
  virtual Status CreateBridge(const BridgeSpec& spec) = 0;
  virtual Status CreateIfb(const IfbSpec& spec) = 0;

  // NotFound: no such link.
  virtual Status SetUp(std::uint32_t index, bool up) = 0;
  virtual Status SetMac(std::uint32_t index, const MacAddress& mac) = 0;
  virtual Status SetMtu(std::uint32_t index, std::uint32_t mtu) = 0;
  // Conflict: the link is up (kernels before 6.2). Exists: another link has the name.
  virtual Status SetName(std::uint32_t index, const std::string& name) = 0;
  virtual Status SetAlias(std::uint32_t index, const std::string& alias) = 0;
  // `master` 0 takes the port out. NotFound: link or master is missing; Exhausted: 1024 ports.
  virtual Status SetMaster(std::uint32_t index, std::uint32_t master) = 0;
  // One message, so that a port is never up without the isolation it should have. Conflict: not
  // a port of a bridge (any more).
  virtual Status SetPortUp(std::uint32_t index, bool isolated) = 0;
  // The live switch of Network.spec.isolation.
  virtual Status SetPortIsolation(std::uint32_t index, bool isolated) = 0;

  // Takes addresses, routes, neighbours, qdiscs, classes, filters and ports' membership with it.
  virtual Status Delete(std::uint32_t index) = 0;
};

}  // namespace forkplane::drivers
