#include "reconcilers/host/capacity.h"

#include <fmt/format.h>

#include <utility>

namespace forkplane::host {
namespace {

constexpr const char* kCpu = "cpu";
constexpr const char* kMemory = "memory";

std::int64_t AmountOf(const crd::ResourceMap& resources, const char* name) {
  const auto found = resources.find(name);
  return found == resources.end() ? 0 : found->second.Value();
}

crd::Condition Schedulable(const crd::HostSpec& spec) {
  if (spec.drain != crd::Drain::kNone) {
    return crd::MakeCondition(
        crd::condition::kSchedulable, false, "HostDrained",
        "spec.drain is set: no new machines are taken; set it to None to take them");
  }
  if (spec.unschedulable) {
    return crd::MakeCondition(
        crd::condition::kSchedulable, false, "HostUnschedulable",
        "spec.unschedulable: no new machines are taken; set it to false to take them");
  }
  return crd::MakeCondition(crd::condition::kSchedulable, true, "Ready");
}

}  // namespace

void FillCompute(const crd::HostSpec& spec, const runtime::ComputeBudget& budget,
                 crd::HostStatus& status) {
  const runtime::ComputeLimit limit =
      runtime::LimitOf({AmountOf(status.capacity, kCpu), AmountOf(status.capacity, kMemory),
                        AmountOf(status.capacity, kUpload)},
                       {spec.overcommit.cpu, spec.overcommit.memory, spec.overcommit.network});
  if (limit.cpus) status.allocatable[kCpu] = crd::Quantity::FromDecimal(*limit.cpus);
  if (limit.memory_bytes) {
    status.allocatable[kMemory] = crd::Quantity::FromBytes(*limit.memory_bytes);
  }
  if (status.capacity.contains(kUpload)) {
    status.allocatable[kUpload] = crd::Quantity::FromDecimal(*limit.upload_bits_per_second);
  }
  const runtime::ComputeAmount allocated = budget.Allocated();
  status.allocated[kCpu] = crd::Quantity::FromDecimal(allocated.cpus);
  status.allocated[kMemory] = crd::Quantity::FromBytes(allocated.memory_bytes);
  status.allocated[kUpload] = crd::Quantity::FromDecimal(allocated.upload_bits_per_second);
}

void AddScheduling(const crd::HostSpec& spec, const runtime::ComputeBudget& budget,
                   crd::Conditions& conditions) {
  conditions.push_back(Schedulable(spec));
  if (spec.drain == crd::Drain::kNone) return;
  const std::size_t left = budget.Machines();
  conditions.push_back(
      left == 0 ? crd::MakeCondition(crd::condition::kDrained, true, "AllStopped")
                : crd::MakeCondition(crd::condition::kDrained, false, "Draining",
                                     fmt::format("{} {} still to be stopped", left,
                                                 left == 1 ? "machine is" : "machines are")));
}

}  // namespace forkplane::host
