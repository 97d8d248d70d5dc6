// bench_deletion DIRECTORY COUNT ROUNDS: P10. The VMs' network of COUNT VMs is deleted by the loops
// and by bare netlink, in turn; then single VMs are created while nothing else happens and while
// COUNT VMs are being deleted. A line of JSON: milliseconds of every round by side, and of every
// creation as "quiet" and "during".
#include <chrono>
#include <cstdio>
#include <thread>

#include "controller/base/log.h"
#include "tests/bench/network/foreign.h"
#include "tests/bench/network/lanes.h"

namespace forkplane::bench {
namespace {

// A bridge has 1023 ports: at COUNT 1000 there is no room for more.
constexpr std::size_t kCreations = 20;
constexpr int kCyclesMost = 20;
constexpr std::size_t kCreationsMost = 60;  // while the deletion lasts
constexpr std::chrono::milliseconds kPause{10};

Result<double> CreateOne(World& world, const std::string& uid) {
  std::this_thread::sleep_for(kPause);
  const auto begun = std::chrono::steady_clock::now();
  world.specs().Set(uid, Limits(kDownloadBits, kUploadBits, kUploadBits));
  ASSIGN_OR_RETURN(const auto lease, world.Claim(uid));
  RETURN_IF_ERROR(world.WaitUntilShaped(ledger::KeyOf(lease.interfaces.front().id)));
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begun)
      .count();
}

Status CreateQuietly(World& world, std::vector<double>& quiet) {
  RETURN_IF_ERROR(CreateOne(world, "cold"));
  for (std::size_t i = 0; i < kCreations; ++i) {
    ASSIGN_OR_RETURN(const double took, CreateOne(world, VmUid("quiet", 1 + quiet.size())));
    quiet.push_back(took);
  }
  for (const char* prefix : {"cold", "quiet"}) RETURN_IF_ERROR(world.ReleaseAll(prefix));
  return OkStatus();
}

// As long as one of the COUNT VMs is still there.
Status CreateDuringDeletion(World& world, std::uint32_t count, std::vector<double>& during) {
  Status released = OkStatus();
  std::jthread deletion([&] {
    released = world.crew().Run(
        count, [&world](std::uint32_t n) { return world.ledger().Release(VmUid("vm", n)); });
  });
  const auto deleting = [&world, count] {
    for (std::uint32_t n = count; n > 0; --n) {
      if (world.ledger().GetVm(VmUid("vm", n))) return true;
    }
    return false;
  };
  for (std::size_t i = 0; i < kCreationsMost && deleting(); ++i) {
    ASSIGN_OR_RETURN(const double took, CreateOne(world, VmUid("during", 1 + during.size())));
    during.push_back(took);
  }
  deletion.join();
  return released;
}

// A small deletion is soon over: as many as it takes.
Status Create(World& world, std::uint32_t count, std::vector<double>& quiet,
              std::vector<double>& during) {
  for (int cycle = 0; cycle < kCyclesMost && during.size() < kCreations; ++cycle) {
    RETURN_IF_ERROR(RaiseVms(world, "vm", count));
    if (cycle == 0) RETURN_IF_ERROR(CreateQuietly(world, quiet));
    RETURN_IF_ERROR(CreateDuringDeletion(world, count, during));
    RETURN_IF_ERROR(world.ReleaseAll());
  }
  if (during.empty()) return Unavailable("every deletion was over before a creation began");
  return OkStatus();
}

Status Main(const std::string& directory, std::uint32_t count, std::size_t rounds) {
  std::string sides;
  {
    ASSIGN_OR_RETURN(auto lanes, OpenLanes({[&] { return OpenOurs(directory); },
                                            [&] { return OpenBare(directory); }}));
    RETURN_IF_ERROR(RunRounds(lanes, count, rounds, Timed::kDrop));
    sides = ToJson(lanes);
  }
  ASSIGN_OR_RETURN(const Namespace net, Namespace::New());
  ASSIGN_OR_RETURN(const auto world, World::Open(directory, 0));
  std::vector<double> quiet;
  std::vector<double> during;
  RETURN_IF_ERROR(Create(*world, count, quiet, during));
  sides.pop_back();
  std::printf("%s, %s, %s}\n", sides.c_str(), JsonList("quiet", quiet).c_str(),
              JsonList("during", during).c_str());
  return OkStatus();
}

}  // namespace
}  // namespace forkplane::bench

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: bench_deletion DIRECTORY COUNT ROUNDS\n");
    return 2;
  }
  forkplane::log::SetUp(forkplane::log::Format::kText, forkplane::log::Level::kWarn);
  const auto status =
      forkplane::bench::Main(argv[1], static_cast<std::uint32_t>(std::atoi(argv[2])),
                             static_cast<std::size_t>(std::atoi(argv[3])));
  if (status.ok()) return 0;
  std::fprintf(stderr, "bench_deletion: %s\n", status.error().message.c_str());
  return 1;
}
