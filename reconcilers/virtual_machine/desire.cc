#include "reconcilers/virtual_machine/desire.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

#include "crd/well_known.h"
#include "reconcilers/virtual_machine/obstacles.h"

namespace forkplane::virtual_machine {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::size_t kDnsMax = 2;  // what the kernel's ip= takes

bool Restores(const Inputs& inputs) {
  const crd::VirtualMachineSpec& spec = inputs.vm->spec;
  if (!spec.restore_from) return false;
  if (spec.restart_mode == crd::RestartMode::kRefork) return true;
  const bool has_run = inputs.recorded || (inputs.run && inputs.run->boots);
  return !has_run;
}

bool IsDrained(const Inputs& inputs) {
  return inputs.host && inputs.host->spec.drain == crd::Drain::kStop &&
         inputs.vm->spec.power_state == crd::PowerState::kRunning;
}

DesiredState StateOf(const Inputs& inputs) {
  const crd::VirtualMachine& vm = *inputs.vm;
  DesiredState state;
  state.power = Power::kRunning;
  if (vm.spec.power_state == crd::PowerState::kStopped) state.power = Power::kStopped;
  if (IsDrained(inputs)) state.power = Power::kStopped;
  if (vm.metadata.IsBeingDeleted()) state.power = Power::kGone;
  state.finalizer = vm.metadata.HasFinalizer(crd::kVmFinalizer);
  state.restore = Restores(inputs);
  state.discard_directory = state.restore;
  state.restart = vm.spec.EffectiveRestartPolicy();
  state.grace = milliseconds(seconds(vm.spec.termination_grace_period_seconds));
  return state;
}

std::string NextHypervisor(const Inputs& inputs, bool restore) {
  if (restore && inputs.manifest) return inputs.manifest->hypervisor;
  if (restore && inputs.snapshot && !inputs.snapshot->status.hypervisor.empty()) {
    return inputs.snapshot->status.hypervisor;
  }
  if (!inputs.vm->spec.hypervisor.empty()) return inputs.vm->spec.hypervisor;
  return inputs.hypervisors.empty() ? std::string() : inputs.hypervisors.front().name;
}

Blueprint BlueprintOf(const Inputs& inputs, bool restore) {
  const crd::VirtualMachineSpec& spec = inputs.vm->spec;
  Blueprint blueprint;
  blueprint.hypervisor = NextHypervisor(inputs, restore);
  blueprint.cpus = spec.cpus;
  const vmm::Capabilities* capabilities = FindCapabilities(inputs, blueprint.hypervisor);
  blueprint.memory_bytes = MemoryBytes(spec, capabilities);
  blueprint.upload_bits_per_second =
      GuaranteedUpload(spec, inputs.networks, inputs.capacity.upload_bits_per_second);
  blueprint.boot = spec.boot;
  if (restore && inputs.manifest) {
    blueprint.cpus = inputs.manifest->cpus;
    blueprint.memory_bytes = inputs.manifest->memory_bytes;
    blueprint.snapshot_uid = inputs.manifest->uid;
    blueprint.state_format = inputs.manifest->state_format;
  }
  blueprint.needs_template = restore && capabilities != nullptr && capabilities->needs_template;
  if (!spec.interfaces.empty()) {
    const auto network = inputs.networks.find(spec.interfaces.front().network);
    if (network != inputs.networks.end() && network->second) {
      blueprint.dns = network->second->spec.dns;
      if (blueprint.dns.size() > kDnsMax) blueprint.dns.resize(kDnsMax);
    }
  }
  return blueprint;
}

// The caller has found no obstacle: every Network exists and every address is valid.
std::vector<ledger::InterfaceClaim> ClaimsOf(const Inputs& inputs) {
  std::vector<ledger::InterfaceClaim> claims;
  for (const crd::Interface& interface : inputs.vm->spec.interfaces) {
    ledger::InterfaceClaim claim;
    claim.ordinal = static_cast<std::uint32_t>(claims.size());
    claim.name = interface.name;
    claim.network_uid = inputs.networks.at(interface.network)->metadata.uid;
    if (!interface.ip.empty()) claim.address = ParseIpv4(interface.ip).value();
    claims.push_back(std::move(claim));
  }
  return claims;
}

}  // namespace

std::uint64_t MemoryBytes(const crd::VirtualMachineSpec& spec,
                          const vmm::Capabilities* hypervisor) {
  const auto bytes = static_cast<std::uint64_t>(spec.memory.Value());
  const std::uint64_t step = hypervisor == nullptr ? 1 : hypervisor->memory_bytes_step;
  return (bytes + step - 1) / step * step;
}

Desired Desire(const Inputs& inputs) {
  Desired desired;
  desired.drained = IsDrained(inputs);
  desired.state = StateOf(inputs);
  desired.blueprint = BlueprintOf(inputs, desired.state.restore);
  desired.block = FindObstacle(inputs, desired.state.restore, desired.blueprint);
  desired.state.blocked = desired.block.has_value();
  if (!desired.block) desired.claims = ClaimsOf(inputs);
  return desired;
}

runtime::ComputeLimit LimitOf(const Inputs& inputs) {
  if (!inputs.host) return {};
  const crd::Overcommit& overcommit = inputs.host->spec.overcommit;
  const std::optional<double> upload = inputs.capacity.upload_bits_per_second > 0
                                           ? std::optional(overcommit.network)
                                           : std::nullopt;  // until the host loop publishes it
  return runtime::LimitOf(inputs.capacity, {overcommit.cpu, overcommit.memory, upload});
}

std::int64_t GuaranteedUpload(const crd::VirtualMachineSpec& spec, const Networks& networks,
                              std::int64_t uplink_bits_per_second) {
  std::int64_t sum = 0;
  for (const crd::Interface& interface : spec.interfaces) {
    const auto network = networks.find(interface.network);
    const crd::Bandwidth bandwidth = crd::EffectiveBandwidth(
        interface, network == networks.end() ? nullptr : network->second.get());
    if (!bandwidth.upload || !bandwidth.upload->rate) continue;
    const std::int64_t rate = bandwidth.upload->rate->Value();
    sum += uplink_bits_per_second > 0 ? std::min(rate, uplink_bits_per_second) : rate;
  }
  return sum;
}

std::string CurrentHypervisor(const Inputs& inputs) {
  if (inputs.run) return inputs.run->hypervisor;
  return NextHypervisor(inputs, Restores(inputs));
}

bool Satisfies(const ledger::InterfaceLease& lease, const ledger::InterfaceClaim& claim) {
  return lease.state == ledger::InterfaceState::kActive && lease.ordinal == claim.ordinal &&
         lease.name == claim.name && lease.network_uid == claim.network_uid &&
         lease.translated == claim.translated &&
         (!claim.address || lease.address == *claim.address);
}

std::string BootCmdline(const std::string& user, Ipv4 address, const Cidr& cidr, Ipv4 gateway,
                        const std::vector<std::string>& dns) {
  std::string text = user;
  const auto add = [&text](const std::string& word) {
    if (!text.empty()) text += ' ';
    text += word;
  };
  if (user.find("ip=") != 0 && user.find(" ip=") == std::string::npos) {
    std::string ip = fmt::format("ip={}::{}:{}::eth0:off", ToString(address), ToString(gateway),
                                 ToString(Ipv4{cidr.mask()}));
    for (const std::string& server : dns) ip += ":" + server;
    add(ip);
  }
  add(fmt::format("fk.ip={}/{}", ToString(address), cidr.prefix));
  add(fmt::format("fk.gw={}", ToString(gateway)));
  return text;
}

}  // namespace forkplane::virtual_machine
