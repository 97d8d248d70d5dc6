// P2: N VMs whose TAPs stand, each with the TBF of an interface that is not shaped yet, are given
// their class, its leaf, and the rates of their TBF.
#pragma once

#include <memory>
#include <string>

#include "tests/bench/network/sides.h"

namespace forkplane::bench {

// One pass of the shaping loop, which looks, changes, and looks again.
Result<std::unique_ptr<Side>> OpenShapingOurs(const std::string& directory);
// The same changes by the driver, one after the other.
Result<std::unique_ptr<Side>> OpenShapingBare(const std::string& directory);
// The same by one `tc -batch`, whose file is written before.
Result<std::unique_ptr<Side>> OpenShapingBatch(const std::string& directory);

}  // namespace forkplane::bench
