// Identity translation: one BPF program per direction on each TAP, and the map both read. Every
// guest believes in the same MAC and IPv4; outside, each has its own. Hence any number of clones of
// one memory image run at once and nobody in the guest has to change a thing.
//
//   ingress (guest -> host): source MAC, ARP sender, IPv4 source, and the header quoted in ICMP
//     errors are translated inner -> outer; another source is dropped (no spoofing); what is
//     neither ARP nor IPv4 is dropped; skb->priority = 7f00:minor; redirected to the TAP's IFB.
//     A DHCP question is answered on the spot, with the inner identity: see bpf/dhcp.bpf.h.
//   egress (host -> guest): the reverse.
//   No entry: dropped. Every drop is counted by reason.
//
// NOTE Contract, threading: as in link_driver.h.
// NOTE Lifetime: programs and maps are pinned below Options::pin_directory (a bpffs) so that a
// restarted daemon adopts them; a new version of the programs shows as kStale on TAPs that still
// run the old ones. An upgrade fills the map before it replaces the programs: plan SetEntry before
// Attach, always.
// NOTE Namespace: the map is keyed by interface index, so one driver serves one namespace.
// NOTE Performance: loading 4 ms once; SetEntry 2 us; Attach 5-10 us. But the first Attach on a
// clsact waits for an expedited RCU grace period under the rtnl lock, unless one has passed since
// the clsact was made: 20 us on an idle host, a millisecond and more on a busy one (measured).
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>
#include <vector>

#include "controller/base/net_address.h"
#include "controller/base/result.h"

namespace forkplane::drivers {

inline constexpr std::size_t kDnsMax = 2;

struct IdentityEntry {
  MacAddress inner_mac;  // InnerMac(ordinal)
  MacAddress outer_mac;  // OuterMac(number)
  Ipv4 inner_address;
  Ipv4 outer_address;  // leased
  Ipv4 gateway;        // the Network's
  // What DHCP tells the guest besides; translation does not depend on it.
  std::uint8_t prefix_length = 32;  // of the Network
  std::uint16_t mtu = 1500;
  std::array<Ipv4, kDnsMax> dns = {};  // the first ones; empty: none
  bool operator==(const IdentityEntry&) const = default;
};

enum class DropReason : std::uint8_t {
  kNoEntry,        // only in the host-wide counters (there is no entry to count in)
  kSourceMac,      // ingress: not the inner MAC
  kArpSender,      // ingress: sender MAC or IPv4 is not the inner one
  kSourceAddress,  // ingress: IPv4 source is not the inner one
  kEtherType,      // either way: neither ARP nor IPv4
  kMalformed,      // either way: shorter than its headers say
  kDestination,    // egress: unicast to another MAC (flooded by the bridge)
  kAmbiguous,      // egress: addressed to, or ARP about, the inner address itself
  kQuoted,         // either way: ICMP error that quotes a packet which is not of this guest
  kDhcp,           // ingress: a DHCP question without an answer, or a guest that answers others
  kChecksum,       // ingress: a checksum to be finished anywhere but in the TCP or UDP header
  kFragments,      // ingress: more fragments than the budget of the TAP, or of all, allows
};
inline constexpr std::size_t kDropReasons = 12;
std::string_view ToString(DropReason reason);  // a metric label: "source_mac"

struct IdentityCounters {
  std::uint64_t from_guest_packets = 0;  // translated and passed on
  std::uint64_t from_guest_bytes = 0;
  std::uint64_t to_guest_packets = 0;
  std::uint64_t to_guest_bytes = 0;
  std::uint64_t dhcp_answers = 0;
  std::array<std::uint64_t, kDropReasons> drops = {};  // by DropReason
  std::uint64_t Drops(DropReason reason) const { return drops[static_cast<std::size_t>(reason)]; }
  bool operator==(const IdentityCounters&) const = default;
};

enum class Direction : std::uint8_t { kIngress, kEgress };

enum class ProgramState : std::uint8_t {
  kNone,
  kOurs,  // exactly the program this driver would attach
  // One of ours that still translates: an older version, or (ingress) the other redirect mode.
  kStale,
  kForeign,  // something else in our place, or before it: frames may pass as they are
};

struct AttachedPrograms {
  ProgramState ingress = ProgramState::kNone;  // in mirred mode, of program and filter together
  ProgramState egress = ProgramState::kNone;
  bool operator==(const AttachedPrograms&) const = default;
};

// How packets get from a TAP to its IFB: by the program itself (kernels that mark redirected
// packets, about 6.4 and later; ProbeRedirect tells), or by a second filter with act_mirred. kMark:
// not at all; the program marks them, with the TAP's index, for the classifier on the uplink.
enum class RedirectMode : std::uint8_t { kBpf, kMirred, kMark };
std::string_view ToString(RedirectMode mode);  // "bpf", "mirred", "mark"

struct IdentityEntryAt {
  std::uint32_t index = 0;
  IdentityEntry entry;
  bool operator==(const IdentityEntryAt&) const = default;
};

class IdentityDriver {
 public:
  virtual ~IdentityDriver() = default;

  virtual RedirectMode Mode() const = 0;

  virtual Lookup<IdentityEntry> ObserveEntry(std::uint32_t index) = 0;
  // Ordered by index; also of TAPs that are gone (entries do not die with them).
  virtual Result<std::vector<IdentityEntryAt>> ListEntries() = 0;
  // Creates or replaces at once for the next packet; counters are kept.
  virtual Status SetEntry(std::uint32_t index, const IdentityEntry& entry) = 0;
  virtual Status DeleteEntry(std::uint32_t index) = 0;
  // NotFound: no entry was ever set. Index 0: the host-wide counters.
  virtual Result<IdentityCounters> Counters(std::uint32_t index) = 0;

  // NotFound: no such link.
  virtual Result<AttachedPrograms> ObservePrograms(std::uint32_t index) = 0;
  // Attaches, or replaces what is in our place without a packet passing in between. NotFound: no
  // link or no clsact on it.
  virtual Status Attach(std::uint32_t index, Direction direction) = 0;
  virtual Status Detach(std::uint32_t index, Direction direction) = 0;

  // Whether a daemon that is started next would find every program and map. Not pinned by wish:
  // true.
  virtual Result<bool> ArePinned() = 0;
  // Pins what is not; what stands there of others is replaced.
  virtual Status Pin() = 0;

  // The classifier of the HTB (kHtbHandle) at the root of a link that need not be ours: a marked
  // packet is for the class of its TAP's minor, any other for kHostClassMinor. kForeign also
  // when other filters stand beside it. NotFound: no such HTB.
  virtual Result<ProgramState> ObserveClassifier(std::uint32_t index) = 0;
  virtual Status AttachClassifier(std::uint32_t index) = 0;
};

// Whether uploads reach their class in this mode on this kernel.
using RedirectProbe = std::function<Result<bool>(RedirectMode)>;
// What --redirect ("auto", "bpf", "mirred", "mark") means on this kernel. "auto": bpf where it
// works. Invalid: what is demanded does not work, or nothing does.
Result<RedirectMode> ChooseRedirect(std::string_view wanted, const RedirectProbe& works);

}  // namespace forkplane::drivers
