// VirtualMachine, Snapshot, Fork and ForkSet to JSON and back.
#include <nlohmann/json.hpp>

#include "crd/fields_machine.h"
#include "crd/kind_codec.h"
#include "crd/network.h"

namespace forkplane::crd {

FORKPLANE_KIND(VirtualMachine);
FORKPLANE_KIND(Snapshot);
FORKPLANE_KIND(Fork);
FORKPLANE_KIND(ForkSet);

namespace {

void Fill(DownloadLimit& limit, const DownloadLimit& otherwise) {
  if (!limit.rate) limit.rate = otherwise.rate;
  if (!limit.burst) limit.burst = otherwise.burst;
}

void Fill(UploadLimit& limit, const UploadLimit& otherwise) {
  if (!limit.rate) limit.rate = otherwise.rate;
  const bool reached = limit.rate && otherwise.ceil && *otherwise.ceil < *limit.rate;
  if (!limit.ceil && !reached) limit.ceil = otherwise.ceil;
  if (!limit.burst) limit.burst = otherwise.burst;
}

template <typename Limit>
void FillPart(std::optional<Limit>& part, const std::optional<Limit>& otherwise) {
  if (!part) {
    part = otherwise;
  } else if (otherwise) {
    Fill(*part, *otherwise);
  }
}

}  // namespace

Bandwidth Merged(const std::optional<Bandwidth>& wanted,
                 const std::optional<Bandwidth>& otherwise) {
  Bandwidth bandwidth = wanted.value_or(Bandwidth{});
  if (!otherwise) return bandwidth;
  FillPart(bandwidth.download, otherwise->download);
  FillPart(bandwidth.upload, otherwise->upload);
  return bandwidth;
}

Bandwidth EffectiveBandwidth(const Interface& interface, const Network* network) {
  return Merged(interface.bandwidth,
                network == nullptr ? std::nullopt : network->spec.default_bandwidth);
}

RestartPolicy VirtualMachineSpec::EffectiveRestartPolicy() const {
  if (restart_policy) return *restart_policy;
  return restore_from ? RestartPolicy::kNever : RestartPolicy::kOnFailure;
}

}  // namespace forkplane::crd
