// bench_taps DIRECTORY COUNT ROUNDS [SIDE [PLUGINS]]: the sides of P1 in turn; a line of JSON with
// the milliseconds and voluntary context switches of every round. DIRECTORY must be on the disk
// whose fdatasync is meant. SIDE (ours, floor, peer, cni): that one alone, to profile it; "all".
// PLUGINS: where CNI's are; without it that side is left out.
#include <cstdio>

#include "controller/base/log.h"
#include "tests/bench/network/lanes.h"

namespace forkplane::bench {
namespace {

Status Main(const std::string& directory, std::uint32_t count, std::size_t rounds,
            const std::string& only, const std::string& plugins) {
  std::vector<std::pair<std::string, Opener>> sides = {
      {"ours", [&] { return OpenOurs(directory); }},
      {"floor", [&] { return OpenBare(directory); }},
      {"peer", [&] { return OpenExec(directory); }}};
  if (!plugins.empty()) sides.emplace_back("cni", [&] { return OpenCni(directory, plugins); });
  std::vector<Opener> openers;
  for (const auto& [name, opener] : sides) {
    if (only == "all" || only == name) openers.push_back(opener);
  }
  if (openers.empty()) return Invalid(fmt::format("no side is called '{}'", only));
  ASSIGN_OR_RETURN(auto lanes, OpenLanes(openers));
  RETURN_IF_ERROR(RunRounds(lanes, count, rounds, Timed::kRaise));
  std::printf("%s\n", ToJson(lanes).c_str());
  return OkStatus();
}

}  // namespace
}  // namespace forkplane::bench

int main(int argc, char** argv) {
  if (argc < 4) {
    std::fprintf(stderr,
                 "usage: bench_taps DIRECTORY COUNT ROUNDS [all|ours|floor|peer|cni [PLUGINS]]\n");
    return 2;
  }
  forkplane::log::SetUp(forkplane::log::Format::kText, forkplane::log::Level::kWarn);
  const auto status =
      forkplane::bench::Main(argv[1], static_cast<std::uint32_t>(std::atoi(argv[2])),
                             static_cast<std::size_t>(std::atoi(argv[3])),
                             argc > 4 ? argv[4] : "all", argc > 5 ? argv[5] : "");
  if (status.ok()) return 0;
  std::fprintf(stderr, "bench_taps: %s\n", status.error().message.c_str());
  return 1;
}
