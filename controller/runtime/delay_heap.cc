#include "controller/runtime/delay_heap.h"

namespace forkplane::runtime {

void DelayHeap::Add(const std::string& key, MonotonicTime due) {
  const auto [it, inserted] = due_.try_emplace(key, due);
  if (!inserted) {
    if (it->second <= due) return;
    order_.erase({it->second, key});
    it->second = due;
  }
  order_.emplace(due, key);
}

void DelayHeap::Remove(const std::string& key) {
  const auto it = due_.find(key);
  if (it == due_.end()) return;
  order_.erase({it->second, key});
  due_.erase(it);
}

std::optional<MonotonicTime> DelayHeap::Earliest() const {
  if (order_.empty()) return std::nullopt;
  return order_.begin()->first;
}

std::vector<std::string> DelayHeap::TakeDue(MonotonicTime now) {
  std::vector<std::string> keys;
  while (!order_.empty() && order_.begin()->first <= now) {
    keys.push_back(order_.begin()->second);
    due_.erase(keys.back());
    order_.erase(order_.begin());
  }
  return keys;
}

}  // namespace forkplane::runtime
