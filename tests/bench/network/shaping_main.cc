// bench_shaping DIRECTORY COUNT ROUNDS REPAIRS: P2. First the three sides of shaping in turn, then
// a host of COUNT VMs whose classes are deleted one by one behind the loops' back. A line of JSON:
// the milliseconds of every round by side, and as "repairs" those from the event of each deletion
// to the event of the leaf that completes the class again.
#include <chrono>
#include <cstdio>
#include <thread>

#include "controller/base/log.h"
#include "controller/base/network_names.h"
#include "tests/bench/network/foreign.h"
#include "tests/bench/network/lanes.h"
#include "tests/bench/network/shaping_sides.h"

namespace forkplane::bench {
namespace {

constexpr std::chrono::seconds kPatience{10};
// The loops' own events of one repair die down before the next.
constexpr std::chrono::milliseconds kPause{15};

// Hears what everybody hears, on a socket of its own.
class Watch {
 public:
  static Result<std::unique_ptr<Watch>> Start() {
    auto watch = std::make_unique<Watch>();
    ASSIGN_OR_RETURN(watch->events_, netlink::NetlinkLinkEvents::Open(netlink::kEventBufferBytes,
                                                                      netlink::Doings::kTold));
    RETURN_IF_ERROR(watch->events_->Start(
        [raw = watch.get()](const drivers::LinkEvent& event) { raw->Hear(event); }));
    return watch;
  }
  ~Watch() { events_->Stop(); }

  void Expect(std::uint32_t minor) EXCLUDES(mu_) {
    const MutexLock lock(mu_);
    minor_ = minor;
    stage_ = Stage::kStands;
  }
  Result<double> Milliseconds() EXCLUDES(mu_) {
    const MutexLock lock(mu_);
    const bool done = changed_.WaitUntil(
        mu_, {}, std::chrono::steady_clock::now() + kPatience,
        [this]() NO_THREAD_SAFETY_ANALYSIS { return stage_ == Stage::kRepaired; });
    if (!done) return Unavailable(fmt::format("class 7f00:{:x} was not repaired", minor_));
    return std::chrono::duration<double, std::milli>(repaired_ - deleted_).count();
  }

 private:
  enum class Stage : std::uint8_t { kStands, kDeleted, kMade, kRepaired };

  void Hear(const drivers::LinkEvent& event) EXCLUDES(mu_) {
    using drivers::LinkEventKind;
    const auto now = std::chrono::steady_clock::now();
    if (event.index != IfbIndex(0)) return;
    const MutexLock lock(mu_);
    const bool of_class =
        event.kind == LinkEventKind::kClass && event.handle == (kHtbHandle | minor_);
    if (of_class && stage_ == Stage::kStands) {
      deleted_ = now;
      stage_ = Stage::kDeleted;
    } else if (of_class && stage_ == Stage::kDeleted) {
      stage_ = Stage::kMade;
    } else if (event.kind == LinkEventKind::kQdisc && stage_ == Stage::kMade) {
      repaired_ = now;
      stage_ = Stage::kRepaired;
      changed_.NotifyAll();
    }
  }

  std::unique_ptr<netlink::NetlinkLinkEvents> events_;
  Mutex mu_;
  CondVar changed_;
  std::uint32_t minor_ GUARDED_BY(mu_) = 0;
  Stage stage_ GUARDED_BY(mu_) = Stage::kRepaired;
  std::chrono::steady_clock::time_point deleted_ GUARDED_BY(mu_);
  std::chrono::steady_clock::time_point repaired_ GUARDED_BY(mu_);
};

Result<std::vector<double>> Repair(const std::string& directory, std::uint32_t count,
                                   std::size_t repairs) {
  ASSIGN_OR_RETURN(const Namespace net, Namespace::New());
  ASSIGN_OR_RETURN(const auto world, World::Open(directory, 0));
  RETURN_IF_ERROR(RaiseVms(*world, "vm", count));
  ASSIGN_OR_RETURN(const auto rival, netlink::NetlinkQdiscDriver::Open());
  ASSIGN_OR_RETURN(const auto watch, Watch::Start());
  std::vector<double> milliseconds;
  for (std::size_t i = 0; i < repairs; ++i) {
    std::this_thread::sleep_for(kPause);
    const auto minor = static_cast<std::uint32_t>(1 + i * 7 % count);
    watch->Expect(minor);
    RETURN_IF_ERROR(rival->DeleteClass(IfbIndex(0), minor));
    ASSIGN_OR_RETURN(const double took, watch->Milliseconds());
    milliseconds.push_back(took);
  }
  RETURN_IF_ERROR(world->ReleaseAll());
  return milliseconds;
}

Status Main(const std::string& directory, std::uint32_t count, std::size_t rounds,
            std::size_t repairs) {
  std::string sides;
  {
    ASSIGN_OR_RETURN(auto lanes, OpenLanes({[&] { return OpenShapingOurs(directory); },
                                            [&] { return OpenShapingBare(directory); },
                                            [&] { return OpenShapingBatch(directory); }}));
    RETURN_IF_ERROR(RunRounds(lanes, count, rounds, Timed::kRaise));
    sides = ToJson(lanes);
  }
  ASSIGN_OR_RETURN(const auto repaired, Repair(directory, count, repairs));
  sides.pop_back();
  std::printf("%s, %s}\n", sides.c_str(), JsonList("repairs", repaired).c_str());
  return OkStatus();
}

}  // namespace
}  // namespace forkplane::bench

int main(int argc, char** argv) {
  if (argc != 5) {
    std::fprintf(stderr, "usage: bench_shaping DIRECTORY COUNT ROUNDS REPAIRS\n");
    return 2;
  }
  forkplane::log::SetUp(forkplane::log::Format::kText, forkplane::log::Level::kWarn);
  const auto status = forkplane::bench::Main(
      argv[1], static_cast<std::uint32_t>(std::atoi(argv[2])),
      static_cast<std::size_t>(std::atoi(argv[3])), static_cast<std::size_t>(std::atoi(argv[4])));
  if (status.ok()) return 0;
  std::fprintf(stderr, "bench_shaping: %s\n", status.error().message.c_str());
  return 1;
}
