// FirewallDriver over libnftables.
//
// NOTE Observation: the table is listed in nft's numeric form and read by the grammar that Replace
// writes; every line that does not fit is reported as unexpected. So a version of libnftables that
// prints otherwise shows as drift at once (and in the contract test), never as agreement.
#pragma once

#include <memory>

#include "drivers/firewall_driver.h"
#include "drivers/nftables/context.h"

namespace forkplane::nftables {

class NftFirewallDriver final : public drivers::FirewallDriver {
 public:
  static Result<std::unique_ptr<NftFirewallDriver>> Open();

  Lookup<drivers::FirewallRules> Observe() override;
  Status Replace(const drivers::FirewallRules& rules) override;
  Status Remove() override;

 private:
  explicit NftFirewallDriver(std::unique_ptr<Context> context) : context_(std::move(context)) {}

  std::unique_ptr<Context> context_;
};

}  // namespace forkplane::nftables
