// OpenAPI string formats. Internal to the room.
#pragma once

#include <string_view>

namespace forkplane::crd {

// True also for formats nobody here knows: OpenAPI says to ignore those.
bool IsOfFormat(std::string_view format, std::string_view text);

// "2026-01-02T03:04:05Z", "2026-01-02T03:04:05.000006+01:00"
bool IsRfc3339(std::string_view text);

}  // namespace forkplane::crd
