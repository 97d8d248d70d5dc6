#include "drivers/qdisc_driver.h"

#include <algorithm>

namespace forkplane::drivers {
namespace {

constexpr std::uint32_t kFrameHeaderBytes = 18;  // Ethernet and one VLAN tag
// TBF splits GSO frames larger than its burst: 1540 bytes cost 7 % of the rate, twice a frame about
// nothing (measured).
constexpr std::uint32_t kFramesPerBurst = 2;
constexpr std::uint32_t kQueueBytesMin = 64 * 1024;
constexpr std::uint64_t kBytesMax = 0x7fff'ffff;  // of burst, queue and quantum
constexpr std::uint64_t kTickNanoseconds = 64;
constexpr std::uint64_t kTicksPerSecond = 1'000'000'000 / kTickNanoseconds;
constexpr std::uint64_t kTicksMax = 0xffff'ffff;

// Two burst sizes that become the same number of ticks, or neighbouring ones, at this rate.
bool SameBurst(std::uint64_t rate, std::uint32_t a, std::uint32_t b) {
  const std::uint64_t tick_bytes = rate * kTickNanoseconds / 1'000'000'000;
  const std::uint64_t distance = a > b ? a - b : b - a;
  return distance <= 1 + 2 * tick_bytes;
}

Status CheckRate(std::string_view what, std::uint64_t rate, std::uint32_t burst) {
  if (rate != 0 && burst != 0) return OkStatus();
  return Invalid(fmt::format("{}: rate {} and burst {} must not be zero", what, rate, burst));
}

}  // namespace

bool Equivalent(const Tbf& desired, const Tbf& observed) {
  return desired.rate_bytes_per_second == observed.rate_bytes_per_second &&
         desired.limit_bytes == observed.limit_bytes &&
         SameBurst(desired.rate_bytes_per_second, desired.burst_bytes, observed.burst_bytes);
}

bool Equivalent(const HtbClass& desired, const HtbClass& observed) {
  return desired.minor == observed.minor && desired.parent_minor == observed.parent_minor &&
         desired.rate_bytes_per_second == observed.rate_bytes_per_second &&
         desired.ceil_bytes_per_second == observed.ceil_bytes_per_second &&
         desired.quantum_bytes == observed.quantum_bytes &&
         SameBurst(desired.rate_bytes_per_second, desired.burst_bytes, observed.burst_bytes) &&
         SameBurst(desired.ceil_bytes_per_second, desired.ceil_burst_bytes,
                   observed.ceil_burst_bytes);
}

std::uint32_t BurstMin(std::uint32_t mtu) { return kFramesPerBurst * (mtu + kFrameHeaderBytes); }

std::uint32_t BurstMax(std::uint64_t rate_bytes_per_second) {
  // At this rate and above no burst of 32 bits takes as long.
  constexpr std::uint64_t kNeverLonger = 1'000'000'000;
  if (rate_bytes_per_second >= kNeverLonger) return kBytesMax;
  const std::uint64_t bytes = rate_bytes_per_second * kTicksMax / kTicksPerSecond;
  return static_cast<std::uint32_t>(std::min(kBytesMax, bytes));
}

std::uint64_t RateMin(std::uint32_t mtu) {
  return std::uint64_t{BurstMin(mtu)} * kTicksPerSecond / kTicksMax + 1;
}

std::uint32_t DefaultBurst(std::uint64_t rate_bytes_per_second, std::uint32_t mtu) {
  const std::uint64_t wanted = std::max<std::uint64_t>(BurstMin(mtu), rate_bytes_per_second / 100);
  return static_cast<std::uint32_t>(
      std::min<std::uint64_t>(wanted, BurstMax(rate_bytes_per_second)));
}

std::uint32_t DefaultQueueBytes(std::uint64_t rate_bytes_per_second) {
  return static_cast<std::uint32_t>(
      std::min(kBytesMax, std::max<std::uint64_t>(kQueueBytesMin, rate_bytes_per_second / 20)));
}

Status Validate(const Tbf& tbf) {
  RETURN_IF_ERROR(CheckRate("tbf", tbf.rate_bytes_per_second, tbf.burst_bytes));
  return tbf.limit_bytes != 0 ? OkStatus() : Status(Invalid("tbf: limit must not be zero"));
}

Status Validate(const HtbClass& htb) {
  const std::string what = fmt::format("class 7f00:{:x}", htb.minor);
  RETURN_IF_ERROR(CheckRate(what, htb.rate_bytes_per_second, htb.burst_bytes));
  RETURN_IF_ERROR(CheckRate(what + ": ceil", htb.ceil_bytes_per_second, htb.ceil_burst_bytes));
  if (htb.minor == 0 || htb.minor > 0xffff || htb.parent_minor > 0xffff) {
    return Invalid(what + ": minors have 16 bits and 0 is no class");
  }
  // The kernel would choose one by rate and warn about every class above 16 Mbit/s.
  return htb.quantum_bytes != 0 ? OkStatus() : Status(Invalid(what + ": quantum must not be zero"));
}

Result<LeafKind> ChooseLeaf(std::string_view wanted, QdiscDriver& qdiscs) {
  if (wanted == "bfifo") return LeafKind::kBfifo;
  ASSIGN_OR_RETURN(const bool has, qdiscs.HasFqCodel());
  if (has) return LeafKind::kFqCodel;
  if (wanted == "fq_codel") return Invalid("--leaf fq_codel: this kernel has none");
  return LeafKind::kBfifo;
}

}  // namespace forkplane::drivers
