#include "tests/unit/ledger/lying_ledger.h"

namespace forkplane::ledger {

void LyingLedger::Defer(std::function<Status()> request) {
  MutexLock lock(mu_);
  deferred_.push_back(std::move(request));
}

void LyingLedger::Flush() {
  std::vector<std::function<Status()>> requests;
  {
    MutexLock lock(mu_);
    requests.swap(deferred_);
  }
  for (const auto& request : requests) {
    // Acknowledged long ago: nobody is left to hear of a failure.
    if (!request().ok()) continue;
  }
}

bool LyingLedger::LosesThis() {
  if (lie_ != Lie::kLosesAConfirm) return false;
  MutexLock lock(mu_);
  return ++confirms_ % 4 == 0;
}

Result<VmLease> LyingLedger::Claim(const VmClaim& claim) {
  Flush();
  auto lease = inner_->Claim(claim);
  if (!lease.ok() && lie_ == Lie::kTakesHalf && claim.interfaces.size() > 1) {
    VmClaim half = claim;
    half.interfaces.resize(1);
    half.slot_pool.reset();
    if (!inner_->Claim(half).ok()) return lease;
  }
  if (!lease.ok() || lie_ != Lie::kAddressTwice || lease->interfaces.empty()) return lease;
  MutexLock lock(mu_);
  if (told_ && told_->owner != claim.owner) lease->interfaces[0].address = told_->address;
  told_ = lease->interfaces[0];
  return lease;
}

Status LyingLedger::Release(const std::string& owner_uid) {
  Flush();
  if (lie_ == Lie::kReleasesUnderVmm) RETURN_IF_ERROR(inner_->ClearVmm(owner_uid));
  if (lie_ != Lie::kAnswersEarly) return inner_->Release(owner_uid);
  const auto vm = inner_->GetVm(owner_uid);
  if (vm && vm->vmm) return inner_->Release(owner_uid);
  Defer([this, owner_uid] { return inner_->Release(owner_uid); });
  return OkStatus();
}

Status LyingLedger::ReleaseInterface(LeaseId lease) {
  if (lie_ == Lie::kForgetsReleaseOfOne) return OkStatus();
  return inner_->ReleaseInterface(lease);
}

Status LyingLedger::ConfirmAbsent(LeaseId lease, Part part) {
  if (LosesThis()) return OkStatus();
  RETURN_IF_ERROR(inner_->ConfirmAbsent(lease, part));
  if (lie_ != Lie::kForgetsClassAbsent || part != Part::kTap) return OkStatus();
  return inner_->ConfirmAbsent(lease, Part::kClass);
}

Status LyingLedger::ConfirmAbsent(const std::vector<LeaseId>& leases, Part part) {
  if (LosesThis()) return OkStatus();
  if (lie_ == Lie::kConfirmsFirstOnly && !leases.empty()) {
    return inner_->ConfirmAbsent(leases.front(), part);
  }
  RETURN_IF_ERROR(inner_->ConfirmAbsent(leases, part));
  if (lie_ != Lie::kForgetsClassAbsent || part != Part::kTap) return OkStatus();
  return inner_->ConfirmAbsent(leases, Part::kClass);
}

Status LyingLedger::SetVmm(const std::string& owner_uid, const VmmRecord& record) {
  Flush();
  if (lie_ == Lie::kForgetsVmm) return OkStatus();
  if (lie_ != Lie::kAnswersEarly) return inner_->SetVmm(owner_uid, record);
  const auto vm = inner_->GetVm(owner_uid);
  if (!vm || vm->releasing) return inner_->SetVmm(owner_uid, record);
  Defer([this, owner_uid, record] { return inner_->SetVmm(owner_uid, record); });
  return OkStatus();
}

Result<std::vector<Owner>> LyingLedger::GrantSlots(const std::string& pool, std::uint32_t total) {
  return inner_->GrantSlots(pool, total + (lie_ == Lie::kGrantsBeyondTotal ? 1 : 0));
}

Status LyingLedger::FreeSlot(const std::string& owner_uid) {
  if (lie_ == Lie::kKeepsTheSlot) return OkStatus();
  return inner_->FreeSlot(owner_uid);
}

Result<NetworkLease> LyingLedger::ClaimNetwork(const NetworkParameters& parameters) {
  if (lie_ != Lie::kNoRest) return inner_->ClaimNetwork(parameters);
  NetworkParameters restless = parameters;
  restless.address_rest = std::chrono::milliseconds(0);
  ASSIGN_OR_RETURN(NetworkLease lease, inner_->ClaimNetwork(restless));
  lease.parameters = parameters;
  return lease;
}

Status LyingLedger::BeginReleaseNetwork(const std::string& uid) {
  RETURN_IF_ERROR(inner_->BeginReleaseNetwork(uid));
  return lie_ == Lie::kNetworkGoesUnseen ? inner_->ConfirmNetworkAbsent(uid) : OkStatus();
}

}  // namespace forkplane::ledger
