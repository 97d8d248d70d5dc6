// Every name, index, handle and constant address that Forkplane uses on a host, in one place.
// They all follow from small leased numbers, so nothing has to be remembered to find, compare or
// remove what is ours: an interface index in a reserved range is the proof of ownership (the
// kernel hands out its own indexes from 1 upwards and does not count on from a chosen one:
// measured), and the owner's uid stands in the link's ifalias for people and for cross-checks.
//
//   number = ifb << 16 | minor, leased in the host ledger, one per interface of a VM
//   TAP    index 0x46000000 + number, name "fk" + the index as 8 hex digits
//   class  7f00:minor in the HTB on IFB number ifb; index 0x47000000 + ifb, name "fkifb<ifb>"
//   bridge index 0x48000000 + n, name "fkbr<n>"
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "controller/base/net_address.h"

namespace forkplane {

inline constexpr std::uint32_t kTapIndexBase = 0x46000000;
inline constexpr std::uint32_t kIfbIndexBase = 0x47000000;
inline constexpr std::uint32_t kBridgeIndexBase = 0x48000000;
inline constexpr std::uint32_t kIndexRangeMask = 0xff000000;

// Class minors of one IFB. 0 means "choose one" to the kernel; the last three are ours.
inline constexpr std::uint32_t kMinorMin = 1;
inline constexpr std::uint32_t kMinorMax = 0xfffc;
inline constexpr std::uint32_t kHostClassMinor = 0xfffd;     // where the host itself sends too
inline constexpr std::uint32_t kRootClassMinor = 0xfffe;     // uplink capacity
inline constexpr std::uint32_t kDefaultClassMinor = 0xffff;  // what has no class of its own
inline constexpr std::uint32_t kIfbMax = 255;
inline constexpr std::uint32_t kBridgeMax = 0xffff;

// An unusual major, so that SO_PRIORITY of a host's socket cannot hit a class of ours.
inline constexpr std::uint32_t kHtbHandle = 0x7f000000;  // 7f00: on every IFB
constexpr bool IsHtbHandle(std::uint32_t handle) { return (handle & 0xffff0000) == kHtbHandle; }
inline constexpr std::uint32_t kTbfHandle = 0x7f010000;  // 7f01: on every TAP
inline constexpr std::uint32_t kClsactHandle = 0xffff0000;

// Filter preference on clsact: the translating program first, the mirred filter (mirred mode only)
// behind it.
inline constexpr std::uint16_t kProgramPreference = 1;
inline constexpr std::uint16_t kMirredPreference = 2;
inline constexpr std::uint32_t kFilterHandle = 1;

// The IFB's queue length is the packet bound of a leaf we did not make; 32 by default.
inline constexpr std::uint32_t kIfbQueueLength = 1000;
inline constexpr std::uint32_t kMtuDefault = 1500;
inline constexpr std::uint32_t kMtuMin = 576;    // every IPv4 host must accept as much (RFC 791)
inline constexpr std::uint32_t kMtuMax = 65521;  // tun's largest: 65535 - Ethernet header

inline constexpr const char* kFirewallTable = "forkplane";  // family inet
// The same family; there for as long as one probe packet travels (drivers/forwarding_probe.h).
inline constexpr const char* kProbeTable = "forkplane_probe";

// Marks (skb->mark) of what a guest sent. Its TAP's program marks every IPv4 packet as unjudged;
// our table takes that mark off where it judges, and a rule of policy routing throws away what
// still has it. All eight bits must match: of single bits none is free (docs/adr/0011). With
// --redirect mark the other bits are those of the TAP's index, and stay.
inline constexpr std::uint32_t kUnjudgedMark = 0x4e000000;
inline constexpr std::uint32_t kMarkRangeMask = 0xff000000;
static_assert((kUnjudgedMark & kTapIndexBase) == kTapIndexBase);
// Before every rule that anybody else may have but that of the table `local`.
inline constexpr std::uint32_t kUnjudgedRulePreference = 1;

// The gateway's MAC on every bridge of ours, and what every guest believes it to be.
inline constexpr MacAddress kGatewayMac{{0x02, 0xfc, 0x00, 0x00, 0x00, 0x01}};

constexpr std::uint32_t MakeNumber(std::uint32_t ifb, std::uint32_t minor) {
  return ifb << 16 | minor;
}
constexpr std::uint32_t IfbOf(std::uint32_t number) { return number >> 16 & 0xff; }
constexpr std::uint32_t MinorOf(std::uint32_t number) { return number & 0xffff; }
// True for what the ledger may lease.
constexpr bool IsInterfaceNumber(std::uint32_t number) {
  return number >> 24 == 0 && MinorOf(number) >= kMinorMin && MinorOf(number) <= kMinorMax;
}

constexpr std::uint32_t TapIndex(std::uint32_t number) { return kTapIndexBase + number; }
constexpr std::uint32_t IfbIndex(std::uint32_t ifb) { return kIfbIndexBase + ifb; }
constexpr std::uint32_t BridgeIndex(std::uint32_t n) { return kBridgeIndexBase + n; }
constexpr std::uint32_t ClassHandle(std::uint32_t number) { return kHtbHandle | MinorOf(number); }

constexpr bool IsTapIndex(std::uint32_t index) {
  return (index & kIndexRangeMask) == kTapIndexBase;
}
constexpr bool IsIfbIndex(std::uint32_t index) {
  return (index & kIndexRangeMask) == kIfbIndexBase;
}
constexpr bool IsBridgeIndex(std::uint32_t index) {
  return (index & kIndexRangeMask) == kBridgeIndexBase;
}
constexpr bool IsOwnedIndex(std::uint32_t index) {
  return IsTapIndex(index) || IsIfbIndex(index) || IsBridgeIndex(index);
}
// The number of a TAP of ours.
constexpr std::uint32_t NumberOfTap(std::uint32_t index) { return index - kTapIndexBase; }

std::string TapName(std::uint32_t number);  // "fk46000001"
std::string IfbName(std::uint32_t ifb);     // "fkifb0"
std::string BridgeName(std::uint32_t n);    // "fkbr0"

// What the host sees of a guest: 02:fb:00:<ifb>:<minor high>:<minor low>.
constexpr MacAddress OuterMac(std::uint32_t number) {
  return {{0x02, 0xfb, 0x00, static_cast<std::uint8_t>(number >> 16),
           static_cast<std::uint8_t>(number >> 8), static_cast<std::uint8_t>(number)}};
}
// What a guest believes of itself: 02:fc:00:00:01:<ordinal of the interface>.
constexpr MacAddress InnerMac(std::uint32_t ordinal) {
  return {{0x02, 0xfc, 0x00, 0x00, 0x01, static_cast<std::uint8_t>(ordinal)}};
}
// The default gateway of a cidr (its first host address) and the constant inner address (its
// second, reserved: the ledger never leases it). `cidr` is /29 or wider.
constexpr Ipv4 DefaultGateway(const Cidr& cidr) { return cidr.At(1); }
constexpr Ipv4 InnerAddress(const Cidr& cidr) { return cidr.At(2); }

}  // namespace forkplane
