// What an operator reads of held pruning: which objects, from which file and line, why, and what to
// do. Pure.
#pragma once

#include <optional>
#include <string>

#include "controller/manifests/pruner.h"

namespace forkplane::manifests {

// `pass`: why the whole pass was held. Nothing: nothing is held.
std::optional<Hold> DescribeHold(const std::optional<Hold>& pass, const PruneReport& report,
                                 const std::string& host_name);

}  // namespace forkplane::manifests
