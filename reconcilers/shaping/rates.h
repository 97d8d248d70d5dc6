// From what a spec says (bits per second on the wire) to what the kernel is told (bytes, bursts,
// queue lengths). Pure.
#pragma once

#include <cstdint>

#include "crd/network.h"
#include "crd/virtual_machine.h"
#include "reconcilers/shaping/plan.h"

namespace forkplane::shaping {

// What all interfaces of a domain share.
struct Surroundings {
  std::uint64_t capacity_bytes_per_second = 0;  // of the uplink
  drivers::LeafKind leaf = drivers::LeafKind::kBfifo;
};

// An interface without a limit of its own may use the whole uplink while it is free, and is sure of
// this much.
inline constexpr std::uint64_t kUnlimitedShareBytesPerSecond = 125'000;  // 1 Mbit/s

// The interface's own bandwidth; where it names none, the Network's defaultBandwidth.
crd::Bandwidth EffectiveBandwidth(const crd::Interface& interface, const crd::Network* network);

Rates RatesOf(std::uint32_t number, const crd::Bandwidth& bandwidth, std::uint32_t mtu,
              const Surroundings& surroundings);

}  // namespace forkplane::shaping
