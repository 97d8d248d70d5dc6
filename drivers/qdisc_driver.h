// Traffic control: TBF at the root of a TAP (download), clsact beside it, HTB at the root of an IFB
// (upload), its classes and their leaves. All traffic figures are bytes and bytes per second of
// Ethernet frames (as the kernel counts them), never bits.
//
// NOTE Contract, threading, namespace: as in link_driver.h. Add fails with Exists, Change and
// Delete with NotFound. Reading an absent link gives NotFound.
// NOTE Kernel: an HTB qdisc cannot be changed, only made anew; a class's parent cannot be changed.
// Class changes apply live and keep the counters. Deleting a link or a root qdisc sends no events
// for what was inside (link_events.h).
// NOTE Performance: class add 35 us, change 1-2 us, delete 14 us; TBF add 30 us before the link is
// up, up to 4 ms after (RCU).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "controller/base/result.h"

namespace forkplane::drivers {

struct TcCounters {
  std::uint64_t bytes = 0;
  std::uint64_t packets = 0;
  std::uint64_t drops = 0;
  std::uint64_t overlimits = 0;  // times a packet had to wait
  std::uint64_t backlog_bytes = 0;
  bool operator==(const TcCounters&) const = default;
};

// Specs speak of bits a second, the kernel of bytes.
inline constexpr std::uint64_t kBitsPerByte = 8;

struct Tbf {
  std::uint64_t rate_bytes_per_second = 0;
  std::uint32_t burst_bytes = 0;  // frames larger than it are dropped for ever
  std::uint32_t limit_bytes = 0;  // of the queue (TBF's own leaf is a bfifo of this size)
  bool operator==(const Tbf&) const = default;
};

struct HtbClass {
  std::uint32_t minor = 0;         // 7f00:minor
  std::uint32_t parent_minor = 0;  // 0: the qdisc itself; immutable
  std::uint64_t rate_bytes_per_second = 0;
  std::uint64_t ceil_bytes_per_second = 0;
  std::uint32_t burst_bytes = 0;       // at rate
  std::uint32_t ceil_burst_bytes = 0;  // at ceil
  std::uint32_t quantum_bytes = 0;     // share of what siblings leave; never 0
  bool operator==(const HtbClass&) const = default;
};

enum class LeafKind : std::uint8_t { kBfifo, kFqCodel };

struct Leaf {
  LeafKind kind = LeafKind::kBfifo;
  std::uint32_t limit_bytes = 0;  // of fq_codel: its memory limit
  bool operator==(const Leaf&) const = default;
};

// What a change of a TBF does with the packets that wait in it.
enum class Queue : std::uint8_t { kKeep, kDrop };

// The root qdisc that is not the kernel's default one.
struct ObservedRoot {
  std::string kind;                 // "tbf", "htb", or what somebody else put there
  std::uint32_t handle = 0;         // kTbfHandle, kHtbHandle on ours
  std::optional<Tbf> tbf = {};      // when kind is tbf
  std::uint32_t default_minor = 0;  // when kind is htb
  TcCounters counters;
};

struct ObservedClass {
  HtbClass htb;
  std::optional<Leaf> leaf = {};  // empty: the kernel's packet-bounded default, or a foreign kind
  // drops: also those that fq_codel decides on later, which the class itself does not count.
  TcCounters counters;
};

// A TAP.
struct PortQdiscs {
  std::optional<ObservedRoot> root = {};
  bool clsact = false;
  bool foreign_ingress = false;  // something else stands in its place
};

// An IFB.
struct UplinkQdiscs {
  std::optional<ObservedRoot> root = {};
  std::vector<ObservedClass> classes = {};  // ordered by minor; only of our HTB
};

// An IFB, and every TAP of ours that has a qdisc somebody made, by interface index.
struct DomainQdiscs {
  std::optional<UplinkQdiscs> uplink = {};  // absent: no such link
  std::map<std::uint32_t, PortQdiscs> ports = {};
};

// The kernel keeps bursts as time in ticks of 64 ns, so a burst comes back rounded. True when the
// kernel, told `desired`, would report `observed`.
bool Equivalent(const Tbf& desired, const Tbf& observed);
bool Equivalent(const HtbClass& desired, const HtbClass& observed);

// Two frames: a bucket smaller than one would drop that frame for ever.
std::uint32_t BurstMin(std::uint32_t mtu);
// The kernel reports a burst as the time that it takes, in 32 bits of 64 ns: what takes longer than
// 274.8 s comes back as another one (Linux 6.18, tbf_dump and htb_dump_class).
std::uint32_t BurstMax(std::uint64_t rate_bytes_per_second);
// The least rate at which the kernel can keep the least burst for this MTU.
std::uint64_t RateMin(std::uint32_t mtu);

// The sizes architecture.md 5 asks for: burst = max(MTU + headers, 10 ms of rate); queue =
// max(64 KiB, 50 ms of rate). Both saturate at what the kernel can hold.
std::uint32_t DefaultBurst(std::uint64_t rate_bytes_per_second, std::uint32_t mtu);
std::uint32_t DefaultQueueBytes(std::uint64_t rate_bytes_per_second);
inline constexpr std::uint32_t kQuantumBytes = 20'000;  // equal shares of spare capacity

// Invalid for zero rates (they divide by zero), zero bursts and limits (they pass nothing), a zero
// quantum (the kernel would choose by rate, and warn) and impossible minors.
Status Validate(const Tbf& tbf);
Status Validate(const HtbClass& htb);

class QdiscDriver {
 public:
  virtual ~QdiscDriver() = default;

  // The kernel lists the qdiscs of one link only together with those of all others, at a cost that
  // grows with their number; a single one it shows to every listener (netlink/quiet_socket.h). So
  // ObserveDomain for many, and for one that is believed to be in order HasTbf.
  virtual Result<PortQdiscs> ObservePort(std::uint32_t index) = 0;
  // Whether the root of a link is a TBF with our handle, whatever its rate; not with an absent
  // link. Nobody hears of it.
  virtual Result<bool> HasTbf(std::uint32_t index) = 0;
  // One look for an IFB and all TAPs.
  virtual Result<DomainQdiscs> ObserveDomain(std::uint32_t index) = 0;
  // The same of one interface, whatever the number of others: of the IFB's root kind and handle, of
  // the classes only the root class and `minor` with its leaf, of the TAPs only `tap`, without its
  // clsact.
  virtual Result<DomainQdiscs> ObserveInterface(std::uint32_t index, std::uint32_t minor,
                                                std::uint32_t tap) = 0;
  virtual Result<UplinkQdiscs> ObserveUplink(std::uint32_t index) = 0;
  // The classes of our HTB on an IFB, ordered by minor, without their leaves: a list of this one
  // link, whatever else there is. An absent link has none.
  virtual Result<std::vector<ObservedClass>> ObserveClasses(std::uint32_t index) = 0;
  // From now on what is asked of IFB 0 happens at `link`, which is not ours: the uplink, where
  // upload may be shaped instead. 0: at the IFB again.
  virtual void ShapeOn(std::uint32_t link) = 0;
  // The links that are not ours and have a HTB of ours at their root.
  virtual Result<std::vector<std::uint32_t>> ForeignLinksWithHtb() = 0;
  // What the kernel offers, found by asking for one that it must refuse: nothing is changed.
  virtual Result<bool> HasFqCodel() = 0;

  virtual Status AddTbf(std::uint32_t index, const Tbf& tbf) = 0;
  // A smaller burst needs Queue::kDrop: a packet of many segments (GSO) that was let in under the
  // wider one is larger than the bucket ever gets, stands at the head of the queue and lets nothing
  // pass, for ever (sch_tbf.c, Linux 6.18, provoked). Both happen in one system call.
  virtual Status ChangeTbf(std::uint32_t index, const Tbf& tbf, Queue queue) = 0;
  virtual Status AddClsact(std::uint32_t index) = 0;
  // Or what stands in its place.
  virtual Status DeleteClsact(std::uint32_t index) = 0;
  virtual Status AddHtb(std::uint32_t index, std::uint32_t default_minor) = 0;
  // With everything below it; the kernel's default takes its place. On a link that is not ours only
  // a HTB of ours; Invalid: that is not what stands there.
  virtual Status DeleteRoot(std::uint32_t index) = 0;

  virtual Status AddClass(std::uint32_t index, const HtbClass& htb) = 0;
  virtual Status ChangeClass(std::uint32_t index, const HtbClass& htb) = 0;
  // Conflict: the class has children.
  virtual Status DeleteClass(std::uint32_t index, std::uint32_t minor) = 0;
  // Makes, changes or replaces the leaf of a class. NotFound: no such class.
  virtual Status SetLeaf(std::uint32_t index, std::uint32_t minor, const Leaf& leaf) = 0;
};

// What --leaf ("auto", "fq_codel", "bfifo") means on this kernel, to the daemon as to the doctor.
// "auto": fq_codel where the kernel has it. Invalid: it is demanded and not there.
Result<LeafKind> ChooseLeaf(std::string_view wanted, QdiscDriver& qdiscs);

}  // namespace forkplane::drivers
