// The forwarding probe as bytes and text: its packet, the table that watches for it, and what nft
// lists. Pure.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "controller/base/net_address.h"
#include "drivers/forwarding_probe.h"

namespace forkplane::nftables {

inline constexpr std::size_t kProbeFrameBytes = 14 + 20 + 8;
using ProbeFrame = std::array<std::uint8_t, kProbeFrameBytes>;

// To the gateway's MAC. Its time to live ends at the next hop, should it ever get there.
ProbeFrame MakeProbeFrame(Ipv4 source, Ipv4 target);

// Commands that make the table: it counts that packet where it enters the forward hook, before any
// other chain, and drops it where it has left it.
std::string ProbeTableCommands(Ipv4 source, const std::vector<Ipv4>& targets);

struct ProbeCounts {
  std::uint64_t entered = 0;
  std::uint64_t passed = 0;
};
// Of the table as nft lists it; nullopt: it does not look as it should.
std::optional<ProbeCounts> ReadProbeCounts(const std::string& listing);

// The chains of the forward hook that see IPv4, without ours, from `list chains`.
std::vector<drivers::ForwardChain> ReadForwardChains(const std::string& listing);
// Whether a rule of a table, as listed, drops or rejects.
bool HoldsDrop(std::string_view table_listing);

}  // namespace forkplane::nftables
