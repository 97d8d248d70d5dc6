// The only source of random numbers. A seed replays a run.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <string_view>

#include "controller/base/mutex.h"

namespace forkplane {

class Rng {
 public:
  virtual ~Rng() = default;
  virtual std::uint64_t Next() = 0;
  // Uniform in [0, bound); bound > 0. (Modulo bias of a 64-bit number is of no account here.)
  std::uint64_t Below(std::uint64_t bound) { return Next() % bound; }
};

// getrandom(2). Thread-safe; for uids, keys and jitter in production.
Rng& SystemRng();

// For tests and simulation. Thread-safe.
class SeededRng final : public Rng {
 public:
  explicit SeededRng(std::uint64_t seed) : engine_(seed) {}
  std::uint64_t Next() override;

 private:
  Mutex mu_;
  std::mt19937_64 engine_ GUARDED_BY(mu_);
};

// A random version 4 UUID (RFC 4122), lower case.
std::string NewUuid(Rng& rng);

// `length` characters of the alphabet Kubernetes uses for generateName (no vowels, no look-alikes).
std::string RandomSuffix(Rng& rng, std::size_t length);

}  // namespace forkplane
