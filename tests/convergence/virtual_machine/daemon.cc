#include "tests/convergence/virtual_machine/daemon.h"

#include <array>

#include "controller/runtime/typed_object.h"

namespace forkplane::testing {
namespace {

constexpr const char* kHost = "here";

template <typename T>
runtime::InformerOptions Of() {
  return {.resource = runtime::ResourceOf<T>()};
}

template <typename T>
Result<T> Decode(const store::Object& object) {
  return T::FromText(object.text);
}

runtime::StatusWriter::Options Unmerged() {
  runtime::StatusWriter::Options options;
  options.merge_window = std::chrono::milliseconds(1);
  return options;
}

}  // namespace

Daemon::Daemon(World& w)
    : world(w),
      vms(store, Of<crd::VirtualMachine>(), Decode<crd::VirtualMachine>),
      snapshots(store, Of<crd::Snapshot>(), Decode<crd::Snapshot>),
      forks(store, Of<crd::Fork>(), Decode<crd::Fork>),
      fork_sets(store, Of<crd::ForkSet>(), Decode<crd::ForkSet>),
      networks(store, Of<crd::Network>(), Decode<crd::Network>),
      hosts(store, Of<crd::Host>(), Decode<crd::Host>),
      statuses(store, w.clock, w.registry, Unmerged()),
      events(store, "forkplane", kHost, w.clock, w.rng, w.registry),
      vm_loop({store,           ledger,    storage,     w.holder,     taps,
               {&hypervisor},   vms,       networks,    snapshots,    hosts,
               interface_facts, vmm_facts, alias_facts, uplink_facts, compute,
               statuses,        events,    w.clock,     kHost,        {4, std::int64_t{1} << 30}}),
      snapshot_loop({store,
                     ledger,
                     storage,
                     w.holder,
                     {&hypervisor},
                     snapshots,
                     vms,
                     forks,
                     fork_sets,
                     vmm_facts,
                     statuses,
                     events,
                     w.clock,
                     kHost}),
      slot_loop({ledger, hosts, {&hypervisor}, w.clock, w.registry, kHost}),
      alias_loop(vms, alias_facts, w.registry),
      fork_loop({store, forks, vms, snapshots, networks, hosts, statuses, events, w.clock, kHost}),
      set_loop({store, fork_sets, forks, vms, snapshots, statuses, events, w.clock}),
      orphan_loop({ledger, vms, hosts, orphan_facts, events, w.registry, kHost}),
      scheduler_loop({store, vms, snapshots, hosts, statuses, w.clock, kHost}),
      vm_control({"virtual_machine"}, vm_loop, w.clock, w.rng, w.registry),
      snapshot_control({"snapshot"}, snapshot_loop, w.clock, w.rng, w.registry),
      slot_control({"restore_slot"}, slot_loop, w.clock, w.rng, w.registry),
      alias_control({"snapshot_alias"}, alias_loop, w.clock, w.rng, w.registry),
      fork_control({"fork"}, fork_loop, w.clock, w.rng, w.registry),
      set_control({"fork_set"}, set_loop, w.clock, w.rng, w.registry),
      orphan_control({"orphan"}, orphan_loop, w.clock, w.rng, w.registry),
      scheduler_control({"scheduler"}, scheduler_loop, w.clock, w.rng, w.registry) {
  vms_attached = vm_loop.Attach([this](const std::string& key) { vm_control.Add(key); });
  snapshot_loop.Attach([this](const std::string& key) { snapshot_control.Add(key); });
  slot_loop.Attach([this](const std::string& key) { slot_control.Add(key); });
  alias_loop.Attach([this](const std::string& key) { alias_control.Add(key); });
  fork_loop.Attach([this](const std::string& key) { fork_control.Add(key); });
  set_loop.Attach([this](const std::string& key) { set_control.Add(key); });
  orphan_loop.Attach([this](const std::string& key) { orphan_control.Add(key); });
  scheduler_loop.Attach([this](const std::string& key) { scheduler_control.Add(key); });
}

bool Daemon::Round() {
  // A store that fails now and then is met again in the next round.
  static_cast<void>(networks.Step());
  static_cast<void>(hosts.Step());
  static_cast<void>(snapshots.Step());
  static_cast<void>(vms.Step());
  static_cast<void>(forks.Step());
  static_cast<void>(fork_sets.Step());
  if (!begun) vm_loop.HoldRunning();
  begun = true;
  bool busy = false;
  const std::array<runtime::Controller*, 8> controls = {
      &scheduler_control, &fork_control, &set_control,   &snapshot_control,
      &vm_control,        &slot_control, &alias_control, &orphan_control};
  for (runtime::Controller* control : controls) busy = control->ProcessReady({}) || busy;
  while (statuses.ProcessDue()) busy = true;
  while (events.ProcessOne()) busy = true;
  return busy;
}

}  // namespace forkplane::testing
