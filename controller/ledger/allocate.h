// What each request does to the rows: pure functions from the index to a list of mutations, or the
// refusal. Nothing here touches the file, so every rule can be read (and tested) in one place.
//
// Invariants that hold after every list is applied:
//   - no number, address, uid, bridge, queue place is in two rows;
//   - a resting address is in no interface;
//   - an interface's Network and VM have rows;
//   - at most `total` slots were granted by us, and nobody overtook an earlier one.
#pragma once

#include "controller/ledger/index.h"

namespace forkplane::ledger {

struct Instant {
  MonotonicTime now;
  WallTime wall;
};

struct Limits {
  std::uint32_t uid_first = 0;
  std::uint32_t uid_count = 0;
  std::uint32_t shaping_domains = 1;
  std::uint32_t classes_per_domain = 1;
  std::uint32_t ports_per_bridge = 1;
  std::uint32_t slots_default = 32;
};

Result<Mutations> PlanClaim(const Index& index, const VmClaim& claim, const Instant& at,
                            const Limits& limits);
Result<Mutations> PlanRelease(const Index& index, const std::string& owner_uid, const Instant& at,
                              const Limits& limits);
Result<Mutations> PlanReleaseInterface(const Index& index, LeaseId lease, const Instant& at);
Result<Mutations> PlanConfirmAbsent(const Index& index, LeaseId lease, Part part,
                                    const Instant& at);
// All of them; leases that are unknown or confirmed already count as done.
Result<Mutations> PlanConfirmAbsent(const Index& index, const std::vector<LeaseId>& leases,
                                    Part part, const Instant& at);
Result<Mutations> PlanSetVmm(const Index& index, const std::string& owner_uid,
                             const std::optional<VmmRecord>& record);

Result<Mutations> PlanGrantSlots(const Index& index, const std::string& pool, std::uint32_t total,
                                 const Instant& at);
Result<Mutations> PlanFreeSlot(const Index& index, const std::string& owner_uid, const Instant& at,
                               const Limits& limits);

Result<Mutations> PlanClaimNetwork(const Index& index, const NetworkParameters& parameters,
                                   const Instant& at);
Result<Mutations> PlanBeginReleaseNetwork(const Index& index, const std::string& uid);
Result<Mutations> PlanConfirmNetworkAbsent(const Index& index, const std::string& uid);
Result<Mutations> PlanBeginReleaseBridge(const Index& index, std::uint32_t number);
Result<Mutations> PlanConfirmBridgeAbsent(const Index& index, std::uint32_t number);

// Rests that are over. Applied before every claim; bounded, so that no claim pays for thousands.
Mutations PlanExpireRests(const Index& index, MonotonicTime now);

}  // namespace forkplane::ledger
