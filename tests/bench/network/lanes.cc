#include "tests/bench/network/lanes.h"

#include <sys/resource.h>

#include <chrono>
#include <thread>

namespace forkplane::bench {
namespace {

constexpr std::chrono::milliseconds kSettle{60};  // echoes of what went before die down

// Whoever waits gives up the processor, and is woken: that costs on machines where a wake-up is
// dear, and unlike milliseconds it does not depend on what else runs.
double SwitchesSoFar() {
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_nvcsw);
}

struct Cost {
  double milliseconds = 0;
  double switches = 0;
};

Result<Cost> Measure(const std::function<Status()>& work) {
  using Clock = std::chrono::steady_clock;
  const double switches = SwitchesSoFar();
  const auto begun = Clock::now();
  RETURN_IF_ERROR(work());
  const std::chrono::duration<double, std::milli> took = Clock::now() - begun;
  return Cost{took.count(), SwitchesSoFar() - switches};
}

Status RunRound(Lane& lane, std::uint32_t count, Timed timed, bool counts) {
  RETURN_IF_ERROR(lane.net.Enter());
  RETURN_IF_ERROR(lane.side->Prepare(count));
  std::this_thread::sleep_for(kSettle);
  ASSIGN_OR_RETURN(const Cost raise, Measure([&] { return lane.side->Raise(count); }));
  if (timed == Timed::kDrop) std::this_thread::sleep_for(kSettle);
  ASSIGN_OR_RETURN(const Cost drop, Measure([&] { return lane.side->Drop(); }));
  if (!counts) return OkStatus();
  const Cost& cost = timed == Timed::kRaise ? raise : drop;
  lane.milliseconds.push_back(cost.milliseconds);
  lane.switches.push_back(cost.switches);
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
  lists.reserve(2 * lanes.size());
  for (const Lane& lane : lanes) {
    lists.push_back(JsonList(lane.side->name(), lane.milliseconds));
    lists.push_back(JsonList(lane.side->name() + " switches", lane.switches));
  }
  return fmt::format("{{{}}}", fmt::join(lists, ", "));
}

}  // namespace forkplane::bench
