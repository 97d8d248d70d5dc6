// What /debug/... shows: why each loop does what it does, and every lease.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "controller/apiserver/debug_source.h"
#include "controller/ledger/ledger.h"
#include "controller/runtime/controller.h"

namespace forkplane::app {

class Debug final : public apiserver::DebugSource {
 public:
  // All outlive it.
  Debug(std::vector<runtime::Controller*> controllers, const ledger::Ledger& ledger,
        const Clock& clock)
      : controllers_(std::move(controllers)), ledger_(ledger), clock_(clock) {}

  Result<std::string> Plan(std::string_view controller, std::string_view key) override;
  Result<std::string> Ledger() override;

 private:
  const std::vector<runtime::Controller*> controllers_;
  const ledger::Ledger& ledger_;
  const Clock& clock_;
};

// The ledger's listing as JSON: identity, networks, vms with their slot and interfaces, resting
// addresses, pools. Every lease has its owner (what is inside a VM: the VM), `state` and `since`;
// `clock` says how long addresses still rest.
std::string LedgerToJson(const ledger::Listing& listing, const Clock& clock);

}  // namespace forkplane::app
