#include "controller/app/descriptors.h"

#include <sys/resource.h>

#include <algorithm>
#include <cerrno>

namespace forkplane::app {
namespace {

// Ten thousand machines need some 50 000; the kernel's own bound on one process is a million.
constexpr rlim_t kUseful = 524'288;
constexpr std::uint64_t kConnectionsMax = 4096;

}  // namespace

DescriptorBudget BudgetOf(std::uint64_t limit) {
  const std::uint64_t connections = std::min(kConnectionsMax, limit / 16 * 5);
  const std::uint64_t watches = std::min(connections - connections / 8, limit / 16 * 3);
  return {limit, static_cast<std::size_t>(connections), static_cast<std::size_t>(watches)};
}

DescriptorBudget BudgetUnder(std::uint64_t hard_limit) {
  return BudgetOf(std::min<std::uint64_t>(hard_limit, kUseful));
}

Result<DescriptorBudget> RaiseDescriptorLimit() {
  rlimit bound{};
  if (::getrlimit(RLIMIT_NOFILE, &bound) != 0) return FromErrno(errno, "read RLIMIT_NOFILE");
  const rlim_t wanted = std::min(bound.rlim_max, kUseful);
  if (bound.rlim_cur < wanted) {
    bound.rlim_cur = wanted;
    if (::setrlimit(RLIMIT_NOFILE, &bound) != 0) return FromErrno(errno, "raise RLIMIT_NOFILE");
  }
  return BudgetOf(bound.rlim_cur);
}

DescriptorBudget CurrentDescriptorBudget() {
  rlimit bound{};
  return BudgetOf(::getrlimit(RLIMIT_NOFILE, &bound) == 0 ? bound.rlim_cur : 1024);
}

}  // namespace forkplane::app
