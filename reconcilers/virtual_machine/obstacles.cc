#include "reconcilers/virtual_machine/obstacles.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "crd/well_known.h"

namespace forkplane::virtual_machine {
namespace {

using crd::condition::kNetworkReady;
using crd::condition::kReady;
using crd::condition::kRestored;
using crd::condition::kScheduled;

Block NotSupported(std::string message) {
  return Block{kReady, "NotSupported", std::move(message), true};
}

std::optional<Block> Unsupported(const crd::VirtualMachineSpec& spec) {
  if (spec.power_state == crd::PowerState::kStandby) {
    return NotSupported(
        "spec.powerState: Standby is not supported yet: use Running or Stopped, or keep the state "
        "with a Snapshot");
  }
  if (!spec.disks.empty()) {
    return NotSupported("spec.disks: disks are not supported yet: put the root into the initramfs");
  }
  if (spec.vsock.enabled) {
    return NotSupported("spec.vsock.enabled: vsock is not supported yet: set it to false");
  }
  if (spec.identity != crd::Identity::kTranslated) {
    return NotSupported(fmt::format("spec.identity: {} is not supported yet: use Translated",
                                    crd::ToString(spec.identity)));
  }
  return std::nullopt;
}

std::optional<Block> HypervisorObstacle(const Inputs& inputs, const Blueprint& blueprint) {
  if (FindCapabilities(inputs, blueprint.hypervisor) != nullptr) return std::nullopt;
  std::vector<std::string> names;
  std::transform(inputs.hypervisors.begin(), inputs.hypervisors.end(), std::back_inserter(names),
                 [](const vmm::Capabilities& capabilities) { return capabilities.name; });
  return Block{
      kScheduled, "HypervisorNotFound",
      fmt::format("spec.hypervisor: \"{}\" is not on this host; it has: {}", blueprint.hypervisor,
                  names.empty() ? "none" : fmt::format("{}", fmt::join(names, ", "))),
      true};
}

std::optional<Block> SizeObstacle(const Inputs& inputs, const Blueprint& blueprint) {
  const vmm::Capabilities& capabilities = *FindCapabilities(inputs, blueprint.hypervisor);
  if (blueprint.cpus > capabilities.cpus_max) {
    return Block{
        kScheduled, "TooManyCpus",
        fmt::format("spec.cpus: {} has at most {}", capabilities.name, capabilities.cpus_max),
        true};
  }
  if (blueprint.memory_bytes < capabilities.memory_bytes_min) {
    const auto least = static_cast<std::int64_t>(capabilities.memory_bytes_min);
    return Block{kScheduled, "MemoryTooSmall",
                 fmt::format("spec.memory: {} needs at least {}", capabilities.name,
                             crd::Quantity::FromBytes(least).Text()),
                 true};
  }
  // A driver that executes no guest needs no memory for it.
  const auto most = static_cast<std::uint64_t>(inputs.capacity.memory_bytes);
  if (most != 0 && blueprint.memory_bytes > most && capabilities.accelerator != "none") {
    return Block{kScheduled, "MemoryTooLarge",
                 fmt::format("spec.memory: {} is more than this host has ({})",
                             inputs.vm->spec.memory.Text(),
                             crd::Quantity::FromBytes(inputs.capacity.memory_bytes).Text()),
                 true};
  }
  return std::nullopt;
}

// The scheduler writes the interfaces as soon as the snapshot is captured.
std::optional<Block> AwaitedObstacle(const Inputs& inputs) {
  if (!inputs.vm->spec.AwaitsInterfaces()) return std::nullopt;
  return Block{kNetworkReady, "InterfacesUnknown",
               fmt::format("spec.interfaces: waiting for those of Snapshot \"{}\"",
                           inputs.vm->spec.restore_from->snapshot_name)};
}

std::optional<Block> NetworkObstacle(const Inputs& inputs) {
  if (auto block = AwaitedObstacle(inputs)) return block;
  const auto& interfaces = inputs.vm->spec.interfaces;
  for (std::size_t i = 0; i < interfaces.size(); ++i) {
    const crd::Interface& interface = interfaces[i];
    const auto found = inputs.networks.find(interface.network);
    if (found == inputs.networks.end() || !found->second) {
      return Block{kNetworkReady, "NetworkNotFound",
                   fmt::format("spec.interfaces[{}].network: there is no Network \"{}\": create it "
                               "or name another",
                               i, interface.network)};
    }
    if (found->second->metadata.IsBeingDeleted()) {
      return Block{kNetworkReady, "NetworkTerminating",
                   fmt::format("spec.interfaces[{}].network: Network \"{}\" is being deleted: name "
                               "another",
                               i, interface.network)};
    }
    if (!interface.ip.empty() && !ParseIpv4(interface.ip).ok()) {
      return Block{
          kNetworkReady, "AddressInvalid",
          fmt::format("spec.interfaces[{}].ip: \"{}\" is no IPv4 address", i, interface.ip), true};
    }
  }
  return std::nullopt;
}

std::optional<Block> SnapshotObstacle(const Inputs& inputs) {
  const crd::VirtualMachine& vm = *inputs.vm;
  const std::string& name = vm.spec.restore_from->snapshot_name;
  const auto block = [&name](std::string_view reason, std::string_view rest,
                             bool terminal = false) {
    return Block{kRestored, reason,
                 fmt::format("spec.restoreFrom.snapshotName: Snapshot \"{}\" {}", name, rest),
                 terminal};
  };
  if (!inputs.snapshot) {
    return block("SnapshotNotFound", "does not exist: create it, or make a VM that names another");
  }
  const auto pinned = vm.metadata.annotations.find(std::string(crd::kSnapshotUidAnnotation));
  const bool has_pin = pinned != vm.metadata.annotations.end();
  if (has_pin && pinned->second != inputs.snapshot->metadata.uid) {
    return block("SnapshotReplaced", "is another one by now: fork again", true);
  }
  // VMs created before the deletion hold the snapshot; the snapshot loop compares the same times.
  const crd::ObjectMeta& meta = inputs.snapshot->metadata;
  if (!has_pin && meta.IsBeingDeleted() &&
      vm.metadata.creation_timestamp > meta.deletion_timestamp) {
    return block("SnapshotTerminating", "is being deleted: name another", true);
  }
  if (inputs.snapshot->status.phase == crd::SnapshotPhase::kFailed) {
    return block("SnapshotFailed", "failed: take another");
  }
  if (!inputs.manifest) return block("SnapshotNotReady", "is not ready yet");
  return std::nullopt;
}

bool SameNetwork(const storage::SnapshotNetwork& taken, const crd::NetworkSpec& spec) {
  const Result<crd::NetworkAddresses> addresses = crd::NetworkAddresses::Of(spec);
  if (!addresses.ok()) return false;
  return taken.cidr == spec.cidr && taken.gateway == ToString(addresses->gateway) &&
         taken.mtu == spec.mtu;
}

// The network and devices that the guest's memory knows must be those it is restored on.
std::optional<Block> MismatchObstacle(const Inputs& inputs, const Blueprint& blueprint) {
  const storage::SnapshotManifest& manifest = *inputs.manifest;
  const auto& interfaces = inputs.vm->spec.interfaces;
  const auto taken =
      std::count_if(manifest.devices.begin(), manifest.devices.end(),
                    [](const storage::SnapshotDevice& device) { return device.kind == "net"; });
  if (static_cast<std::size_t>(taken) != interfaces.size()) {
    return Block{kRestored, "InterfacesDiffer",
                 fmt::format("spec.interfaces: has {}, the snapshot was taken with {}: give it the "
                             "same",
                             interfaces.size(), taken),
                 true};
  }
  if (manifest.network && !interfaces.empty()) {
    const crd::Network& network = *inputs.networks.at(interfaces.front().network);
    if (!SameNetwork(*manifest.network, network.spec)) {
      return Block{kRestored, "NetworkDiffers",
                   fmt::format("spec.interfaces[0].network: the guest was captured on {} with "
                               "gateway {} and MTU {}, which Network \"{}\" does not have: use one "
                               "that does",
                               manifest.network->cidr, manifest.network->gateway,
                               manifest.network->mtu, network.metadata.name)};
    }
  }
  const std::string& wanted = inputs.vm->spec.hypervisor;
  if (!wanted.empty() && wanted != manifest.hypervisor) {
    return Block{kRestored, "HypervisorDiffers",
                 fmt::format("spec.hypervisor: the snapshot was taken by {}: name it or leave it "
                             "empty",
                             manifest.hypervisor),
                 true};
  }
  const vmm::Capabilities& capabilities = *FindCapabilities(inputs, blueprint.hypervisor);
  if (capabilities.state_format != manifest.state_format) {
    return Block{kRestored, "StateFormatDiffers",
                 fmt::format("the snapshot's state format is {}, {} loads {}: take it again with "
                             "this version",
                             manifest.state_format, capabilities.name, capabilities.state_format),
                 true};
  }
  return std::nullopt;
}

std::optional<Block> BootObstacle(const Inputs& inputs, const Blueprint& blueprint) {
  const vmm::Capabilities& capabilities = *FindCapabilities(inputs, blueprint.hypervisor);
  // "none" executes no guest, so it needs no kernel.
  if (!blueprint.boot.kernel.empty() || capabilities.accelerator == "none") return std::nullopt;
  return Block{kScheduled, "KernelMissing",
               "spec.boot.kernel: needed to boot: name a file below the image roots", true};
}

}  // namespace

const vmm::Capabilities* FindCapabilities(const Inputs& inputs, const std::string& name) {
  const auto found = std::find_if(
      inputs.hypervisors.begin(), inputs.hypervisors.end(),
      [&name](const vmm::Capabilities& capabilities) { return capabilities.name == name; });
  return found == inputs.hypervisors.end() ? nullptr : &*found;
}

std::optional<Block> FindObstacle(const Inputs& inputs, bool restore, const Blueprint& blueprint) {
  if (auto block = Unsupported(inputs.vm->spec)) return block;
  if (restore) {
    if (auto block = SnapshotObstacle(inputs)) return block;
  }
  if (auto block = HypervisorObstacle(inputs, blueprint)) return block;
  if (auto block = SizeObstacle(inputs, blueprint)) return block;
  if (auto block = NetworkObstacle(inputs)) return block;
  return restore ? MismatchObstacle(inputs, blueprint) : BootObstacle(inputs, blueprint);
}

}  // namespace forkplane::virtual_machine
