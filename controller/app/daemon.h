// `forkplane serve`: every layer made, started and stopped in order.
//
// NOTE Start: lock, store, drivers, ledger, caches, loops, ports. The kernel and the VMMs are
// adopted before anything is reachable. NOTE Stop: ports, manifests, loops, caches, store; the host
// stays exactly as it is, VMs running.
#pragma once

#include <memory>
#include <string>
#include <thread>

#include "controller/app/api_layer.h"
#include "controller/app/debug.h"
#include "controller/app/host_drivers.h"
#include "controller/app/identity_metrics.h"
#include "controller/app/informers.h"
#include "controller/app/instance_lock.h"
#include "controller/app/interface_metrics.h"
#include "controller/app/machine_loops.h"
#include "controller/app/network_loops.h"
#include "controller/app/options.h"
#include "controller/manifests/directory_source.h"

namespace forkplane::app {

// What a test puts in place of the machine's own.
struct Machine {
  Clock& clock;
  Rng& rng;
  // Makes the drivers once the state directory is locked.
  std::function<Result<HostDrivers>(const Options&, metrics::Registry&)> open_drivers;
  // Puts something around the object store's log; empty: nothing.
  WrapLog wrap_log = {};
  // As in ledger::Options.
  std::function<void(int commit, bool done)> ledger_commit_hook = {};
};
Machine RealMachine();

class Daemon {
 public:
  // Returns when the API answers and every loop runs.
  static Result<std::unique_ptr<Daemon>> Start(Options options, Machine machine);
  ~Daemon();
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;

  void Stop();
  const std::string& url() const { return api_->url(); }

 private:
  Daemon(Options options, Machine machine, InstanceLock lock)
      : options_(std::move(options)), machine_(std::move(machine)), lock_(std::move(lock)) {}
  Status OpenHost();
  Status CheckStoreIdentity();
  Status StartLoops();
  // Before the informers start: an operator's word about held pruning comes over them.
  Status OpenManifests();
  void StartManifests();
  void RecordEvent(const manifests::Notice& notice);
  void RefreshMetrics();
  std::vector<runtime::Controller*> Controllers();

  Options options_;  // as given; the host's name as it is on record
  Machine machine_;
  InstanceLock lock_;
  metrics::Registry metrics_;
  // Destroyed from the bottom up.
  std::unique_ptr<ApiLayer> api_;
  HostDrivers drivers_;
  std::unique_ptr<ledger::Ledger> ledger_;
  Boards boards_;
  std::unique_ptr<runtime::StatusWriter> statuses_;
  std::unique_ptr<runtime::EventRecorder> events_;
  std::unique_ptr<Informers> informers_;
  std::unique_ptr<NetworkLoops> network_loops_;
  std::unique_ptr<MachineLoops> machine_loops_;
  std::unique_ptr<Debug> debug_;
  std::unique_ptr<IdentityMetrics> identity_metrics_;
  std::unique_ptr<InterfaceMetrics> interface_metrics_;  // null: not asked for
  std::unique_ptr<manifests::DirectorySource> source_;
  std::jthread manifests_thread_;
  std::jthread resync_thread_;
};

}  // namespace forkplane::app
