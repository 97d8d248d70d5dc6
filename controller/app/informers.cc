#include "controller/app/informers.h"

#include "controller/runtime/typed_object.h"

namespace forkplane::app {
namespace {

constexpr std::chrono::seconds kSyncPatience{10};

template <typename T>
runtime::Informer<T> Make(store::ObjectStore& objects) {
  return runtime::Informer<T>(objects, {.resource = runtime::ResourceOf<T>()},
                              [](const store::Object& object) { return T::FromText(object.text); });
}

}  // namespace

Informers::Informers(store::ObjectStore& objects)
    : vms(Make<crd::VirtualMachine>(objects)),
      snapshots(Make<crd::Snapshot>(objects)),
      forks(Make<crd::Fork>(objects)),
      fork_sets(Make<crd::ForkSet>(objects)),
      networks(Make<crd::Network>(objects)),
      hosts(Make<crd::Host>(objects)) {}

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
