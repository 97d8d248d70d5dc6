// One host without a kernel: the real store (in memory), ledger (a file),
// storage (a directory) and loops, the simulated hypervisor, and an agent that
// stands for tap and shaping. One thread, one manual clock: a run is a function
// of its script.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "controller/runtime/controller.h"
#include "controller/store/local_object_store.h"
#include "crd/types.h"
#include "drivers/storage/host_storage.h"
#include "drivers/tap_driver.h"
#include "drivers/template_holder.h"
#include "drivers/vmm/simulated/simulated.h"
#include "tests/convergence/virtual_machine/doors.h"
#include "tests/support/tempdir.h"

namespace forkplane::testing {

// Templates of snapshots; outlives the daemon, as holders do.
class HolderInMemory final : public storage::TemplateHolder {
 public:
  Status Keep(const std::string& uid, const UniqueFd& memfd) override;
  Lookup<UniqueFd> Get(const std::string& uid) override;
  Status Drop(const std::string& uid) override;
  Result<std::vector<storage::TemplateInfo>> List() override;

 private:
  std::map<std::string, UniqueFd> held_;
};

struct Daemon;  // informers, boards, loops, controllers of one run

class World {
 public:
  World();
  ~World();

  // What outlives a daemon.
  TempDir dir;
  ManualClock clock;
  SeededRng rng{7};
  metrics::Registry registry;
  std::unique_ptr<crd::TypeRegistry> types;
  std::unique_ptr<store::LocalObjectStore> store;
  std::unique_ptr<ledger::Ledger> ledger;
  std::unique_ptr<storage::HostStorage> storage;
  std::unique_ptr<vmm::Simulated> simulated;
  HolderInMemory holder;

  // The agent's mood, and what every changing call passes through.
  bool network_up = true;
  bool shaping_up = true;
  // Whether a guest follows its power button.
  std::function<bool(const std::string& uid)> obeys = [](const std::string&) { return true; };
  Door door = [](const std::string&, bool) { return std::nullopt; };

  void StartDaemon();
  void KillDaemon();
  // What the host loop says of the uplink, to this daemon.
  void SetUplink(std::int64_t bits_per_second);
  // Turns the clock until the predicate holds; false after `patience` of
  // simulated time.
  bool Until(const std::function<bool()>& predicate,
             std::chrono::seconds patience = std::chrono::seconds(60));
  void Run(std::chrono::milliseconds time);

  // The object, and its lease.
  void MakeNetwork(const std::string& name, const std::string& cidr);
  // Objects of namespace default (or none). `spec` is JSON.
  Status Apply(const std::string& kind, const std::string& name, const std::string& spec);
  Status ApplySpec(const std::string& kind, const std::string& name, const std::string& spec);
  Status Delete(const std::string& kind, const std::string& name);
  bool Exists(const std::string& kind, const std::string& name);
  std::optional<crd::VirtualMachine> Vm(const std::string& name);
  std::optional<crd::Snapshot> Snap(const std::string& name);
  std::optional<crd::Fork> ForkOf(const std::string& name);
  std::optional<crd::ForkSet> Set(const std::string& name);
  // Status of a condition ("True"), "" when absent; reason likewise.
  std::string Condition(const std::string& kind, const std::string& name, const std::string& type);
  std::string Reason(const std::string& kind, const std::string& name, const std::string& type);
  bool Ready(const std::string& kind, const std::string& name) {
    return Condition(kind, name, "Ready") == "True";
  }
  vmm::Observation Machine(const std::string& vm);
  std::string Explain(const std::string& vm);

  // The oracle: what is wrong with the host when everything has settled; empty:
  // nothing.
  std::string Wrong();
  // Nothing is left of anything.
  std::string LeftOver();

 private:
  bool Round();
  void Agent();
  void CollectGarbage();
  store::ObjectPtr Get(const std::string& kind, const std::string& name);

  std::unique_ptr<Daemon> daemon_;
};

}  // namespace forkplane::testing
