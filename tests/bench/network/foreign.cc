#include "tests/bench/network/foreign.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "reconcilers/host/reconciler.h"

namespace forkplane::bench {
namespace {

constexpr std::uint32_t kFirstAddress = 0x0a4d0100;  // 10.77.1.0

}  // namespace

Status RunProgram(const std::vector<std::string>& words) {
  std::vector<char*> argv;
  argv.reserve(words.size() + 1);
  for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  pid_t pid = 0;
  const int error = posix_spawnp(&pid, argv[0], &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) return FromErrno(error, words.front());
  int status = 0;
  if (waitpid(pid, &status, 0) != pid || status != 0) {
    return Unavailable(fmt::format("{} exited with {}", fmt::join(words, " "), status));
  }
  return OkStatus();
}

shaping::Rates RatesOf(std::uint32_t number) {
  const crd::Bandwidth limits = Limits(kDownloadBits, kUploadBits, kUploadBits);
  return shaping::RatesOf(number, limits, kMtuDefault, {host::kUnknownCapacityBits / 8, {}});
}

Result<std::unique_ptr<Drivers>> OpenHost(const std::string& path) {
  ASSIGN_OR_RETURN(auto on, OpenDrivers());
  ledger::Options options;
  options.path = path;
  ASSIGN_OR_RETURN(const auto ledger,
                   ledger::Ledger::Open(std::move(options), RealClock(), SystemRng()));
  RETURN_IF_ERROR(RaiseHost(*on, *ledger, 0));
  return on;
}

std::string VmUid(const std::string& prefix, std::size_t n) {
  return fmt::format("{}-{}", prefix, n);
}

Status RaiseVms(World& world, const std::string& prefix, std::uint32_t count) {
  std::vector<std::string> keys(count);
  RETURN_IF_ERROR(world.crew().Run(count, [&](std::uint32_t n) -> Status {
    const std::string uid = VmUid(prefix, n);
    world.specs().Set(uid, Limits(kDownloadBits, kUploadBits, kUploadBits));
    ASSIGN_OR_RETURN(const auto lease, world.Claim(uid));
    keys[n - 1] = ledger::KeyOf(lease.interfaces.front().id);
    return OkStatus();
  }));
  for (const std::string& key : keys) RETURN_IF_ERROR(world.WaitUntilShaped(key));
  return OkStatus();
}

Ipv4 Foreign::AddressOf(std::uint32_t number) { return {kFirstAddress + number}; }

Status Foreign::Drop() {
  return crew_.Run(count_, [this](std::uint32_t number) { return DropOne(number); });
}

Status Foreign::MakeTap(std::uint32_t number) {
  drivers::TapSpec spec;
  spec.number = number;
  spec.alias = fmt::format("vm-{}", number);
  RETURN_IF_ERROR(on_->taps->Create(spec));
  return on_->sysctls.DisableIpv6(TapName(number));
}

Status Foreign::Translate(std::uint32_t number) {
  const std::uint32_t tap = TapIndex(number);
  RETURN_IF_ERROR(on_->identities->SetEntry(
      tap, {InnerMac(0), OuterMac(number), Ipv4{kGateway.value + 1}, AddressOf(number), kGateway}));
  RETURN_IF_ERROR(on_->identities->Attach(tap, drivers::Direction::kIngress));
  return on_->identities->Attach(tap, drivers::Direction::kEgress);
}

Status Foreign::Plug(std::uint32_t number) {
  const std::uint32_t bridge = BridgeIndex(0);
  RETURN_IF_ERROR(on_->links->SetMaster(TapIndex(number), bridge));
  RETURN_IF_ERROR(on_->links->SetPortUp(TapIndex(number), true));
  RETURN_IF_ERROR(on_->routes->AddHostRoute(bridge, AddressOf(number)));
  return on_->routes->SetNeighbour(bridge, {AddressOf(number), OuterMac(number)});
}

Status Foreign::DropOne(std::uint32_t number) {
  const std::uint32_t bridge = BridgeIndex(0);
  RETURN_IF_ERROR(on_->routes->DeleteNeighbour(bridge, AddressOf(number)));
  RETURN_IF_ERROR(on_->routes->DeleteHostRoute(bridge, AddressOf(number)));
  RETURN_IF_ERROR(on_->qdiscs->DeleteClass(IfbIndex(0), number));
  RETURN_IF_ERROR(on_->taps->Delete(number));
  const Status entry = on_->identities->DeleteEntry(TapIndex(number));
  return entry.ok() || entry.error().code == Code::kNotFound ? OkStatus() : entry;
}

}  // namespace forkplane::bench
