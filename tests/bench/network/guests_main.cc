// bench_guests DIRECTORY CAPACITY_BITS PID...: a host with one shaped interface per PID, whose
// network namespace becomes the guest behind it (relay.h). Runs in the namespace it is started in.
// Prints the outer addresses, space separated; then obeys lines "shape N DOWN UP CEIL" (N from 1,
// bits per second), each answered by "ok" once the kernel was seen to hold the rates; ends with its
// input.
#include <cstdio>
#include <iostream>
#include <sstream>

#include "controller/base/log.h"
#include "tests/bench/network/relay.h"
#include "tests/bench/network/world.h"

namespace forkplane::bench {
namespace {

constexpr std::uint64_t kStartBits = 1'000'000'000;

std::string UidOf(std::size_t guest) { return fmt::format("guest-{}", guest); }

Status Obey(World& world, const std::string& line) {
  std::istringstream words(line);
  std::string verb;
  std::size_t guest = 0;
  std::uint64_t down = 0;
  std::uint64_t up = 0;
  std::uint64_t ceil = 0;
  if (!(words >> verb >> guest >> down >> up >> ceil) || verb != "shape") {
    return Invalid(fmt::format("'{}' is not understood", line));
  }
  return world.Shape(UidOf(guest), Limits(down, up, ceil));
}

Status Main(const std::string& directory, std::uint64_t capacity, const std::vector<pid_t>& pids) {
  ASSIGN_OR_RETURN(const auto world, World::Open(directory, capacity));
  std::vector<std::unique_ptr<Relay>> relays;
  std::string addresses;
  for (const pid_t pid : pids) {
    const std::string uid = UidOf(relays.size() + 1);
    world->specs().Set(uid, Limits(kStartBits, kStartBits, kStartBits));
    ASSIGN_OR_RETURN(const auto lease, world->Claim(uid));
    const ledger::InterfaceLease& interface = lease.interfaces.front();
    RETURN_IF_ERROR(world->WaitUntilShaped(ledger::KeyOf(interface.id)));
    ASSIGN_OR_RETURN(UniqueFd tap, world->drivers().taps->Dup(interface.number));
    ASSIGN_OR_RETURN(auto relay, Relay::Start(std::move(tap), pid));
    relays.push_back(std::move(relay));
    addresses += (addresses.empty() ? "" : " ") + ToString(interface.address);
  }
  std::cout << addresses << std::endl;
  for (std::string line; std::getline(std::cin, line);) {
    RETURN_IF_ERROR(Obey(*world, line));
    std::cout << "ok" << std::endl;
  }
  return OkStatus();
}

}  // namespace
}  // namespace forkplane::bench

int main(int argc, char** argv) {
  if (argc < 4) {
    std::fprintf(stderr, "usage: bench_guests DIRECTORY CAPACITY_BITS PID...\n");
    return 2;
  }
  forkplane::log::SetUp(forkplane::log::Format::kText, forkplane::log::Level::kWarn);
  std::vector<pid_t> pids;
  for (int i = 3; i < argc; ++i) pids.push_back(std::atoi(argv[i]));
  const auto status =
      forkplane::bench::Main(argv[1], static_cast<std::uint64_t>(std::atoll(argv[2])), pids);
  if (status.ok()) return 0;
  std::fprintf(stderr, "bench_guests: %s\n", status.error().message.c_str());
  return 1;
}
