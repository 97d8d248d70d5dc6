// A ledger that forwards everything and keeps one promise less: the mutants that the property
// suites must tell from the true one. What a wrapper cannot break (the index, the plans) is not
// here.
#pragma once

#include <array>
#include <set>

#include "controller/base/mutex.h"
#include "controller/ledger/ledger.h"

namespace forkplane::ledger {

enum class Lie : std::uint8_t {
  kNone,
  kAddressTwice,         // a claim is answered with an address that another owner was told
  kNoRest,               // addresses do not rest
  kForgetsClassAbsent,   // the TAP gone is enough
  kLosesAConfirm,        // every fourth confirmation is acknowledged and dropped
  kConfirmsFirstOnly,    // of a batch
  kGrantsBeyondTotal,    // one slot more than there are
  kKeepsTheSlot,         // FreeSlot does nothing
  kAnswersEarly,         // SetVmm and Release are acknowledged before they are committed
  kReleasesUnderVmm,     // a VMM on record does not hold up a release
  kTakesHalf,            // a refused claim keeps its first interface
  kNetworkGoesUnseen,    // a bridge number is free before its bridge was seen absent
  kForgetsReleaseOfOne,  // ReleaseInterface does nothing
  kForgetsVmm,           // SetVmm does nothing
};

struct NamedLie {
  Lie lie;
  const char* name;
};

inline constexpr std::array kLies = {
    NamedLie{Lie::kAddressTwice, "an address is handed out twice"},
    NamedLie{Lie::kNoRest, "a rest is forgotten"},
    NamedLie{Lie::kForgetsClassAbsent, "class_absent is forgotten"},
    NamedLie{Lie::kLosesAConfirm, "a confirmation is lost"},
    NamedLie{Lie::kConfirmsFirstOnly, "a batch confirms its first lease only"},
    NamedLie{Lie::kGrantsBeyondTotal, "a slot beyond the total is granted"},
    NamedLie{Lie::kKeepsTheSlot, "a slot is never free again"},
    NamedLie{Lie::kAnswersEarly, "the answer comes before the commit"},
    NamedLie{Lie::kReleasesUnderVmm, "a release under a VMM succeeds"},
    NamedLie{Lie::kTakesHalf, "a refused claim takes something"},
    NamedLie{Lie::kNetworkGoesUnseen, "a bridge number is free too early"},
    NamedLie{Lie::kForgetsReleaseOfOne, "a released interface stays active"},
    NamedLie{Lie::kForgetsVmm, "a VMM record is lost"},
};

class LyingLedger final : public Ledger {
 public:
  LyingLedger(std::unique_ptr<Ledger> inner, Lie lie) : inner_(std::move(inner)), lie_(lie) {}

  Result<VmLease> Claim(const VmClaim& claim) override;
  Status Release(const std::string& owner_uid) override;
  Status ReleaseInterface(LeaseId lease) override;
  Status ConfirmAbsent(LeaseId lease, Part part) override;
  Status ConfirmAbsent(const std::vector<LeaseId>& leases, Part part) override;
  Status SetVmm(const std::string& owner_uid, const VmmRecord& record) override;
  Result<std::vector<Owner>> GrantSlots(const std::string& pool, std::uint32_t total) override;
  Status FreeSlot(const std::string& owner_uid) override;
  Result<NetworkLease> ClaimNetwork(const NetworkParameters& parameters) override;
  Status BeginReleaseNetwork(const std::string& uid) override;

  Status ClearVmm(const std::string& uid) override {
    Flush();
    return inner_->ClearVmm(uid);
  }
  Status BeginReleaseBridge(std::uint32_t number) override {
    return inner_->BeginReleaseBridge(number);
  }
  Status ConfirmBridgeAbsent(std::uint32_t number) override {
    return inner_->ConfirmBridgeAbsent(number);
  }
  std::vector<NetworkLease> Networks() const override { return inner_->Networks(); }
  std::vector<PoolState> Pools() const override { return inner_->Pools(); }
  LeaseId LastLease() const override { return inner_->LastLease(); }
  std::vector<std::uint32_t> Domains() const override { return inner_->Domains(); }
  std::size_t PortsOf(std::uint32_t bridge) const override { return inner_->PortsOf(bridge); }
  Status ConfirmNetworkAbsent(const std::string& uid) override {
    return inner_->ConfirmNetworkAbsent(uid);
  }
  std::optional<VmLease> GetVm(const std::string& uid) const override { return inner_->GetVm(uid); }
  std::optional<InterfaceLease> GetInterface(LeaseId lease) const override {
    return inner_->GetInterface(lease);
  }
  std::optional<InterfaceLease> GetInterfaceByNumber(Number number) const override {
    return inner_->GetInterfaceByNumber(number);
  }
  std::optional<InterfaceLease> GetInterfaceByAddress(Ipv4 address) const override {
    return inner_->GetInterfaceByAddress(address);
  }
  std::optional<NetworkLease> GetNetwork(const std::string& uid) const override {
    return inner_->GetNetwork(uid);
  }
  std::optional<NetworkLease> GetNetworkByName(const std::string& name) const override {
    return inner_->GetNetworkByName(name);
  }
  std::vector<InterfaceLease> InterfacesOfDomain(std::uint32_t ifb) const override {
    return inner_->InterfacesOfDomain(ifb);
  }
  std::vector<InterfaceLease> InterfacesOfNetwork(const std::string& uid) const override {
    return inner_->InterfacesOfNetwork(uid);
  }
  AddressUse AddressesOf(const std::string& uid) const override { return inner_->AddressesOf(uid); }
  Listing ListAll() const override { return inner_->ListAll(); }
  std::string Identity() const override { return inner_->Identity(); }
  std::string StoreIdentity() const override { return inner_->StoreIdentity(); }
  Status SetStoreIdentity(const std::string& identity) override {
    return inner_->SetStoreIdentity(identity);
  }
  Status Health() const override { return inner_->Health(); }
  std::shared_ptr<void> Subscribe(Handler handler) override {
    return inner_->Subscribe(std::move(handler));
  }

 private:
  void Defer(std::function<Status()> request);
  void Flush();
  bool LosesThis();

  const std::unique_ptr<Ledger> inner_;
  const Lie lie_;
  Mutex mu_;
  std::vector<std::function<Status()>> deferred_ GUARDED_BY(mu_);
  int confirms_ GUARDED_BY(mu_) = 0;
  std::optional<InterfaceLease> told_ GUARDED_BY(mu_);
};

}  // namespace forkplane::ledger
