#include "tests/convergence/virtual_machine/world.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "controller/base/network_names.h"
#include "crd/json.h"
#include "tests/convergence/virtual_machine/daemon.h"

namespace forkplane::testing {
namespace {

using crd::Json;

const std::map<std::string, std::string>& Plurals() {
  static const std::map<std::string, std::string> plurals = {{"VirtualMachine", "virtualmachines"},
                                                             {"Snapshot", "snapshots"},
                                                             {"Fork", "forks"},
                                                             {"ForkSet", "forksets"},
                                                             {"Network", "networks"},
                                                             {"Host", "hosts"}};
  return plurals;
}

store::ObjectKey KeyOf(const std::string& kind, const std::string& name) {
  const bool cluster = kind == "Network" || kind == "Host";
  return {{std::string(crd::kGroup), Plurals().at(kind)}, cluster ? "" : "default", name};
}

template <typename T>
std::optional<T> Decode(const store::ObjectPtr& object) {
  if (!object) return std::nullopt;
  return T::FromText(object->text).value();
}

// By value: what a loop goes over must outlive the Result it came in.
template <typename T>
T Take(Result<T> result) {
  return std::move(result).value();
}

void Must(const Status& status) {
  if (!status.ok()) CheckFailed("the world is made", status.error().message);
}

}  // namespace

Status HolderInMemory::Keep(const std::string& uid, const UniqueFd& memfd) {
  held_[uid] = UniqueFd(::fcntl(memfd.get(), F_DUPFD_CLOEXEC, 0));
  return OkStatus();
}
Lookup<UniqueFd> HolderInMemory::Get(const std::string& uid) {
  const auto found = held_.find(uid);
  if (found == held_.end()) return std::optional<UniqueFd>();
  return std::optional<UniqueFd>(UniqueFd(::fcntl(found->second.get(), F_DUPFD_CLOEXEC, 0)));
}
Status HolderInMemory::Drop(const std::string& uid) {
  held_.erase(uid);
  return OkStatus();
}
Result<std::vector<storage::TemplateInfo>> HolderInMemory::List() {
  std::vector<storage::TemplateInfo> list;
  for (const auto& [uid, fd] : held_) list.push_back({uid, 0, 0});
  return list;
}

World::World() : types(crd::NewTypeRegistry().value()) {
  store = store::LocalObjectStore::Open(store::NewMemoryLog(rng), {.types = types.get()}, clock,
                                        rng, registry)
              .value();
  ledger::Options options;
  options.path = dir.File("ledger.db");
  ledger = ledger::Ledger::Open(options, clock, rng).value();
  storage = storage::HostStorage::Open({dir.File("state"), {dir.File("images")}}).value();
  vmm::SimulatedOptions simulation;
  simulation.durable = false;
  simulation.obeys_power_button = [this](const std::string& uid) { return obeys(uid); };
  simulated = vmm::Simulated::Open(std::move(simulation), rng).value();
  Must([this]() -> Status {
    RETURN_IF_ERROR(
        store->Create({"", "namespaces"}, "",
                      R"({"apiVersion":"v1","kind":"Namespace","metadata":{"name":"default"}})"));
    return OkStatus();
  }());
  MakeNetwork("default", "10.90.0.0/24");
}

void World::MakeNetwork(const std::string& name, const std::string& cidr) {
  Must([&]() -> Status {
    RETURN_IF_ERROR(Apply("Network", name, R"({"cidr":")" + cidr + R"("})"));
    ledger::NetworkParameters parameters;
    parameters.uid = Get("Network", name)->meta.uid;
    parameters.name = name;
    parameters.cidr = ParseCidr(cidr).value();
    parameters.gateway = DefaultGateway(parameters.cidr);
    RETURN_IF_ERROR(ledger->ClaimNetwork(parameters));
    return OkStatus();
  }());
}

World::~World() = default;

void World::StartDaemon() { daemon_ = std::make_unique<Daemon>(*this); }

void World::KillDaemon() { daemon_.reset(); }

void World::SetUplink(std::int64_t bits_per_second) {
  daemon_->uplink_facts.Publish("here", {bits_per_second});
}

void World::Agent() {
  for (const ledger::VmLease& vm : ledger->ListAll().vms) {
    for (const ledger::InterfaceLease& lease : vm.interfaces) {
      if (lease.state == ledger::InterfaceState::kReleasing) {
        Must(ledger->ConfirmAbsent(lease.id, ledger::Part::kTap));
        Must(ledger->ConfirmAbsent(lease.id, ledger::Part::kClass));
        daemon_->interface_facts.Retract(ledger::KeyOf(lease.id));
        continue;
      }
      runtime::InterfaceFacts facts;
      facts.ready = network_up;
      facts.shaped = shaping_up;
      if (!shaping_up) facts.shaped_reason = "NoClass";
      daemon_->interface_facts.Publish(ledger::KeyOf(lease.id), facts);
    }
  }
}

// What the API server's collector does: dependents of an owner that is gone go
// too.
void World::CollectGarbage() {
  std::set<std::string> alive;
  std::vector<std::pair<store::ObjectKey, store::ObjectPtr>> owned;
  for (const char* kind : {"ForkSet", "Fork", "Snapshot", "VirtualMachine"}) {
    const store::GroupResource resource{std::string(crd::kGroup), Plurals().at(kind)};
    for (const store::ObjectPtr& object : Take(store->List(resource, {})).items) {
      alive.insert(object->meta.uid);
      if (!object->meta.owners.empty() && !object->meta.terminating()) {
        owned.emplace_back(store::ObjectKey{resource, object->meta.ns, object->meta.name}, object);
      }
    }
  }
  for (const auto& [key, object] : owned) {
    const bool orphaned =
        std::none_of(object->meta.owners.begin(), object->meta.owners.end(),
                     [&](const store::OwnerReference& owner) { return alive.contains(owner.uid); });
    if (orphaned) static_cast<void>(store->Delete(key));
  }
}

bool World::Round() {
  const bool busy = daemon_->Round();
  Agent();
  CollectGarbage();
  return busy;
}

bool World::Until(const std::function<bool()>& predicate, std::chrono::seconds patience) {
  const MonotonicTime deadline = clock.Now() + patience;
  while (!predicate()) {
    if (clock.Now() > deadline) return false;
    if (!Round()) clock.Advance(std::chrono::milliseconds(25));
  }
  return true;
}

void World::Run(std::chrono::milliseconds time) {
  const MonotonicTime end = clock.Now() + time;
  while (clock.Now() < end) {
    if (!Round()) clock.Advance(std::chrono::milliseconds(25));
  }
}

store::ObjectPtr World::Get(const std::string& kind, const std::string& name) {
  return store->Get(KeyOf(kind, name)).value();
}

Status World::Apply(const std::string& kind, const std::string& name, const std::string& spec) {
  Json json = {{"apiVersion", std::string(crd::kApiVersion)},
               {"kind", kind},
               {"metadata", {{"name", name}}},
               {"spec", Json::parse(spec)}};
  const store::ObjectKey key = KeyOf(kind, name);
  RETURN_IF_ERROR(store->Create(key.resource, key.ns, crd::DumpJson(json)));
  return OkStatus();
}

Status World::ApplySpec(const std::string& kind, const std::string& name, const std::string& spec) {
  const store::ObjectPtr object = Get(kind, name);
  if (!object) return NotFound(name);
  Json json = Json::parse(object->text);
  crd::MergePatch(json["spec"], Json::parse(spec));
  RETURN_IF_ERROR(store->Update(KeyOf(kind, name), crd::DumpJson(json)));
  return OkStatus();
}

Status World::Delete(const std::string& kind, const std::string& name) {
  RETURN_IF_ERROR(store->Delete(KeyOf(kind, name)));
  return OkStatus();
}

bool World::Exists(const std::string& kind, const std::string& name) {
  return Get(kind, name) != nullptr;
}
std::optional<crd::VirtualMachine> World::Vm(const std::string& name) {
  return Decode<crd::VirtualMachine>(Get("VirtualMachine", name));
}
std::optional<crd::Snapshot> World::Snap(const std::string& name) {
  return Decode<crd::Snapshot>(Get("Snapshot", name));
}
std::optional<crd::Fork> World::ForkOf(const std::string& name) {
  return Decode<crd::Fork>(Get("Fork", name));
}
std::optional<crd::ForkSet> World::Set(const std::string& name) {
  return Decode<crd::ForkSet>(Get("ForkSet", name));
}

namespace {

std::string FieldOf(const store::ObjectPtr& object, const std::string& type, const char* field) {
  if (!object) return {};
  const Json json = Json::parse(object->text);
  const Json* conditions = crd::FindPath(json, "status.conditions");
  if (conditions == nullptr) return {};
  for (const Json& condition : *conditions) {
    if (condition.at("type") == type) return condition.at(field).get<std::string>();
  }
  return {};
}

}  // namespace

std::string World::Condition(const std::string& kind, const std::string& name,
                             const std::string& type) {
  return FieldOf(Get(kind, name), type, "status");
}
std::string World::Reason(const std::string& kind, const std::string& name,
                          const std::string& type) {
  return FieldOf(Get(kind, name), type, "reason");
}

vmm::Observation World::Machine(const std::string& name) {
  const std::string uid = Get("VirtualMachine", name)->meta.uid;
  return simulated->Query({uid, storage->VmDirectory(uid)}).value();
}

std::string World::Explain(const std::string& vm) {
  const Result<std::string> text = daemon_->vm_loop.Explain("default/" + vm);
  return text.ok() ? *text : text.error().message;
}

std::string World::Wrong() {
  std::vector<std::string> wrong;
  std::set<std::string> known;
  const store::GroupResource vms{std::string(crd::kGroup), "virtualmachines"};
  for (const store::ObjectPtr& object : Take(store->List(vms, {})).items) {
    known.insert(object->meta.uid);
    const crd::VirtualMachine vm = crd::VirtualMachine::FromText(object->text).value();
    const auto machine = Machine(vm.metadata.name);
    const auto lease = ledger->GetVm(vm.metadata.uid);
    if (machine.state != vmm::MachineState::kRunning)
      wrong.push_back(vm.metadata.name + " is down");
    if (!lease || !lease->vmm || lease->vmm->pid != machine.process->pid) {
      wrong.push_back(vm.metadata.name + "'s process is not the ledger's");
    }
    if (lease && lease->interfaces.size() != vm.spec.interfaces.size()) {
      wrong.push_back(vm.metadata.name + " has other interfaces than asked for");
    }
  }
  for (const ledger::VmLease& lease : ledger->ListAll().vms) {
    if (!known.contains(lease.owner.uid)) wrong.push_back("lease of nobody: " + lease.owner.name);
    if (lease.slot) wrong.push_back("slot kept by " + lease.owner.name);
  }
  for (const std::string& uid : Take(storage->ListVmDirectories())) {
    if (!known.contains(uid)) wrong.push_back("directory of nobody: " + uid);
  }
  return fmt::format("{}", fmt::join(wrong, "; "));
}

std::string World::LeftOver() {
  std::vector<std::string> left;
  for (const ledger::VmLease& vm : ledger->ListAll().vms) left.push_back("lease " + vm.owner.name);
  for (const std::string& uid : Take(storage->ListVmDirectories())) left.push_back("vm " + uid);
  for (const std::string& uid : Take(storage->ListSnapshots())) left.push_back("snapshot " + uid);
  for (const auto& held : Take(holder.List())) left.push_back("template " + held.uid);
  for (const auto& [kind, plural] : Plurals()) {
    if (kind == "Network" || kind == "Host") continue;
    const store::GroupResource resource{std::string(crd::kGroup), plural};
    for (const auto& object : Take(store->List(resource, {})).items) {
      left.push_back(kind + " " + object->meta.name);
    }
  }
  return fmt::format("{}", fmt::join(left, "; "));
}

}  // namespace forkplane::testing
