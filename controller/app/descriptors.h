// How many file descriptors this process may hold, and how many of them the API may use: what is
// left is for machines, their TAPs, sockets and files, and no client can take it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "controller/base/result.h"

namespace forkplane::app {

struct DescriptorBudget {
  std::uint64_t limit = 0;          // RLIMIT_NOFILE, soft
  std::size_t connections_max = 0;  // of the API, one descriptor each
  std::size_t watches_max = 0;      // among these connections; each holds one more
};

// The API gets at most half of the limit; requests that are no watches always find room.
DescriptorBudget BudgetOf(std::uint64_t limit);

// Raises the soft limit to the hard one, or to what is useful when that is more. The usual 1024 is
// for programs that use select(2), which we and our libraries do not.
Result<DescriptorBudget> RaiseDescriptorLimit();
// What RaiseDescriptorLimit would give under this hard limit.
DescriptorBudget BudgetUnder(std::uint64_t hard_limit);
// As it stands.
DescriptorBudget CurrentDescriptorBudget();

}  // namespace forkplane::app
