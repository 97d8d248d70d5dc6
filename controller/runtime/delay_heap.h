// Keys that are to be added later. A key waits once, for the earliest of its times.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "controller/base/clock.h"

namespace forkplane::runtime {

// Not thread-safe; the work queue guards it.
class DelayHeap {
 public:
  void Add(const std::string& key, MonotonicTime due);
  void Remove(const std::string& key);
  std::optional<MonotonicTime> Earliest() const;
  // Takes out what is due, earliest first.
  std::vector<std::string> TakeDue(MonotonicTime now);
  std::size_t size() const { return due_.size(); }

 private:
  std::set<std::pair<MonotonicTime, std::string>> order_;
  std::map<std::string, MonotonicTime> due_;
};

}  // namespace forkplane::runtime
