// Ages as kubectl users know them: "7s", "3m20s", "19m", "5h30m", "3d4h". The server makes them,
// because kubectl prints Table cells verbatim.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "controller/base/clock.h"

namespace forkplane::apiserver {

std::string HumanDuration(std::chrono::seconds age);

// The age of an RFC 3339 time; "<unknown>" when empty, "<invalid>" when it is no time.
std::string HumanAge(std::string_view rfc3339, WallTime now);

// "2026-01-02T03:04:05Z", with any fraction and zone; none: not a time.
std::optional<WallTime> ParseTime(std::string_view rfc3339);

}  // namespace forkplane::apiserver
