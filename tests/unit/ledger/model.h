// The ledger as ledger.h describes it, written as plainly as possible: lists that are searched from
// end to end, no index. It foretells the code of every call and checks every answer; what it
// does not foretell (which free number is taken) it takes from the answer once it is found legal.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "controller/ledger/ledger.h"

namespace forkplane::ledger {

class Model {
 public:
  Model(std::uint32_t uid_first, std::uint32_t uid_count, std::uint32_t slots_default)
      : uid_first_(uid_first), uid_count_(uid_count), slots_default_(slots_default) {}

  // Each takes the call and its outcome; a text per promise that the outcome breaks.
  void OnClaim(const VmClaim& claim, const Result<VmLease>& got);
  void OnRelease(const std::string& owner_uid, const Status& got);
  void OnReleaseInterface(LeaseId lease, const Status& got);
  void OnConfirm(const std::vector<LeaseId>& leases, Part part, const Status& got);
  void OnSetVmm(const std::string& uid, const std::optional<VmmRecord>& vmm, const Status& got);
  void OnGrantSlots(const std::string& pool, std::uint32_t total,
                    const Result<std::vector<Owner>>& got);
  void OnFreeSlot(const std::string& owner_uid, const Status& got);
  void OnClaimNetwork(const NetworkParameters& wanted, const Result<NetworkLease>& got);
  void OnBeginReleaseNetwork(const std::string& uid, const Status& got);
  void OnConfirmNetwork(const std::string& uid, const Status& got);
  void OnReboot(MonotonicTime now);  // every rest begins anew
  void SetSlotsDefault(std::uint32_t total) { slots_default_ = total; }

  // Time passes: rests that are over end with the next call.
  void SetNow(MonotonicTime now) { now_ = now; }
  // Everything the ledger says it holds against everything the model holds.
  void Compare(const Ledger& ledger);

  std::vector<std::string> wrong;

  // For whoever chooses the next call.
  const std::map<std::string, VmLease>& vms() const { return vms_; }
  const std::map<std::string, NetworkLease>& networks() const { return networks_; }

 private:
  struct Rest {
    RestingAddress resting;
    std::chrono::milliseconds length{0};
  };
  struct Slot {
    std::string owner_uid;
    std::string pool;
    bool granted = false;
  };
  // What a claim would meet: refusals of which one is told, or shortages which are all told.
  struct Verdict {
    std::set<Code> refusals;
    std::set<std::string> shortages;
  };

  void Expect(std::string_view call, bool right, const std::string& what);
  // True when both succeeded.
  template <typename T>
  bool SameCode(std::string_view call, const std::set<Code>& refusals, const Result<T>& got) {
    return SameCode(call, refusals, got.ok() ? nullptr : &got.error());
  }
  bool SameCode(std::string_view call, const std::set<Code>& refusals, const Error* got);
  void EndRests();

  Verdict Judge(const VmClaim& claim) const;
  void JudgeInterface(const VmClaim& claim, const InterfaceClaim& wanted, Verdict& verdict) const;
  void JudgeStatic(const NetworkParameters& network, Ipv4 address, Verdict& verdict) const;
  std::vector<Ipv4> FreeAddresses(const VmClaim& claim, const std::string& network_uid) const;
  void TakeVm(const VmClaim& claim, const VmLease& got);
  void TakeInterface(const VmClaim& claim, const InterfaceClaim& wanted, const InterfaceLease& got);
  void TakeSlot(const VmClaim& claim);
  const InterfaceLease* Find(LeaseId id) const;
  const InterfaceLease* Holder(Ipv4 address) const;
  InterfaceLease* FindMutable(LeaseId id);
  void DropIfDone(const std::string& owner_uid);

  Slot* SlotOf(const std::string& owner_uid);
  std::uint32_t TotalOf(const std::string& pool) const;
  std::uint32_t GrantedOf(const std::string& pool) const;
  bool SomebodyWaits(const std::string& pool) const;
  std::vector<Owner> Grant(const std::string& pool);
  void DropSlot(const std::string& owner_uid);

  void CompareVm(const VmLease& got);
  void ComparePool(const PoolState& got);
  void CompareNetwork(const Ledger& ledger, const NetworkLease& held);

  const std::uint32_t uid_first_;
  const std::uint32_t uid_count_;
  std::uint32_t slots_default_;
  MonotonicTime now_;
  LeaseId last_lease_ = 0;
  std::map<std::string, VmLease> vms_;  // .slot is not used: see slots_
  std::map<std::string, NetworkLease> networks_;
  std::vector<Slot> slots_;  // in order of arrival
  std::map<std::string, std::uint32_t> totals_;
  std::map<Ipv4, Rest> rests_;
};

}  // namespace forkplane::ledger
