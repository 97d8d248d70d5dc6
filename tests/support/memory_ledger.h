// A ledger in memory, the one Network that most tests need, and claims on it.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "controller/base/check.h"
#include "controller/base/network_names.h"
#include "controller/ledger/ledger.h"

namespace forkplane::testing {

// Of boot "boot"; the rest as `options` say.
inline std::unique_ptr<ledger::Ledger> MemoryLedger(Clock& clock, Rng& rng,
                                                    ledger::Options options = {}) {
  options.path = ":memory:";
  options.boot_id = "boot";
  return std::move(ledger::Ledger::Open(std::move(options), clock, rng)).value();
}

// The Network "default" with the uid "net".
inline ledger::NetworkParameters NetworkOf(std::string_view cidr = "10.77.0.0/16") {
  ledger::NetworkParameters network;
  network.uid = "net";
  network.name = "default";
  network.cidr = ParseCidr(cidr).value();
  network.gateway = DefaultGateway(network.cidr);
  return network;
}

inline std::unique_ptr<ledger::Ledger> MemoryLedgerWith(const ledger::NetworkParameters& network,
                                                        Clock& clock, Rng& rng,
                                                        ledger::Options options = {}) {
  auto ledger = MemoryLedger(clock, rng, std::move(options));
  CHECK(ledger->ClaimNetwork(network).ok());
  return ledger;
}

// The lease of a VM default/`name` whose only interface, eth0, is on the Network "net".
inline ledger::InterfaceLease ClaimOne(ledger::Ledger& ledger, const std::string& uid,
                                       const std::string& name) {
  ledger::VmClaim claim{.owner = {uid, "default", name}};
  claim.interfaces = {{.ordinal = 0, .name = "eth0", .network_uid = "net"}};
  return ledger.Claim(claim).value().interfaces.at(0);
}

}  // namespace forkplane::testing
