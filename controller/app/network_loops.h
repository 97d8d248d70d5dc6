// Wires the loops host, network, tap and shaping: which change adds which key to whose queue.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "controller/app/host_drivers.h"
#include "controller/app/informers.h"
#include "controller/app/options.h"
#include "controller/ledger/ledger.h"
#include "controller/runtime/controller.h"
#include "controller/runtime/status_writer.h"
#include "reconcilers/host/reconciler.h"
#include "reconcilers/network/reconciler.h"
#include "reconcilers/shaping/reconciler.h"
#include "reconcilers/tap/reconciler.h"

namespace forkplane::app {

// What every group of loops needs; all of it outlives them.
struct LoopNeeds {
  const Options& options;
  store::ObjectStore& objects;
  ledger::Ledger& ledger;
  HostDrivers& drivers;
  Informers& informers;
  Boards& boards;
  runtime::StatusWriter& statuses;
  Clock& clock;
  Rng& rng;
  metrics::Registry& metrics;
};

class NetworkLoops {
 public:
  explicit NetworkLoops(LoopNeeds needs);
  ~NetworkLoops();

  // Before the informers start.
  void Attach();
  // After they have synced: events of the kernel first, then a key for everything there is, then
  // the workers.
  Status Start();
  void Stop();
  // Everything again: events may be lost, and map entries and IPv6 switches have none.
  void Resync();
  std::vector<runtime::Controller*> Controllers() { return {&host_, &network_, &tap_, &shaping_}; }

 private:
  class Objects;
  class Specs;

  void AttachObjects();
  void AttachLedger();
  void AttachFacts();
  void OnLinkEvent(const drivers::LinkEvent& event);

  LoopNeeds needs_;
  std::unique_ptr<Objects> network_objects_;
  std::unique_ptr<Specs> specs_;
  host::HostReconciler host_loop_;
  network::NetworkReconciler network_loop_;
  tap::TapReconciler tap_loop_;
  shaping::ShapingReconciler shaping_loop_;
  runtime::Controller host_;
  runtime::Controller network_;
  runtime::Controller tap_;
  runtime::Controller shaping_;
  std::shared_ptr<void> ledger_subscription_;
};

}  // namespace forkplane::app
