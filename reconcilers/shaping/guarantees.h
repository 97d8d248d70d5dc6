// Who is sure of how much of the uplink. HTB serves a class below its own rate without asking its
// parent, so the rates of all classes together must never be more than the uplink has: what is
// asked for beyond that is not granted, whatever the specs say.
//
// A firm share is one that a spec names, a soft one what an interface without a rate gets while it
// is there. First come, first served: a share that is held is not taken away for another, but soft
// ones give way to firm ones, and when the uplink has become slower the newest lose first, soft
// before firm. Everybody has `least`, which is next to nothing, at whosever expense: a class of
// rate 0 is not possible.
//
// After a restart what the kernel holds is what was granted (Learn).
//
// NOTE Threading: thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <vector>

#include "controller/base/mutex.h"
#include "controller/ledger/records.h"

namespace forkplane::shaping {

class Guarantees {
 public:
  struct Share {
    std::uint32_t number = 0;
    ledger::LeaseId lease = 0;  // its age
    std::uint64_t rate = 0;     // bytes per second; at least `least`
    std::uint64_t least = 0;
    bool firm = true;
  };
  // Of an answer: whose share has changed, or may grow now. They have to ask again.
  using Others = std::vector<std::uint32_t>;

  // Whether Learn was called for the domain.
  bool Knows(std::uint32_t ifb) const EXCLUDES(mu_);
  // The shares that the kernel holds. What was asked for already stays as it is.
  void Learn(std::uint32_t ifb, const std::vector<Share>& held) EXCLUDES(mu_);

  // As much of it as there is; Granted says how much. Asking again changes nothing.
  Others Ask(const Share& wanted, std::uint64_t capacity_bytes_per_second) EXCLUDES(mu_);
  // The class is gone, or is not to come.
  Others Drop(std::uint32_t number, ledger::LeaseId lease) EXCLUDES(mu_);

  // 0: nothing was asked for.
  std::uint64_t Granted(std::uint32_t number) const EXCLUDES(mu_);

 private:
  struct Entry {
    Share wanted;
    std::uint64_t granted = 0;
    std::uint64_t Missing() const { return wanted.rate - granted; }
    std::uint64_t Spare() const { return granted - wanted.least; }  // that may be taken away
  };

  void Set(Entry& entry, std::uint64_t granted) REQUIRES(mu_);
  // Takes `excess` from the newest, soft ones first; those of `firm` only if it is set.
  void Take(std::uint64_t excess, bool firm, std::uint32_t spared, Others& others) REQUIRES(mu_);
  std::uint64_t Room() const REQUIRES(mu_);
  // Who wants more and could have it, the oldest firm ones first.
  void Rouse(std::uint32_t but, Others& others) const REQUIRES(mu_);

  mutable Mutex mu_;
  std::set<std::uint32_t> known_ GUARDED_BY(mu_);           // domains
  std::map<std::uint32_t, Entry> entries_ GUARDED_BY(mu_);  // by number
  std::set<std::uint32_t> short_ GUARDED_BY(mu_);           // who has less than asked for
  std::uint64_t total_ GUARDED_BY(mu_) = 0;                 // of `granted`
  std::uint64_t capacity_ GUARDED_BY(mu_) = 0;              // as last heard of
};

}  // namespace forkplane::shaping
