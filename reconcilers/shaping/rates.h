// From what a spec says (bits per second on the wire) to what the kernel is told (bytes, bursts,
// queue lengths). Pure.
#pragma once

#include <cstdint>

#include "crd/network.h"
#include "crd/virtual_machine.h"
#include "reconcilers/shaping/guarantees.h"
#include "reconcilers/shaping/plan.h"

namespace forkplane::shaping {

// What all interfaces of a domain share.
struct Surroundings {
  std::uint64_t capacity_bytes_per_second = 0;  // of the uplink
  drivers::LeafKind leaf = drivers::LeafKind::kBfifo;
  double overcommit = 1;  // of the uplink: rates asked for are worth as much less
};

// An interface without a limit of its own may use the whole uplink while it is free, and is sure of
// this much while nobody who asks for a rate needs it.
inline constexpr std::uint64_t kUnlimitedShareBytesPerSecond = 125'000;  // 1 Mbit/s

// The share of the uplink that an interface asks to be sure of.
Guarantees::Share ShareOf(const crd::Bandwidth& bandwidth, std::uint32_t mtu,
                          const Surroundings& surroundings);

// `granted`: of that share, in bytes per second.
inline constexpr std::uint64_t kAllOfIt = UINT64_MAX;
Rates RatesOf(std::uint32_t number, const crd::Bandwidth& bandwidth, std::uint32_t mtu,
              const Surroundings& surroundings, std::uint64_t granted = kAllOfIt);

}  // namespace forkplane::shaping
