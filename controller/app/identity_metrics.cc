#include "controller/app/identity_metrics.h"

#include <algorithm>
#include <string>
#include <vector>

namespace forkplane::app {
namespace {

constexpr std::uint32_t kHostWide = 0;

}  // namespace

IdentityMetrics::IdentityMetrics(drivers::IdentityDriver& identities, metrics::Registry& registry)
    : identities_(identities) {
  for (std::size_t i = 0; i < drivers::kDropReasons; ++i) {
    const auto reason = static_cast<drivers::DropReason>(i);
    counters_.at(i) = registry.AddCounter(
        "forkplane_identity_drops_total",
        "packets of guests dropped by the TAP programs since the daemon started",
        {{"reason", std::string(drivers::ToString(reason))}});
  }
  counters_.back() = registry.AddCounter(
      "forkplane_dhcp_answers_total",
      "DHCP answers that TAP programs gave to guests since the daemon started", {});
  Refresh();
}

Result<IdentityMetrics::CountsByIndex> IdentityMetrics::Read() {
  ASSIGN_OR_RETURN(const std::vector<drivers::IdentityEntryAt> entries, identities_.ListEntries());
  std::vector<std::uint32_t> indexes = {kHostWide};
  for (const drivers::IdentityEntryAt& at : entries) indexes.push_back(at.index);
  CountsByIndex counts;
  for (const std::uint32_t index : indexes) {
    const Result<drivers::IdentityCounters> counters = identities_.Counters(index);
    if (counters.ok()) {
      Counts& at = counts[index];
      std::copy(counters->drops.begin(), counters->drops.end(), at.begin());
      at.back() = counters->dhcp_answers;
    } else if (counters.error().code != Code::kNotFound) {
      return counters.error();
    }  // else it has gone since it was listed
  }
  return counts;
}

void IdentityMetrics::Refresh() {
  {
    const MutexLock lock(mu_);
    if (is_looking_) return;
    is_looking_ = true;
  }
  Result<CountsByIndex> now = Read();
  const MutexLock lock(mu_);
  is_looking_ = false;
  if (now.ok()) Count(std::move(now).value());
}

void IdentityMetrics::Count(CountsByIndex now) {
  for (const auto& [index, counts] : now) {
    const auto before = last_.find(index);
    for (std::size_t i = 0; has_start_ && i < counts.size(); ++i) {
      const std::uint64_t known = before == last_.end() ? 0 : before->second.at(i);
      // Fewer than before: the index was given to a new interface.
      const std::uint64_t grown = counts.at(i) < known ? counts.at(i) : counts.at(i) - known;
      if (grown != 0) counters_.at(i).Increment(static_cast<double>(grown));
    }
  }
  last_ = std::move(now);
  has_start_ = true;
}

}  // namespace forkplane::app
