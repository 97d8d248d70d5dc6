// {"desired", "observed", "plan"} of one TAP as JSON text, for /debug/plan.
#pragma once

#include <string>

#include "controller/ledger/records.h"
#include "reconcilers/tap/plan.h"

namespace forkplane::tap {

std::string ExplainText(const ledger::InterfaceLease& lease, const Desired& desired,
                        const Observed& observed);

}  // namespace forkplane::tap
