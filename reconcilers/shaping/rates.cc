#include "reconcilers/shaping/rates.h"

#include <algorithm>

#include "controller/base/network_names.h"

namespace forkplane::shaping {
namespace {

// Brings what is asked for within what the kernel can keep, and remembers whether it had to.
class Bounds {
 public:
  explicit Bounds(std::uint32_t mtu) : mtu_(mtu) {}

  std::uint64_t Rate(const crd::Quantity& bits) {
    const auto asked =
        static_cast<std::uint64_t>(std::max<std::int64_t>(bits.Value(), 0)) / drivers::kBitsPerByte;
    return Note(std::max(asked, drivers::RateMin(mtu_)), asked);
  }

  std::uint32_t Burst(const std::optional<crd::Quantity>& asked, std::uint64_t rate) {
    if (!asked) return drivers::DefaultBurst(rate, mtu_);
    const auto bytes = static_cast<std::uint64_t>(std::max<std::int64_t>(asked->Value(), 0));
    const std::uint64_t most = drivers::BurstMax(rate);
    const std::uint64_t burst =
        std::max<std::uint64_t>(Note(std::min(bytes, most), bytes), drivers::BurstMin(mtu_));
    return static_cast<std::uint32_t>(burst);
  }

  bool changed() const { return changed_; }

 private:
  std::uint64_t Note(std::uint64_t held, std::uint64_t asked) {
    changed_ = changed_ || held != asked;
    return held;
  }

  const std::uint32_t mtu_;
  bool changed_ = false;
};

drivers::Tbf TbfOf(const crd::DownloadLimit& limit, std::uint64_t capacity, Bounds& bounds) {
  const std::uint64_t rate = limit.rate ? bounds.Rate(*limit.rate) : capacity;
  return {rate, bounds.Burst(limit.burst, rate), drivers::DefaultQueueBytes(rate)};
}

}  // namespace

crd::Bandwidth EffectiveBandwidth(const crd::Interface& interface, const crd::Network* network) {
  const auto none = std::optional<crd::Bandwidth>();
  return crd::Merged(interface.bandwidth,
                     network == nullptr ? none : network->spec.default_bandwidth);
}

Rates RatesOf(std::uint32_t number, const crd::Bandwidth& bandwidth, std::uint32_t mtu,
              const Surroundings& surroundings) {
  // Of an uplink that is slower than any frame's bucket nothing can be promised but the least.
  const std::uint64_t capacity =
      std::max(surroundings.capacity_bytes_per_second, drivers::RateMin(mtu));
  const crd::UploadLimit upload = bandwidth.upload.value_or(crd::UploadLimit{});
  std::uint64_t rate = std::min(kUnlimitedShareBytesPerSecond, capacity);
  std::uint64_t ceil = capacity;
  bool above_capacity = false;
  Bounds bounds(mtu);
  if (upload.rate) {
    const std::uint64_t asked = bounds.Rate(*upload.rate);
    rate = std::min(asked, capacity);
    above_capacity = rate < asked;
    ceil = upload.ceil ? std::max(rate, bounds.Rate(*upload.ceil)) : rate;
  } else if (upload.ceil) {
    ceil = bounds.Rate(*upload.ceil);
    rate = std::min(rate, ceil);
  }
  Rates rates;
  rates.htb = {MinorOf(number),
               kRootClassMinor,
               rate,
               ceil,
               bounds.Burst(upload.burst, rate),
               bounds.Burst(upload.burst, ceil),
               drivers::kQuantumBytes};
  // The queue is sized by what the interface can reach: by `rate` an unlimited one would have 64
  // KiB for the whole uplink.
  rates.leaf = {surroundings.leaf, drivers::DefaultQueueBytes(upload.rate ? rate : ceil)};
  rates.tbf = TbfOf(bandwidth.download.value_or(crd::DownloadLimit{}), capacity, bounds);
  rates.above_capacity = above_capacity;
  rates.beyond_kernel = bounds.changed();
  return rates;
}

}  // namespace forkplane::shaping
