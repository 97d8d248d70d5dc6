// FirewallDriver over libnftables (no process is started).
//
// NOTE Observation: the table is listed in nft's numeric form and read by the grammar that Replace
// writes; every line that does not fit is reported as unexpected. So a version of libnftables that
// prints otherwise shows as drift at once (and in the contract test), never as agreement.
#pragma once

#include <memory>
#include <string>

#include "controller/base/mutex.h"
#include "drivers/firewall_driver.h"

struct nft_ctx;

namespace forkplane::nftables {

class NftFirewallDriver final : public drivers::FirewallDriver {
 public:
  static Result<std::unique_ptr<NftFirewallDriver>> Open();

  Lookup<drivers::FirewallRules> Observe() override;
  Status Replace(const drivers::FirewallRules& rules) override;
  Status Remove() override;

 private:
  struct Free {
    void operator()(nft_ctx* context) const;
  };
  explicit NftFirewallDriver(nft_ctx* context) : context_(context) {}
  // Runs one command text; gives its output.
  Result<std::string> Run(const std::string& commands, std::string_view what) EXCLUDES(mutex_);

  Mutex mutex_;
  std::unique_ptr<nft_ctx, Free> context_ GUARDED_BY(mutex_);
};

}  // namespace forkplane::nftables
