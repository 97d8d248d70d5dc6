#include "controller/app/host_facts.h"

#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>

namespace forkplane::app {
namespace {

// "some avg10=1.23 avg60=..." of /proc/pressure/NAME (psi(7), Linux 4.20); 0 where the kernel has
// none.
double PressureOf(const char* name) {
  std::ifstream file(std::string("/proc/pressure/") + name);
  std::string line;
  if (!std::getline(file, line)) return 0;
  const auto at = line.find("avg10=");
  return at == std::string::npos ? 0 : std::strtod(line.c_str() + at + 6, nullptr);
}

std::vector<std::string> CapabilityNames(const vmm::Capabilities& has) {
  std::vector<std::string> names = {"accelerator=" + has.accelerator};
  const auto add = [&names](bool can, const char* name) {
    if (can) names.emplace_back(name);
  };
  add(has.snapshot_full, "snapshot-full");
  add(has.snapshot_diff, "snapshot-diff");
  add(has.snapshot_of_fork, "snapshot-of-fork");
  add(has.passes_tap_fd, "passes-tap-fd");
  add(has.needs_template, "shared-memory-template");
  add(has.warm_slots, "warm-slots");
  add(has.balloon, "balloon");
  return names;
}

}  // namespace

runtime::ComputeAmount ReadCompute() {
  const long cpus = ::sysconf(_SC_NPROCESSORS_ONLN);
  const long pages = ::sysconf(_SC_PHYS_PAGES);
  const long page = ::sysconf(_SC_PAGESIZE);
  return {std::max(cpus, 0L), pages > 0 && page > 0 ? pages * page : 0};
}

crd::HostStatus ReadHostFacts(const HostDrivers& drivers) {
  crd::HostStatus status;
  const runtime::ComputeAmount compute = ReadCompute();
  if (compute.cpus > 0) status.capacity["cpu"] = crd::Quantity::FromDecimal(compute.cpus);
  if (compute.memory_bytes > 0) {
    status.capacity["memory"] = crd::Quantity::FromBytes(compute.memory_bytes);
  }
  status.pressure = {PressureOf("cpu"), PressureOf("memory"), PressureOf("io")};
  utsname name{};
  if (::uname(&name) == 0) {
    status.kernel.emplace();
    status.kernel->version = name.release;
  }
  for (const auto& hypervisor : drivers.hypervisors) {
    const vmm::Capabilities& has = hypervisor->capabilities();
    status.hypervisors.push_back({has.name, has.version, CapabilityNames(has)});
  }
  return status;
}

}  // namespace forkplane::app
