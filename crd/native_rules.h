// Rules between fields, which a structural schema cannot say. Each Cause names the field, and its
// message the remedy. Internal to the room: they reach others through ResourceType.
#pragma once

#include <string_view>

#include "crd/resource_type.h"

namespace forkplane::crd {

// Our six kinds; empty for others.
NativeValidator NativeValidatorOf(std::string_view kind);

// Upstream's Go strategies of the built-ins; empty for those without rules.
NativeValidator BuiltInValidatorOf(std::string_view kind);
NativeDefaulter BuiltInDefaulterOf(std::string_view kind);

}  // namespace forkplane::crd
