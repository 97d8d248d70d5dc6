#include "reconcilers/shaping/rates.h"

#include <algorithm>
#include <limits>

#include "controller/base/network_names.h"

namespace forkplane::shaping {
namespace {

std::uint64_t BytesPerSecond(const crd::Quantity& bits) {
  // Validation refuses rates below one byte; 0 would mean "no traffic" to HTB and TBF alike.
  return std::max<std::uint64_t>(static_cast<std::uint64_t>(bits.Value()) / drivers::kBitsPerByte,
                                 1);
}

// A bucket smaller than one frame would drop that frame for ever (measured).
std::uint32_t Burst(const std::optional<crd::Quantity>& asked, std::uint64_t rate,
                    std::uint32_t mtu) {
  if (!asked) return drivers::DefaultBurst(rate, mtu);
  constexpr std::int64_t kMost = std::numeric_limits<std::uint32_t>::max();
  const auto bytes = static_cast<std::uint32_t>(std::min(asked->Value(), kMost));
  return std::max(bytes, drivers::DefaultBurst(0, mtu));
}

drivers::Tbf TbfOf(const crd::DownloadLimit& limit, std::uint64_t capacity, std::uint32_t mtu) {
  const std::uint64_t rate = limit.rate ? BytesPerSecond(*limit.rate) : capacity;
  return {rate, Burst(limit.burst, rate, mtu), drivers::DefaultQueueBytes(rate)};
}

}  // namespace

crd::Bandwidth EffectiveBandwidth(const crd::Interface& interface, const crd::Network* network) {
  const auto none = std::optional<crd::Bandwidth>();
  return crd::Merged(interface.bandwidth,
                     network == nullptr ? none : network->spec.default_bandwidth);
}

Rates RatesOf(std::uint32_t number, const crd::Bandwidth& bandwidth, std::uint32_t mtu,
              const Surroundings& surroundings) {
  const std::uint64_t capacity = surroundings.capacity_bytes_per_second;
  const crd::UploadLimit upload = bandwidth.upload.value_or(crd::UploadLimit{});
  std::uint64_t rate = std::min(kUnlimitedShareBytesPerSecond, capacity);
  std::uint64_t ceil = capacity;
  bool above_capacity = false;
  if (upload.rate) {
    const std::uint64_t asked = BytesPerSecond(*upload.rate);
    rate = std::min(asked, capacity);
    above_capacity = rate < asked;
    ceil = upload.ceil ? std::max(rate, BytesPerSecond(*upload.ceil)) : rate;
  } else if (upload.ceil) {
    ceil = BytesPerSecond(*upload.ceil);
    rate = std::min(rate, ceil);
  }
  Rates rates;
  rates.htb = {MinorOf(number),
               kRootClassMinor,
               rate,
               ceil,
               Burst(upload.burst, rate, mtu),
               Burst(upload.burst, ceil, mtu),
               drivers::kQuantumBytes};
  // The queue is sized by what the interface can reach: by `rate` an unlimited one would have 64
  // KiB for the whole uplink.
  rates.leaf = {surroundings.leaf, drivers::DefaultQueueBytes(upload.rate ? rate : ceil)};
  rates.tbf = TbfOf(bandwidth.download.value_or(crd::DownloadLimit{}), capacity, mtu);
  rates.above_capacity = above_capacity;
  return rates;
}

}  // namespace forkplane::shaping
