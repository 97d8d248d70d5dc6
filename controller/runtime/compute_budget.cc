#include "controller/runtime/compute_budget.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

namespace forkplane::runtime {
namespace {

std::optional<std::int64_t> Times(std::int64_t capacity, std::optional<double> overcommit) {
  if (!overcommit) return std::nullopt;
  constexpr double kMost = 9.0e18;
  return static_cast<std::int64_t>(
      std::min(kMost, std::floor(static_cast<double>(capacity) * *overcommit)));
}

constexpr double kMiB = 1048576;

// `shown`: an amount as people read it.
template <typename Shown>
void Compare(const char* field, std::int64_t wanted, std::int64_t others,
             std::optional<std::int64_t> limit, const Shown& shown, std::vector<Cause>& causes) {
  if (!limit || others + wanted <= *limit) return;
  causes.push_back({"insufficient_resources", field,
                    fmt::format("needs {}, of {} that may be promised {} are",  //
                                shown(wanted), shown(*limit), shown(others))});
}

std::string ShownRate(std::int64_t bits) {
  constexpr double kMega = 1e6;
  return fmt::format("{:g} Mbit/s", static_cast<double>(bits) / kMega);
}

}  // namespace

ComputeLimit LimitOf(const ComputeAmount& capacity, const OvercommitRatios& overcommit) {
  return {Times(capacity.cpus, overcommit.cpu), Times(capacity.memory_bytes, overcommit.memory),
          Times(capacity.upload_bits_per_second, overcommit.upload)};
}

Status ComputeBudget::Reserve(const std::string& uid, const ComputeAmount& amount,
                              const ComputeLimit& limit) {
  std::vector<Cause> causes;
  {
    MutexLock lock(mu_);
    const auto found = held_.find(uid);
    const ComputeAmount own = found == held_.end() ? ComputeAmount{} : found->second;
    if (found != held_.end() && own == amount) return OkStatus();
    Compare(
        "cpu", amount.cpus, allocated_.cpus - own.cpus, limit.cpus,
        [](std::int64_t cpus) { return fmt::format("{} CPUs", cpus); }, causes);
    Compare(
        "memory", amount.memory_bytes, allocated_.memory_bytes - own.memory_bytes,
        limit.memory_bytes,
        [](std::int64_t bytes) {
          return fmt::format("{} MiB", std::ceil(static_cast<double>(bytes) / kMiB));
        },
        causes);
    Compare("upload", amount.upload_bits_per_second,
            allocated_.upload_bits_per_second - own.upload_bits_per_second,
            limit.upload_bits_per_second, ShownRate, causes);
    if (causes.empty()) Put(uid, amount);
  }
  if (causes.empty()) {
    Notify();
    return OkStatus();
  }
  std::string text;
  for (const Cause& cause : causes) {
    text += fmt::format("{}{}: {}", text.empty() ? "" : "; ", cause.field, cause.message);
  }
  Error error = Exhausted(std::move(text));
  error.causes = std::move(causes);
  return error;
}

void ComputeBudget::Hold(const std::string& uid, const ComputeAmount& amount) {
  {
    MutexLock lock(mu_);
    const auto found = held_.find(uid);
    if (found != held_.end() && found->second == amount) return;
    Put(uid, amount);
  }
  Notify();
}

void ComputeBudget::Put(const std::string& uid, const ComputeAmount& amount) {
  ComputeAmount& slot = held_[uid];
  allocated_.cpus += amount.cpus - slot.cpus;
  allocated_.memory_bytes += amount.memory_bytes - slot.memory_bytes;
  allocated_.upload_bits_per_second += amount.upload_bits_per_second - slot.upload_bits_per_second;
  slot = amount;
}

void ComputeBudget::Free(const std::string& uid) {
  {
    MutexLock lock(mu_);
    const auto found = held_.find(uid);
    if (found == held_.end()) return;
    allocated_.cpus -= found->second.cpus;
    allocated_.memory_bytes -= found->second.memory_bytes;
    allocated_.upload_bits_per_second -= found->second.upload_bits_per_second;
    held_.erase(found);
  }
  Notify();
}

bool ComputeBudget::Holds(const std::string& uid) const {
  MutexLock lock(mu_);
  return held_.contains(uid);
}

ComputeAmount ComputeBudget::Allocated() const {
  MutexLock lock(mu_);
  return allocated_;
}

std::size_t ComputeBudget::Machines() const {
  MutexLock lock(mu_);
  return held_.size();
}

void ComputeBudget::Subscribe(std::function<void()> subscriber) {
  MutexLock lock(mu_);
  subscribers_.push_back(std::move(subscriber));
}

void ComputeBudget::Notify() {
  std::vector<std::function<void()>> subscribers;
  {
    MutexLock lock(mu_);
    subscribers = subscribers_;
  }
  for (const auto& subscriber : subscribers) subscriber();
}

}  // namespace forkplane::runtime
