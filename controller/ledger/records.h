// What the host ledger holds: one plain struct per kind of lease. Names, indexes and MACs on the
// host follow from leased numbers (controller/base/network_names.h); they are not stored, so
// nothing can disagree with them.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "controller/base/clock.h"
#include "controller/base/net_address.h"
#include "controller/base/network_names.h"

namespace forkplane::ledger {

// Who holds a lease: the uid decides, namespace and name are for people.
struct Owner {
  std::string uid;
  std::string ns;
  std::string name;

  bool operator==(const Owner&) const = default;
};

// "default/web"
std::string ToString(const Owner& owner);

// ifb << 16 | minor; one per interface, unique on the host while leased. Names, indexes and handles
// that follow from it are in base/network_names.h.
using Number = std::uint32_t;

// ---- networks ---------------------------------------------------------------------------------

struct NetworkParameters {
  std::string uid;
  std::string name;
  Cidr cidr;
  Ipv4 gateway;
  std::uint32_t mtu = 1500;
  std::uint64_t unshaped_rate_bits = 5'000'000;  // per second, until a class stands
  bool isolation = true;                         // VMs do not reach each other
  bool routed = false;                           // TAPs without a bridge
  std::chrono::milliseconds address_rest{30'000};
  std::array<Ipv4, 2> dns = {};  // told to guests; empty: none

  // The constant address inside every translated guest: the second host address, or the first when
  // the gateway took the second. Never leased.
  Ipv4 inner() const { return gateway == cidr.At(2) ? cidr.At(1) : cidr.At(2); }
  bool operator==(const NetworkParameters&) const = default;
};

// One more bridge of a Network whose others are full; leased with the first interface on it.
struct FurtherBridge {
  std::uint32_t number = 0;
  bool releasing = false;  // no new interface may use it
  bool operator==(const FurtherBridge&) const = default;
};

struct NetworkLease {
  NetworkParameters parameters;
  std::uint32_t bridge = 0;  // the number of its first
  bool releasing = false;    // no new interface may use it
  WallTime since;            // 1970: leased by a version that did not write it down
  std::vector<FurtherBridge> further = {};

  bool operator==(const NetworkLease&) const = default;
};

// ---- interfaces -------------------------------------------------------------------------------

enum class InterfaceState : std::uint8_t { kActive, kReleasing };
std::string_view ToString(InterfaceState state);

// What a TAP must be like for the hypervisor of its VM, known before the claim. Kept here so that a
// TAP can be healed under a running VMM also when the store is gone.
struct TapFacts {
  std::uint32_t vnet_header_bytes = 12;
  std::uint32_t offloads = 0;  // TUN_F_* bits, linux/if_tun.h
  bool operator==(const TapFacts&) const = default;
};

using LeaseId = std::int64_t;  // never used twice in the life of a ledger file

// What must be gone before a number may be leased again. Each bit is confirmed by the loop that
// writes the part.
enum class Part : std::uint8_t { kTap, kClass };
std::string_view ToString(Part part);

struct InterfaceLease {
  LeaseId id = 0;
  Owner owner;
  std::uint32_t ordinal = 0;  // position in spec.interfaces
  std::string name;           // spec.interfaces[].name
  std::string network_uid;
  std::string network_name;
  Number number = 0;
  Ipv4 address;  // the outer one
  InterfaceState state = InterfaceState::kActive;
  TapFacts tap;
  bool translated = true;  // false: identity Inherited or Guest; inner_* are not used
  Ipv4 inner_address;
  MacAddress inner_mac;
  bool tap_absent = false;    // confirmed; only while releasing
  bool class_absent = false;  // confirmed; only while releasing
  WallTime since;
  std::uint32_t bridge =
      0;  // the number of the one it is a port of; routed: of the Network's first

  bool operator==(const InterfaceLease&) const = default;
};

// The queue keys of the loops: the lease id, the IFB number.
std::string KeyOf(LeaseId id);
std::optional<LeaseId> LeaseIdOf(std::string_view key);

// An address that was given back and may not be given out before `until` (monotonic time of this
// boot; after a reboot the rest begins anew, so it never depends on the wall clock).
struct RestingAddress {
  Ipv4 address;
  std::string network_uid;
  Owner last_owner;
  MonotonicTime until;
  std::chrono::milliseconds rest{0};  // in all

  bool operator==(const RestingAddress&) const = default;
};

// ---- virtual machines -------------------------------------------------------------------------

// The process behind a VM: pid alone may be reused, these together cannot.
struct VmmRecord {
  std::int32_t pid = 0;
  std::uint64_t start_time_ticks = 0;  // field 22 of /proc/PID/stat
  std::string boot_id;                 // /proc/sys/kernel/random/boot_id
  std::string cgroup;

  bool operator==(const VmmRecord&) const = default;
};

struct SlotState {
  std::string pool;  // the hypervisor's name
  bool granted = false;
  std::uint32_t position = 0;  // 1 is next; 0 when granted
  WallTime since;

  bool operator==(const SlotState&) const = default;
};

struct VmLease {
  Owner owner;
  bool releasing = false;
  std::uint32_t vmm_uid = 0;
  std::string cgroup;     // "forkplane/<uid>", below the cgroup root
  std::string directory;  // "<uid>", below the state directory's vms/
  WallTime since;
  std::optional<VmmRecord> vmm;
  std::optional<SlotState> slot;
  std::vector<InterfaceLease> interfaces;  // by ordinal

  bool operator==(const VmLease&) const = default;
};

}  // namespace forkplane::ledger
