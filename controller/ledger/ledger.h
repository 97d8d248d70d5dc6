// The host ledger: every scarce thing of this host that a VM or a Network uses is a lease here,
// committed durably BEFORE the first system call that uses it and released only after its absence
// was observed. Unique key: (owner uid, kind, ordinal), so a retry finds its own lease.
//
// NOTE Life of a VM's leases:
//   Claim            -> interfaces Active, slot granted or waiting, vmm uid, cgroup, directory
//   FreeSlot         -> at "resumed"; the next in the queue is granted in the same transaction
//   SetVmm/ClearVmm  -> around the process; what adoption after a restart compares
//   Release          -> refused while a VMM record stands; interfaces become Releasing
//   ConfirmAbsent x2 -> tap loop and shaping loop each saw their part gone: the number is free, the
//                       address rests for the Network's addressRest
//   the last interface gone -> the VM's uid, cgroup and directory names are free
//
// NOTE Durability: one SQLite file, WAL, synchronous=FULL. A call that returns success is on disk.
// Calls made at the same time share one transaction (group commit). UNIQUE constraints repeat every
// rule as the last line of defence.
//
// NOTE Fail closed: a record that cannot be read is never treated as free. The ledger opens, lists
// what it can, lets go what it can, and refuses every new lease (Internal, naming the record) until
// an operator repaired the file; a claim whose leases are all held already still gets them, and who
// waits for a slot waits on. A file that is no database does not open.
//
// NOTE Threading: everything is thread-safe. Subscribers are called after the commit, on the thread
// of one of the committing callers, before any of these is answered, without locks; they should
// only enqueue. Other commits go on meanwhile, so of two the second may be heard of first: look at
// what is there now.
//
// NOTE Performance: a Claim is one commit whatever it holds; reads never touch the file (an index
// in memory is rebuilt at open and follows every commit).
//
// NOTE Metrics: forkplane_ledger_commits_total{code}, forkplane_ledger_commit_duration_seconds,
// forkplane_ledger_leases{kind}, forkplane_ledger_unreadable_records.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "controller/base/clock.h"
#include "controller/base/metrics.h"
#include "controller/base/result.h"
#include "controller/base/rng.h"
#include "controller/ledger/records.h"

namespace forkplane::ledger {

struct InterfaceClaim {
  std::uint32_t ordinal = 0;
  std::string name;
  std::string network_uid;
  std::optional<Ipv4> address = {};  // a static request; none: lowest free
  TapFacts tap = {};
  bool translated = true;
  // What the guest believes; absent: the constants of this host (records.h). Imported snapshots
  // declare their own.
  std::optional<Ipv4> inner_address = {};
  std::optional<MacAddress> inner_mac = {};
};

struct VmClaim {
  Owner owner;
  std::vector<InterfaceClaim> interfaces = {};
  std::optional<std::string> slot_pool = {};  // ask for a restore slot of this hypervisor
  bool fail_fast = false;                     // no free slot: Exhausted instead of a place in line
};

// What a commit touched; subscribers decide what to queue.
struct Change {
  enum class Kind : std::uint8_t { kVm, kInterface, kNetwork, kSlot };
  Kind kind = Kind::kVm;
  std::string owner_uid = {};     // kVm, kInterface, kSlot
  LeaseId lease = 0;              // kInterface
  Number number = 0;              // kInterface
  std::string network_uid = {};   // kInterface, kNetwork
  std::string network_name = {};  // kInterface, kNetwork
  std::string pool = {};          // kSlot
};

struct PoolState {
  std::string pool;
  std::uint32_t total = 0;
  std::uint32_t granted = 0;
  std::vector<Owner> waiting;           // first come first
  std::optional<WallTime> oldest_wait;  // since when the first one waits
};

struct AddressUse {
  std::uint64_t used = 0;  // leased or resting
  std::uint64_t resting = 0;
  std::uint64_t free = 0;
};

// For /debug/ledger and `forkplane leases`.
struct Listing {
  std::string identity;
  std::string unreadable;  // empty: healthy
  std::vector<NetworkLease> networks;
  std::vector<VmLease> vms;
  std::vector<RestingAddress> resting;
  std::vector<PoolState> pools;
};

struct Options {
  std::string path;
  std::string boot_id;  // empty: read from /proc/sys/kernel/random/boot_id
  std::uint32_t uid_first = 200'000;
  std::uint32_t uid_count = 65'000;
  // IFBs there may be. A further one is taken into use when every one before it has
  // `classes_per_domain` interfaces: adding a class walks all classes of its IFB (measured: 0.12 us
  // each), but each IFB shapes to the uplink's capacity on its own.
  std::uint32_t shaping_domains = 16;
  std::uint32_t classes_per_domain = 4000;
  std::uint32_t ports_per_bridge = 1000;  // the kernel's limit is 1024 (BR_MAX_PORTS, Linux 6.18)
  std::uint32_t slots_default = 32;       // a pool nobody set a total for
  // Tests only: called right before (n, false) and right after (n, true) the n-th commit since
  // open.
  std::function<void(int commit, bool done)> commit_hook = {};
};

class Ledger {
 public:
  virtual ~Ledger() = default;

  // Opens or creates the file. Clock and rng must outlive it; `metrics` may be null.
  static Result<std::unique_ptr<Ledger>> Open(Options options, Clock& clock, Rng& rng,
                                              metrics::Registry* metrics = nullptr);

  // ---- virtual machines

  // Everything the claim names, or nothing. Repeating it returns what is held already (an interface
  // keeps its number and address; a slot that was freed is asked for again when the claim names a
  // pool). Errors:
  //   NotFound     a Network has no lease on this host (yet)
  //   Conflict     a static address is held: "address 10.0.0.9 is held by default/web (eth0)", or
  //                asked for twice; or an interface of the owner stands on another Network or
  //                address than asked for
  //   Invalid      a static address is outside the block, or its network, broadcast, gateway or
  //                reserved inner address; an ordinal is claimed twice
  //   Exhausted    causes[] name each shortage (reason "insufficient_resources"; field "addresses",
  //                "interfaces", "bridges", "vmmUids", "restoreSlots"); also a static address that
  //                still rests
  //   Unavailable  the owner's own leases are still being released: wait for the Change
  //   Internal     the ledger is unreadable or the disk refused
  virtual Result<VmLease> Claim(const VmClaim& claim) = 0;

  // The VM is gone: its VMM was observed dead and ClearVmm called (else Conflict). Interfaces
  // become Releasing, its slot or place in the queue is given up. Unknown owner: success.
  virtual Status Release(const std::string& owner_uid) = 0;
  // Interfaces the spec no longer names; the VM keeps the others.
  virtual Status ReleaseInterface(LeaseId lease) = 0;

  // Said by the loop that owns the part, after it saw the kernel without it. Unknown lease: success
  // (it was said before). Conflict when the lease is Active.
  virtual Status ConfirmAbsent(LeaseId lease, Part part) = 0;
  // The same for many leases in one commit (shaping passes see a whole domain).
  virtual Status ConfirmAbsent(const std::vector<LeaseId>& leases, Part part) = 0;

  virtual Status SetVmm(const std::string& owner_uid, const VmmRecord& record) = 0;
  virtual Status ClearVmm(const std::string& owner_uid) = 0;

  // ---- restore slots, FIFO per pool

  // Sets the pool's total and grants as many waiting owners as fit, in their order. Returns whom.
  // A total below what is granted takes nothing away.
  virtual Result<std::vector<Owner>> GrantSlots(const std::string& pool, std::uint32_t total) = 0;
  // Gives a granted slot back, or leaves the queue; the next ones are granted in the same commit.
  virtual Status FreeSlot(const std::string& owner_uid) = 0;

  // ---- networks

  // A bridge number for the Network, and its parameters for the loops that must work when the store
  // is gone. Repeating it with other parameters updates them; cidr and gateway of a Network in use
  // do not change (Conflict). A cidr that overlaps another leased one: Conflict naming it.
  virtual Result<NetworkLease> ClaimNetwork(const NetworkParameters& parameters) = 0;
  // From now on no claim may use it; Conflict names the count while interfaces do.
  virtual Status BeginReleaseNetwork(const std::string& uid) = 0;
  // The bridge was seen absent: the number is free. Conflict unless releasing and unused.
  virtual Status ConfirmNetworkAbsent(const std::string& uid) = 0;

  // A further bridge without an interface: from now on no claim may use it (Conflict while one
  // does); it was seen absent: the number is free (Conflict unless releasing). Unknown: success.
  virtual Status BeginReleaseBridge(std::uint32_t number) = 0;
  virtual Status ConfirmBridgeAbsent(std::uint32_t number) = 0;

  // ---- reads, from memory

  virtual std::optional<VmLease> GetVm(const std::string& owner_uid) const = 0;
  virtual std::optional<InterfaceLease> GetInterface(LeaseId lease) const = 0;
  virtual std::optional<InterfaceLease> GetInterfaceByNumber(Number number) const = 0;
  virtual std::optional<InterfaceLease> GetInterfaceByAddress(Ipv4 address) const = 0;
  virtual std::optional<NetworkLease> GetNetwork(const std::string& uid) const = 0;
  virtual std::optional<NetworkLease> GetNetworkByName(const std::string& name) const = 0;
  virtual std::vector<NetworkLease> Networks() const = 0;
  virtual std::vector<PoolState> Pools() const = 0;
  // Lower than the id of every lease that is made from now on.
  virtual LeaseId LastLease() const = 0;
  // The shaping domains that interfaces are leased on, and the first, which is always there.
  virtual std::vector<std::uint32_t> Domains() const = 0;
  // All interfaces of one shaping domain, by number.
  virtual std::vector<InterfaceLease> InterfacesOfDomain(std::uint32_t ifb) const = 0;
  virtual std::vector<InterfaceLease> InterfacesOfNetwork(const std::string& uid) const = 0;
  // Interfaces on one bridge.
  virtual std::size_t PortsOf(std::uint32_t bridge) const = 0;
  virtual AddressUse AddressesOf(const std::string& network_uid) const = 0;
  virtual Listing ListAll() const = 0;

  // A uuid made with the file; written into the store too, so that a lost or swapped store is
  // noticed before anything is removed. `store_identity` is what the store said when it was first
  // seen (empty: never).
  virtual std::string Identity() const = 0;
  virtual std::string StoreIdentity() const = 0;
  virtual Status SetStoreIdentity(const std::string& identity) = 0;

  // Healthy, or why nothing new is leased.
  virtual Status Health() const = 0;

  // Until the returned handle is destroyed: after that no call begins, but one that began may still
  // be under way on another thread.
  using Handler = std::function<void(const Change&)>;
  virtual std::shared_ptr<void> Subscribe(Handler handler) = 0;
};

}  // namespace forkplane::ledger
