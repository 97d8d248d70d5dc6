// Calls that wait for the same disk, at once: the store commits together what is written together.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <functional>
#include <system_error>
#include <thread>
#include <vector>

namespace forkplane::runtime {

// Calls `call(0)` to `call(count - 1)`, each once, begun in this order, at most `at_once` at a
// time; returns when all have returned. The caller's thread is one of them: with 1 there is no
// other, and with fewer threads than asked for (the host has no more) it only takes longer. `call`
// keeps its result itself and holds no lock that another one needs.
inline void ForEachParallel(std::size_t count, std::size_t at_once,
                            const std::function<void(std::size_t)>& call) {
  std::atomic<std::size_t> next{0};
  const auto work = [&] {
    for (std::size_t n = next.fetch_add(1); n < count; n = next.fetch_add(1)) call(n);
  };
  std::vector<std::jthread> others;  // joined when it goes
  const std::size_t wanted = std::min(count, at_once);
  try {
    while (others.size() + 1 < wanted) others.emplace_back(work);
  } catch (const std::system_error&) {
    // No thread to be had: those there are do it.
  }
  work();
}

}  // namespace forkplane::runtime
