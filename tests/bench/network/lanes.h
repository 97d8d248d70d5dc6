// Sides that take their turns: each in a network namespace of its own, each round beginning with
// another one, so that what the machine does meanwhile meets all of them.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tests/bench/network/sides.h"

namespace forkplane::bench {

struct Lane {
  Namespace net;
  std::unique_ptr<Side> side;
  // Of every round that counts. Switches: voluntary context switches of this process, all threads.
  std::vector<double> milliseconds = {};
  std::vector<double> switches = {};
};

using Opener = std::function<Result<std::unique_ptr<Side>>()>;
Result<std::vector<Lane>> OpenLanes(const std::vector<Opener>& openers);

enum class Timed : std::uint8_t { kRaise, kDrop };

// The first round of each side pays for cold caches and is not counted.
Status RunRounds(std::vector<Lane>& lanes, std::uint32_t count, std::size_t rounds, Timed timed);

// {"ours": [1.2, ...], ..., "ours switches": [310, ...], ...}
std::string ToJson(const std::vector<Lane>& lanes);
// "name": [1.2, ...]
std::string JsonList(const std::string& name, const std::vector<double>& values);

}  // namespace forkplane::bench
