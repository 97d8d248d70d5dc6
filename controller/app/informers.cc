#include "controller/app/informers.h"

namespace forkplane::app {
namespace {

constexpr std::chrono::seconds kSyncPatience{10};

template <typename T>
runtime::Informer<T> Make(store::ObjectStore& objects, Clock& clock) {
  return runtime::Informer<T>(
      objects, {.resource = {"forkplane.dev", std::string(T::kPlural)}},
      [](const store::Object& object) { return T::FromText(object.text); }, clock);
}

}  // namespace

Informers::Informers(store::ObjectStore& objects, Clock& clock)
    : vms(Make<crd::VirtualMachine>(objects, clock)),
      snapshots(Make<crd::Snapshot>(objects, clock)),
      forks(Make<crd::Fork>(objects, clock)),
      fork_sets(Make<crd::ForkSet>(objects, clock)),
      networks(Make<crd::Network>(objects, clock)),
      hosts(Make<crd::Host>(objects, clock)) {}

template <typename Call>
void Informers::ForEach(Call call) {
  call(vms);
  call(snapshots);
  call(forks);
  call(fork_sets);
  call(networks);
  call(hosts);
}

Status Informers::Sync(Clock& clock) {
  ForEach([](auto& informer) { informer.Start(); });
  const MonotonicTime deadline = clock.Now() + kSyncPatience;
  bool synced = true;
  ForEach([&](auto& informer) { synced &= informer.WaitForSync(std::stop_token{}, deadline); });
  if (!synced) return Unavailable("read all objects: the store did not answer in time");
  return OkStatus();
}

void Informers::Stop() {
  ForEach([](auto& informer) { informer.Stop(); });
}

}  // namespace forkplane::app
