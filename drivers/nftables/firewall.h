// FirewallDriver over libnftables.
//
// NOTE Observation: the table is listed in nft's numeric form and compared with what Replace
// writes (table.h); every line that does not fit is reported as unexpected. So a version of
// libnftables that prints otherwise shows as drift at once (and in the contract test), never as
// agreement.
//
// NOTE Performance: the kernel counts every change of any rule of the namespace; what was read
// under a count stays true while the count does. So Observe is one question (5 us, measured) while
// nothing changed. Replace changes elements where the rest is as it should be.
#pragma once

#include <memory>
#include <optional>

#include "controller/base/mutex.h"
#include "drivers/firewall_driver.h"
#include "drivers/nftables/context.h"
#include "drivers/nftables/generation.h"
#include "drivers/nftables/table.h"

namespace forkplane::nftables {

class NftFirewallDriver final : public drivers::FirewallDriver {
 public:
  static Result<std::unique_ptr<NftFirewallDriver>> Open();

  Lookup<drivers::FirewallRules> Observe() override EXCLUDES(mutex_);
  Status Replace(const drivers::FirewallRules& rules) override EXCLUDES(mutex_);
  Status Remove() override EXCLUDES(mutex_);
  Result<std::vector<drivers::RefusedFlows>> ListRefused() override;

 private:
  // What a listing said, and under which count.
  struct Seen {
    std::uint32_t generation = 0;
    std::optional<Table> table;  // absent: no table
    std::optional<drivers::FirewallRules> rules;
  };

  NftFirewallDriver(std::unique_ptr<Context> context, std::unique_ptr<Context> counting,
                    std::unique_ptr<Generation> generation)
      : context_(std::move(context)),
        counting_(std::move(counting)),
        generation_(std::move(generation)) {}
  // A copy of what is there now.
  Result<Seen> Look() EXCLUDES(mutex_);

  std::unique_ptr<Context> context_;
  std::unique_ptr<Context> counting_;  // shows counters
  std::unique_ptr<Generation> generation_;
  Mutex mutex_;
  std::optional<Seen> seen_ GUARDED_BY(mutex_);
};

}  // namespace forkplane::nftables
