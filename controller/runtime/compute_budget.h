// CPUs, memory and upload promised to the machines of this host. In memory: what is held follows
// from what runs, which is found again after a restart and held before anything new is started.
//
// NOTE Threading: thread-safe. Subscribers are called on the thread that changed something, without
// locks; they only add a key to a queue, and must outlive the last change.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "controller/base/mutex.h"
#include "controller/base/result.h"

namespace forkplane::runtime {

struct ComputeAmount {
  std::int64_t cpus = 0;
  std::int64_t memory_bytes = 0;
  std::int64_t upload_bits_per_second = 0;  // that its interfaces are to be sure of
  bool operator==(const ComputeAmount&) const = default;
};

// What may be promised in all; absent: not bounded.
struct ComputeLimit {
  std::optional<std::int64_t> cpus;
  std::optional<std::int64_t> memory_bytes;
  std::optional<std::int64_t> upload_bits_per_second;
};

// Promised over present; absent: not bounded.
struct OvercommitRatios {
  std::optional<double> cpu;
  std::optional<double> memory;
  std::optional<double> upload;
};

// Capacity times overcommit, where there is one.
ComputeLimit LimitOf(const ComputeAmount& capacity, const OvercommitRatios& overcommit);

class ComputeBudget {
 public:
  // For a machine that is to start: all of it or nothing. Repeating it replaces the amount.
  // Exhausted: causes[] name each shortage (reason "insufficient_resources", field "cpu",
  // "memory" or "upload"); what was held before is kept.
  Status Reserve(const std::string& uid, const ComputeAmount& amount, const ComputeLimit& limit);
  // For a machine that runs already: never refused.
  void Hold(const std::string& uid, const ComputeAmount& amount);
  void Free(const std::string& uid);

  bool Holds(const std::string& uid) const;
  ComputeAmount Allocated() const;
  std::size_t Machines() const;  // how many hold something

  void Subscribe(std::function<void()> subscriber);

 private:
  void Put(const std::string& uid, const ComputeAmount& amount) REQUIRES(mu_);
  void Notify();

  mutable Mutex mu_;
  std::map<std::string, ComputeAmount> held_ GUARDED_BY(mu_);
  ComputeAmount allocated_ GUARDED_BY(mu_);  // their sum
  std::vector<std::function<void()>> subscribers_ GUARDED_BY(mu_);
};

}  // namespace forkplane::runtime
