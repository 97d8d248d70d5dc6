#include "reconcilers/snapshot/execute.h"

#include <chrono>
#include <utility>

#include "controller/base/log.h"
#include "controller/runtime/finalizer.h"
#include "controller/runtime/typed_object.h"

namespace forkplane::snapshot {

void Execution::CleanUp() {
  if (capturing_) {
    const Status resumed = context_.hypervisor->Resume(SourceRef());
    if (!resumed.ok()) {
      log::Warn("cannot let the source of a failed snapshot go on; its own loop will",
                {{"vm", context_.source->metadata.Key()}, {"err", resumed.error()}});
    }
  }
  if (stage_) {
    const Status aborted = deps_.storage.AbortSnapshot(*stage_);
    if (!aborted.ok()) {
      log::Warn("cannot remove the stage of a failed snapshot; the next one will",
                {{"snapshot", context_.snapshot->metadata.Key()}, {"err", aborted.error()}});
    }
  }
}

vmm::MachineRef Execution::SourceRef() const {
  const std::string& source = context_.source->metadata.uid;
  return {source, deps_.storage.VmDirectory(source)};
}

Status Execution::Do(const AddFinalizer& /*action*/) {
  return runtime::AddFinalizer(deps_.store, runtime::KeyOf(*context_.snapshot), uid(),
                               crd::kSnapshotFinalizer);
}

Status Execution::Do(const Begin& /*action*/) {
  ASSIGN_OR_RETURN(stage_, deps_.storage.BeginSnapshot(uid()));
  return OkStatus();
}

Status Execution::Do(const Capture& /*action*/) {
  capturing_ = true;
  ASSIGN_OR_RETURN(capture_, context_.hypervisor->Snapshot(SourceRef(), stage_->directory, stop_));
  capturing_ = false;  // the driver has resumed the source
  return OkStatus();
}

// The source runs again, so nobody waits for this action and those after it.
Status Execution::Do(const WriteDown& /*action*/) {
  if (capture_->memory.valid()) {
    ASSIGN_OR_RETURN(const UniqueFd file, deps_.storage.CreateSnapshotFile(*stage_, "memory"));
    RETURN_IF_ERROR(storage::CopySparse(capture_->memory.get(), file.get()));
  }
  return WriteDescription(deps_.storage, *stage_, Describe());
}

Status Execution::Do(const Commit& /*action*/) {
  RETURN_IF_ERROR(deps_.storage.CommitSnapshot(*stage_, Manifest()));
  stage_.reset();
  return OkStatus();
}

Status Execution::Do(const Keep& /*action*/) {
  if (!capture_->memory.valid())
    return OkStatus();  // the memory is in files: the next plan loads it
  RETURN_IF_ERROR(storage::Seal(capture_->memory));
  return deps_.templates.Keep(uid(), capture_->memory);
}

Status Execution::Do(const LoadTemplate& /*action*/) {
  ASSIGN_OR_RETURN(const UniqueFd file, deps_.storage.OpenSnapshotFile(uid(), "memory"));
  ASSIGN_OR_RETURN(const UniqueFd memory, storage::MakeFromFile(uid(), file.get()));
  return deps_.templates.Keep(uid(), memory);
}

Status Execution::Do(const DropTemplate& /*action*/) { return deps_.templates.Drop(uid()); }

Status Execution::Do(const RemoveFiles& /*action*/) { return deps_.storage.RemoveSnapshot(uid()); }

Status Execution::Do(const RemoveFinalizer& /*action*/) {
  return runtime::RemoveFinalizer(deps_.store, runtime::KeyOf(*context_.snapshot), uid(),
                                  crd::kSnapshotFinalizer);
}

Description Execution::Describe() const {
  const crd::VirtualMachineSpec& spec = context_.source->spec;
  Description description;
  crd::SnapshotMachine& machine = description.machine;
  machine.cpus = context_.source_facts.cpus;
  machine.memory = crd::Quantity::FromBytes(static_cast<std::int64_t>(capture_->memory_bytes));
  machine.boot = spec.boot;
  machine.disks = spec.disks;
  for (const crd::Interface& interface : spec.interfaces) {
    machine.interfaces.push_back({interface.name, interface.network, interface.bandwidth});
  }
  machine.vsock = spec.vsock;
  machine.termination_grace_period_seconds = spec.termination_grace_period_seconds;
  // Rounded up: a pause is never shown as 0.
  description.pause_milliseconds =
      std::chrono::ceil<std::chrono::milliseconds>(capture_->pause).count();
  return description;
}

storage::SnapshotManifest Execution::Manifest() const {
  const vmm::Capabilities& capabilities = context_.hypervisor->capabilities();
  storage::SnapshotManifest manifest;
  manifest.uid = uid();
  manifest.source_uid = context_.source->metadata.uid;
  manifest.hypervisor = capabilities.name;
  manifest.hypervisor_version = capabilities.version;
  manifest.state_format = capabilities.state_format;
  manifest.cpus = static_cast<int>(context_.source_facts.cpus);
  manifest.memory_bytes = capture_->memory_bytes;
  manifest.created = FormatTime(deps_.clock.WallNow());
  for (const auto& [name, mac] : capture_->interfaces) {
    manifest.devices.push_back({"net", name, mac});
  }
  const std::optional<ledger::VmLease> lease = deps_.ledger.GetVm(manifest.source_uid);
  if (lease && !lease->interfaces.empty()) {
    const auto network = deps_.ledger.GetNetwork(lease->interfaces.front().network_uid);
    if (network) {
      manifest.network = storage::SnapshotNetwork{ToString(network->parameters.cidr),
                                                  ToString(network->parameters.gateway),
                                                  static_cast<int>(network->parameters.mtu)};
    }
  }
  return manifest;
}

}  // namespace forkplane::snapshot
