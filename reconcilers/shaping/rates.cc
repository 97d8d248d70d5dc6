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

// Of an uplink that is slower than any frame's bucket nothing can be promised but the least.
std::uint64_t CapacityFor(std::uint32_t mtu, const Surroundings& surroundings) {
  return std::max(surroundings.capacity_bytes_per_second, drivers::RateMin(mtu));
}

}  // namespace

Guarantees::Share ShareOf(const crd::Bandwidth& bandwidth, std::uint32_t mtu,
                          const Surroundings& surroundings) {
  const std::uint64_t capacity = CapacityFor(mtu, surroundings);
  const crd::UploadLimit upload = bandwidth.upload.value_or(crd::UploadLimit{});
  Guarantees::Share share;
  share.least = drivers::RateMin(mtu);
  share.firm = upload.rate.has_value();
  Bounds bounds(mtu);
  if (upload.rate) {
    const auto asked = static_cast<double>(std::min(bounds.Rate(*upload.rate), capacity));
    share.rate = static_cast<std::uint64_t>(asked / surroundings.overcommit);
  } else {
    share.rate = std::min(kUnlimitedShareBytesPerSecond, capacity);
    if (upload.ceil) share.rate = std::min(share.rate, bounds.Rate(*upload.ceil));
  }
  share.rate = std::max(share.rate, share.least);
  return share;
}

Rates RatesOf(std::uint32_t number, const crd::Bandwidth& bandwidth, std::uint32_t mtu,
              const Surroundings& surroundings, std::uint64_t granted) {
  const std::uint64_t capacity = CapacityFor(mtu, surroundings);
  const crd::UploadLimit upload = bandwidth.upload.value_or(crd::UploadLimit{});
  const Guarantees::Share share = ShareOf(bandwidth, mtu, surroundings);
  const std::uint64_t rate = std::clamp(granted, share.least, share.rate);
  Rates rates;
  Bounds bounds(mtu);
  std::uint64_t ceil = capacity;
  std::optional<std::uint64_t> asked;  // for the uplink at most
  if (upload.rate) {
    const std::uint64_t wanted = bounds.Rate(*upload.rate);
    asked = std::min(wanted, capacity);
    rates.above_capacity = *asked < wanted;
    rates.short_of_guarantee = rate < share.rate;
    ceil = *asked;
  }
  if (upload.ceil) ceil = std::max(asked.value_or(rate), bounds.Rate(*upload.ceil));
  rates.htb = {MinorOf(number),
               kRootClassMinor,
               rate,
               ceil,
               bounds.Burst(upload.burst, rate),
               bounds.Burst(upload.burst, ceil),
               drivers::kQuantumBytes};
  // The queue is sized by what the interface asks for, and can reach: by its share an unlimited one
  // would have 64 KiB for the whole uplink.
  rates.leaf = {surroundings.leaf, drivers::DefaultQueueBytes(asked.value_or(ceil))};
  rates.tbf = TbfOf(bandwidth.download.value_or(crd::DownloadLimit{}), capacity, bounds);
  rates.beyond_kernel = bounds.changed();
  return rates;
}

}  // namespace forkplane::shaping
