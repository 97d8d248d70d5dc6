// A ledger on a file of its own, with a clock that stands still.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "controller/ledger/ledger.h"
#include "tests/support/tempdir.h"

namespace forkplane::ledger {

inline Ipv4 Ip(const char* text) { return ParseIpv4(text).value(); }

inline NetworkParameters SmallNetwork(const char* uid = "net-1", const char* name = "default",
                                      const char* cidr = "10.0.0.0/29") {
  NetworkParameters network;
  network.uid = uid;
  network.name = name;
  network.cidr = ParseCidr(cidr).value();
  network.gateway = network.cidr.At(1);
  return network;
}

inline Owner OwnerOf(const std::string& name) { return {"uid-" + name, "default", name}; }

inline VmClaim ClaimOf(const std::string& name, std::uint32_t interfaces = 1,
                       const std::string& network = "net-1") {
  VmClaim claim{.owner = OwnerOf(name)};
  for (std::uint32_t i = 0; i < interfaces; ++i) {
    claim.interfaces.push_back(
        {.ordinal = i, .name = "eth" + std::to_string(i), .network_uid = network});
  }
  return claim;
}

class LedgerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    options_.path = dir_.File("ledger.db");
    options_.boot_id = "boot-1";
    Reopen();
  }

  void Reopen() {
    ledger_.reset();
    auto opened = Ledger::Open(options_, clock_, rng_);
    ASSERT_TRUE(opened.ok()) << opened.error().message;
    ledger_ = std::move(opened).value();
  }

  void AddNetwork(const NetworkParameters& network = SmallNetwork()) {
    const auto lease = ledger_->ClaimNetwork(network);
    ASSERT_TRUE(lease.ok()) << lease.error().message;
  }

  VmLease MustClaim(const VmClaim& claim) {
    auto lease = ledger_->Claim(claim);
    EXPECT_TRUE(lease.ok()) << lease.error().message;
    return lease.ok() ? *lease : VmLease{};
  }

  // The whole way out: released, and both loops saw their part gone.
  void LetGo(const std::string& name) {
    const auto vm = ledger_->GetVm(OwnerOf(name).uid);
    ASSERT_TRUE(vm.has_value());
    ASSERT_TRUE(ledger_->Release(vm->owner.uid).ok());
    for (const auto& lease : vm->interfaces) {
      ASSERT_TRUE(ledger_->ConfirmAbsent(lease.id, Part::kTap).ok());
      ASSERT_TRUE(ledger_->ConfirmAbsent(lease.id, Part::kClass).ok());
    }
  }

  testing::TempDir dir_;
  ManualClock clock_;
  SeededRng rng_{1};
  Options options_;
  std::unique_ptr<Ledger> ledger_;
};

}  // namespace forkplane::ledger
