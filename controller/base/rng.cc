#include "controller/base/rng.h"

#include <fmt/format.h>
#include <sys/random.h>

#include "controller/base/check.h"

namespace forkplane {
namespace {

class KernelRng final : public Rng {
 public:
  std::uint64_t Next() override {
    std::uint64_t value = 0;
    // Cannot be short or interrupted: at most 256 bytes after boot (getrandom(2)).
    CHECK(::getrandom(&value, sizeof value, 0) == static_cast<ssize_t>(sizeof value));
    return value;
  }
};

}  // namespace

Rng& SystemRng() {
  static KernelRng rng;
  return rng;
}

std::uint64_t SeededRng::Next() {
  const MutexLock lock(mu_);
  return engine_();
}

std::string NewUuid(Rng& rng) {
  const std::uint64_t high = (rng.Next() & ~0xf000ULL) | 0x4000ULL;
  const std::uint64_t low = (rng.Next() & ~(3ULL << 62)) | (2ULL << 62);
  return fmt::format("{:08x}-{:04x}-{:04x}-{:04x}-{:012x}", high >> 32, (high >> 16) & 0xffff,
                     high & 0xffff, low >> 48, low & 0xffff'ffff'ffffULL);
}

std::string RandomSuffix(Rng& rng, std::size_t length) {
  constexpr std::string_view kAlphabet = "bcdfghjklmnpqrstvwxz2456789";
  std::string suffix(length, ' ');
  for (char& c : suffix) c = kAlphabet[rng.Below(kAlphabet.size())];
  return suffix;
}

}  // namespace forkplane
