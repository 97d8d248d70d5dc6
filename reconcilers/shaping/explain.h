// {"desired", "observed", "plan"} of one shaping domain as JSON text, for /debug/plan.
#pragma once

#include <string>

#include "reconcilers/shaping/plan.h"

namespace forkplane::shaping {

std::string ExplainText(const Desired& desired, const Observed& observed);

}  // namespace forkplane::shaping
