// A host as the daemon runs it, in a network namespace of its own: the store, the ledger, the real
// drivers and the loops wired by app::NetworkLoops. Nothing comes back by time: there is no resync
// unless the test asks for one. Two VMs with one interface each; things of other people beside
// them, with names and indexes near ours.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "controller/app/network_loops.h"
#include "controller/store/local_object_store.h"
#include "crd/type_registry.h"
#include "drivers/identity_driver.h"
#include "tests/kernel/healing/gate.h"
#include "tests/kernel/healing/portrait.h"
#include "tests/support/redirect.h"
#include "tests/support/tempdir.h"

namespace forkplane::healing {

struct Setup {
  drivers::RedirectMode mode = testing::WorkingRedirect();
  int event_buffer_bytes = 0;  // 0: as the daemon has
};

class World {
 public:
  explicit World(const Setup& setup);
  ~World();

  // Everything of ours stands; returns "" or what is missing.
  std::string Raise();
  // Both VMs and the Network are deleted and gone; "" or what is left.
  std::string Remove();

  // Until every queue is empty, nothing waits for its time and no worker is busy.
  bool WaitUntilIdle();
  // Until the picture is the one Raise took.
  bool WaitUntilWhole(Part part);
  bool IsWhole(Part part) const { return PortraitOf(part, pins_) == Golden(part); }
  const std::string& Golden(Part part) const { return golden_[static_cast<std::size_t>(part)]; }
  // Polls; false when it does not hold within a generous time.
  static bool Eventually(const std::function<bool()>& holds);

  Gate& gate() { return *gate_; }
  app::NetworkLoops& loops() { return *loops_; }
  app::HostDrivers& drivers() { return drivers_; }
  app::Boards& boards() { return boards_; }
  const std::string& pins() const { return pins_; }
  ledger::InterfaceLease lease(int vm) const { return leases_[static_cast<std::size_t>(vm)]; }

 private:
  void OpenDrivers(const Setup& setup);
  void OpenStore();
  void StartLoops();
  void CreateVm(const std::string& name);
  bool IsIdle() const;

  testing::TempDir folder_;
  std::string pins_;
  metrics::Registry metrics_;
  std::unique_ptr<crd::TypeRegistry> types_;
  std::unique_ptr<store::LocalObjectStore> store_;
  std::unique_ptr<ledger::Ledger> ledger_;
  app::Options options_;
  app::HostDrivers drivers_;
  Gate* gate_ = nullptr;  // owned by drivers_
  app::Boards boards_;
  std::unique_ptr<runtime::StatusWriter> statuses_;
  std::unique_ptr<app::Informers> informers_;
  std::unique_ptr<app::NetworkLoops> loops_;
  std::vector<ledger::InterfaceLease> leases_;
  std::vector<std::string> uids_;
  std::array<std::string, std::size(kParts)> golden_;
};

// Runs `body` with a World in namespaces of its own; skips the test where that is impossible.
void InWorld(const Setup& setup, const std::function<void(World&)>& body);

}  // namespace forkplane::healing
