// What everything of ours looks like, as ip, tc, nft and sysctl show it and as the pinned map holds
// it: the judge of these tests. It knows no driver and no plan. Left out is only what the kernel
// chooses or measures (handles of leaves, counters, timers, the state of a carrier).
#pragma once

#include <cstdint>
#include <string>

namespace forkplane::healing {

enum class Part : std::uint8_t {
  kLinks,  // and their addresses
  kRoutes,
  kNeighbours,
  kQdiscs,
  kClasses,
  kFilters,
  kFirewall,
  kSysctls,
  kEntries,
};
inline constexpr Part kParts[] = {Part::kLinks,    Part::kRoutes,  Part::kNeighbours,
                                  Part::kQdiscs,   Part::kClasses, Part::kFilters,
                                  Part::kFirewall, Part::kSysctls, Part::kEntries};

// `pins`: where the programs and maps are pinned.
std::string PortraitOf(Part part, const std::string& pins);
std::string PortraitOfAll(const std::string& pins);

// Everything that is not ours, byte for byte as the commands show it, but for numbers that count.
std::string PortraitOfOthers();

}  // namespace forkplane::healing
