#include "tests/bench/network/lanes.h"

#include <chrono>
#include <thread>

namespace forkplane::bench {
namespace {

constexpr std::chrono::milliseconds kSettle{60};  // echoes of what went before die down

Status RunRound(Lane& lane, std::uint32_t count, Timed timed, bool counts) {
  using Clock = std::chrono::steady_clock;
  RETURN_IF_ERROR(lane.net.Enter());
  RETURN_IF_ERROR(lane.side->Prepare(count));
  std::this_thread::sleep_for(kSettle);
  const auto begun = Clock::now();
  RETURN_IF_ERROR(lane.side->Raise(count));
  const auto raised = Clock::now();
  if (timed == Timed::kDrop) std::this_thread::sleep_for(kSettle);
  const auto standing = Clock::now();
  RETURN_IF_ERROR(lane.side->Drop());
  const auto dropped = Clock::now();
  const std::chrono::duration<double, std::milli> took =
      timed == Timed::kRaise ? raised - begun : dropped - standing;
  if (counts) lane.milliseconds.push_back(took.count());
  return OkStatus();
}

}  // namespace

Result<std::vector<Lane>> OpenLanes(const std::vector<Opener>& openers) {
  std::vector<Lane> lanes;
  for (const Opener& opener : openers) {
    ASSIGN_OR_RETURN(Namespace net, Namespace::New());
    ASSIGN_OR_RETURN(auto side, opener());
    lanes.push_back({std::move(net), std::move(side)});
  }
  return lanes;
}

Status RunRounds(std::vector<Lane>& lanes, std::uint32_t count, std::size_t rounds, Timed timed) {
  for (std::size_t round = 0; round <= rounds; ++round) {
    for (std::size_t i = 0; i < lanes.size(); ++i) {
      Lane& lane = lanes[(round + i) % lanes.size()];
      Status status = RunRound(lane, count, timed, round > 0);
      if (!status.ok()) return std::move(status).error().WithContext(lane.side->name());
    }
  }
  return OkStatus();
}

std::string JsonList(const std::string& name, const std::vector<double>& values) {
  return fmt::format("\"{}\": [{:.3f}]", name, fmt::join(values, ", "));
}

std::string ToJson(const std::vector<Lane>& lanes) {
  std::vector<std::string> lists;
  lists.reserve(lanes.size());
  for (const Lane& lane : lanes) lists.push_back(JsonList(lane.side->name(), lane.milliseconds));
  return fmt::format("{{{}}}", fmt::join(lists, ", "));
}

}  // namespace forkplane::bench
