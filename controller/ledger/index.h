// The ledger's rows in memory, with every lookup an allocation needs. Not thread-safe: the ledger
// guards it. The only way to change it is Apply(mutation), which is also what is written to the
// file, so memory and file cannot take different steps.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "controller/ledger/ledger.h"

namespace forkplane::ledger {

struct VmRow {
  Owner owner;
  bool releasing = false;
  std::uint32_t vmm_uid = 0;
  std::string cgroup;
  std::string directory;
  WallTime since;
  std::optional<VmmRecord> vmm;
};

struct SlotRow {
  std::string owner_uid;
  std::string pool;
  bool granted = false;
  std::int64_t sequence = 0;  // place in the queue; lower is earlier
  WallTime since;
};

struct BridgeRow {
  std::uint32_t number = 0;
  std::string network_uid;
  bool releasing = false;
  WallTime since;
};

struct PoolRow {
  std::string pool;
  std::uint32_t total = 0;
};

struct RestRow {
  RestingAddress resting;
};

struct MetaRow {
  std::string key;
  std::string value;
};

struct DeleteVm {
  std::string owner_uid;
};
struct DeleteInterface {
  LeaseId id = 0;
};
struct DeleteNetwork {
  std::string uid;
};
struct DeleteBridge {
  std::uint32_t number = 0;
};
struct DeleteSlot {
  std::string owner_uid;
};
struct DeleteRest {
  Ipv4 address;
};

inline constexpr const char* kIdentityKey = "identity";
inline constexpr const char* kStoreIdentityKey = "store_identity";

// A whole row replaces the row with its key. What a NetworkLease says of further bridges is not
// of its row but of theirs.
using Mutation =
    std::variant<VmRow, InterfaceLease, NetworkLease, BridgeRow, SlotRow, PoolRow, RestRow, MetaRow,
                 DeleteVm, DeleteInterface, DeleteNetwork, DeleteBridge, DeleteSlot, DeleteRest>;
using Mutations = std::vector<Mutation>;

// Numbers in use, and the lowest one that is not; amortised constant time while numbers are taken
// from the bottom.
class NumberSet {
 public:
  explicit NumberSet(std::uint32_t first = 0) : first_(first), lowest_free_(first) {}

  void Insert(std::uint32_t n);
  void Erase(std::uint32_t n);
  bool Contains(std::uint32_t n) const { return taken_.contains(n); }
  // The lowest number in [max(first, from), last] that is neither taken nor refused by `skip`.
  template <typename Skip>
  std::optional<std::uint32_t> Lowest(std::uint32_t last, Skip skip) const {
    auto next = taken_.lower_bound(lowest_free_);
    for (std::uint32_t n = lowest_free_; n <= last; ++n) {
      if (next != taken_.end() && *next == n) {
        ++next;
      } else if (!skip(n)) {
        return n;
      }
      if (n == last) break;  // `last` may be the greatest number there is
    }
    return std::nullopt;
  }
  std::size_t size() const { return taken_.size(); }

 private:
  std::uint32_t first_;
  std::uint32_t lowest_free_;  // everything below is taken
  std::set<std::uint32_t> taken_;
};

class Index {
 public:
  explicit Index(std::uint32_t uid_first) : vmm_uids(uid_first) {}

  void Apply(const Mutation& mutation);

  VmLease BuildVm(const VmRow& row) const;
  std::optional<SlotState> BuildSlot(const std::string& owner_uid) const;
  PoolState BuildPool(const std::string& pool, std::uint32_t slots_default) const;
  std::vector<PoolState> BuildPools(std::uint32_t slots_default) const;
  Listing BuildListing(std::uint32_t slots_default, const std::string& unreadable) const;
  std::uint32_t PoolTotal(const std::string& pool, std::uint32_t slots_default) const;
  std::uint32_t PoolGranted(const std::string& pool) const;
  const InterfaceLease* FindInterface(const std::string& owner_uid, std::uint32_t ordinal) const;
  std::vector<const InterfaceLease*> InterfacesOf(const std::string& owner_uid) const;
  const NumberSet* AddressesOfNetwork(const std::string& uid) const;
  AddressUse UseOf(const NetworkLease& network) const;

  // Tables, by primary key. Read freely; change only through Apply.
  std::map<std::string, VmRow> vms;
  std::map<LeaseId, InterfaceLease> interfaces;
  std::map<std::string, NetworkLease> networks;
  std::map<std::uint32_t, BridgeRow> bridges;  // beside the first of each Network
  std::map<std::string, SlotRow> slots;
  std::map<std::string, std::uint32_t> pools;
  std::map<Ipv4, RestRow> rests;
  std::map<std::string, std::string> meta;

  // Derived.
  std::map<std::pair<std::string, std::uint32_t>, LeaseId> by_owner;  // (uid, ordinal)
  std::map<Number, LeaseId> by_number;
  std::map<Ipv4, LeaseId> by_address;
  std::map<std::uint32_t, NumberSet> minors;     // by IFB; empty: none is leased
  std::map<std::uint32_t, std::uint32_t> ports;  // by bridge: interfaces on it
  NumberSet bridge_numbers;                      // first and further ones
  std::map<std::string, NumberSet> addresses;    // by Network: leased and resting
  std::map<std::string, std::set<LeaseId>> by_network;
  std::map<std::pair<std::string, std::int64_t>, std::string> waiting;  // (pool, sequence) -> uid
  std::map<std::string, std::uint32_t> granted;                         // by pool
  // By Network: rests inside its block, whoever made them.
  std::map<std::string, std::uint64_t> resting_count;
  std::set<std::pair<MonotonicTime, Ipv4>> rest_ends;
  NumberSet vmm_uids;
  LeaseId next_lease = 1;
  std::int64_t next_sequence = 1;

 private:
  void Put(const VmRow& row);
  void Put(const InterfaceLease& row);
  void Put(const NetworkLease& row);
  void Put(const BridgeRow& row);
  void Put(const SlotRow& row);
  void Put(const PoolRow& row) { pools[row.pool] = row.total; }
  void Put(const RestRow& row);
  void Put(const MetaRow& row) { meta[row.key] = row.value; }
  void Put(const DeleteVm& row);
  void Put(const DeleteInterface& row);
  void Put(const DeleteNetwork& row);
  void Put(const DeleteBridge& row);
  void Put(const DeleteSlot& row);
  void Put(const DeleteRest& row);
  void DropAddress(const std::string& network_uid, Ipv4 address);
};

}  // namespace forkplane::ledger
