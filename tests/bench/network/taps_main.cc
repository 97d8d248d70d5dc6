// bench_taps DIRECTORY COUNT ROUNDS [SIDE]: the three sides of P1 in turn, each round beginning
// with another one; a line of JSON with the milliseconds of every round. DIRECTORY must be on the
// disk whose fdatasync is meant. SIDE (ours, floor, peer): that one alone, to profile it.
#include <chrono>
#include <cstdio>
#include <map>
#include <thread>

#include "controller/base/log.h"
#include "tests/bench/network/sides.h"

namespace forkplane::bench {
namespace {

constexpr std::chrono::milliseconds kSettle{60};  // echoes of the last round die down

struct Lane {
  Namespace net;
  std::unique_ptr<Side> side;
  std::vector<double> milliseconds;
};

Status RunRound(Lane& lane, std::uint32_t count, bool counts) {
  RETURN_IF_ERROR(lane.net.Enter());
  std::this_thread::sleep_for(kSettle);
  const auto start = std::chrono::steady_clock::now();
  RETURN_IF_ERROR(lane.side->Raise(count));
  const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;
  if (counts) lane.milliseconds.push_back(took.count());
  return lane.side->Drop();
}

Result<std::vector<Lane>> OpenLanes(const std::string& directory, const std::string& only) {
  std::vector<Lane> lanes;
  using Opener = Result<std::unique_ptr<Side>> (*)(const std::string&);
  const std::map<std::string, Opener> openers = {
      {"ours", OpenOurs}, {"floor", OpenBare}, {"peer", OpenExec}};
  for (const auto& [name, opener] : openers) {
    if (!only.empty() && only != name) continue;
    ASSIGN_OR_RETURN(Namespace net, Namespace::New());
    ASSIGN_OR_RETURN(auto side, opener(directory));
    lanes.push_back({std::move(net), std::move(side), {}});
  }
  if (lanes.empty()) return Invalid(fmt::format("no side is called '{}'", only));
  return lanes;
}

Status Main(const std::string& directory, std::uint32_t count, std::size_t rounds,
            const std::string& only) {
  ASSIGN_OR_RETURN(auto lanes, OpenLanes(directory, only));
  // The first round of each side pays for cold caches and is not counted.
  for (std::size_t round = 0; round <= rounds; ++round) {
    for (std::size_t i = 0; i < lanes.size(); ++i) {
      Lane& lane = lanes[(round + i) % lanes.size()];
      Status status = RunRound(lane, count, round > 0);
      if (!status.ok()) return std::move(status).error().WithContext(lane.side->name());
    }
  }
  std::string json;
  for (const Lane& lane : lanes) {
    json += fmt::format("{}\"{}\": [{:.3f}]", json.empty() ? "" : ", ", lane.side->name(),
                        fmt::join(lane.milliseconds, ", "));
  }
  std::printf("{%s}\n", json.c_str());
  return OkStatus();
}

}  // namespace
}  // namespace forkplane::bench

int main(int argc, char** argv) {
  if (argc < 4) {
    std::fprintf(stderr, "usage: bench_taps DIRECTORY COUNT ROUNDS [ours|floor|peer]\n");
    return 2;
  }
  forkplane::log::SetUp(forkplane::log::Format::kText, forkplane::log::Level::kWarn);
  const auto status =
      forkplane::bench::Main(argv[1], static_cast<std::uint32_t>(std::atoi(argv[2])),
                             static_cast<std::size_t>(std::atoi(argv[3])), argc > 4 ? argv[4] : "");
  if (status.ok()) return 0;
  std::fprintf(stderr, "bench_taps: %s\n", status.error().message.c_str());
  return 1;
}
