#include "controller/app/network_loops.h"

#include <nlohmann/json.hpp>

#include "controller/app/host_facts.h"
#include "controller/base/log.h"
#include "controller/base/network_names.h"
#include "controller/runtime/finalizer.h"
#include "controller/runtime/limits.h"
#include "controller/runtime/typed_object.h"

namespace forkplane::app {
namespace {

constexpr std::chrono::nanoseconds kNow{0};

// Every lease and slot changes a count in a status, and nobody waits for that: as long as the
// status writer merges.
constexpr std::chrono::nanoseconds kCountMergeWindow = runtime::kStatusMergeWindow;

void AddAll(runtime::Controller& controller, const std::vector<std::string>& keys) {
  for (const std::string& key : keys) controller.Add(key);
}

void MergeAll(runtime::Controller& controller, const std::vector<std::string>& keys,
              std::chrono::nanoseconds window) {
  for (const std::string& key : keys) controller.AddMerged(key, window);
}

}  // namespace

class NetworkLoops::Objects final : public network::Objects {
 public:
  explicit Objects(LoopNeeds needs) : needs_(needs) {}

  std::shared_ptr<const crd::Network> Get(const std::string& name) const override {
    return needs_.informers.networks.Get(name);
  }
  Status AddFinalizer(const crd::Network& network) override {
    return runtime::AddFinalizer(needs_.objects, runtime::KeyOf(network), network.metadata.uid,
                                 network::kFinalizer);
  }
  Status RemoveFinalizer(const crd::Network& network) override {
    return runtime::RemoveFinalizer(needs_.objects, runtime::KeyOf(network), network.metadata.uid,
                                    network::kFinalizer);
  }
  void Report(const crd::Network& network, const crd::NetworkStatus& status) override {
    needs_.statuses.Want(runtime::KeyOf(network), network.metadata.uid,
                         runtime::StatusText(network, status));
  }

 private:
  LoopNeeds needs_;
};

class NetworkLoops::Specs final : public shaping::Specs {
 public:
  Specs(const Informers& informers, std::string host_name)
      : informers_(informers), host_name_(std::move(host_name)) {}
  std::shared_ptr<const crd::VirtualMachine> Vm(const std::string& uid) const override {
    return informers_.vms.GetByUid(uid);
  }
  std::shared_ptr<const crd::Network> Network(const std::string& name) const override {
    return informers_.networks.Get(name);
  }
  double Overcommit() const override {
    const auto host = informers_.hosts.Get(host_name_);
    return (host ? host->spec : crd::HostSpec{}).overcommit.network;
  }

 private:
  const Informers& informers_;
  const std::string host_name_;
};

NetworkLoops::NetworkLoops(LoopNeeds needs)
    : needs_(needs),
      network_objects_(std::make_unique<Objects>(needs)),
      specs_(std::make_unique<Specs>(needs.informers, needs.options.host_name)),
      host_loop_(needs.ledger,
                 {*needs.drivers.links, *needs.drivers.qdiscs, *needs.drivers.routes,
                  *needs.drivers.sysctls, *needs.drivers.identities},
                 needs.boards.orphans,
                 {.host_name = needs.options.host_name,
                  .leaf = needs.drivers.leaf,
                  .object = [this] { return needs_.informers.hosts.Get(needs_.options.host_name); },
                  .known = [this] { return ReadHostFacts(needs_.drivers); },
                  .report =
                      [this](const crd::Host& object, const crd::HostStatus& status) {
                        needs_.statuses.Want(runtime::KeyOf(object), object.metadata.uid,
                                             runtime::StatusText(object, status));
                      },
                  .moved = [this] { AddAll(shaping_, shaping_loop_.AllKeys()); },
                  .conditions = &needs.boards.host_conditions,
                  .compute = &needs.boards.compute,
                  .uplinks = &needs.boards.uplinks,
                  .registry = &needs.metrics}),
      network_loop_(needs.ledger, *network_objects_,
                    {*needs.drivers.links, *needs.drivers.routes, *needs.drivers.sysctls,
                     *needs.drivers.firewall, *needs.drivers.forwarding, *needs.drivers.flows},
                    needs.options.host_name, needs.clock, &needs.metrics, &needs.boards.uplinks),
      tap_loop_(needs.ledger,
                {*needs.drivers.links, *needs.drivers.taps, *needs.drivers.qdiscs,
                 *needs.drivers.identities, *needs.drivers.routes, *needs.drivers.sysctls,
                 *needs.drivers.flows},
                needs.boards.interfaces, needs.boards.vmms,
                {.requeue = [this](const std::string& key) { tap_.Add(key); },
                 .bucket = [this](const auto& lease) { return shaping_loop_.BucketOf(lease); },
                 .shape = [this](const auto& lease) { shaping_loop_.ShapeNewborn(lease); },
                 .registry = &needs.metrics}),
      shaping_loop_(
          needs.ledger, *specs_, *needs.drivers.qdiscs, needs.boards.interfaces,
          {.leaf = needs.drivers.leaf,
           .later = [this](const std::string& key, auto delay) { shaping_.AddAfter(key, delay); },
           .registry = &needs.metrics,
           .clock = &needs.clock}),
      host_({.name = "host"}, host_loop_, needs.clock, needs.rng, needs.metrics),
      network_({.name = "network"}, network_loop_, needs.clock, needs.rng, needs.metrics),
      tap_({.name = "tap",
            .behind = [this](const std::string& key) { return tap_loop_.CanWait(key); }},
           tap_loop_, needs.clock, needs.rng, needs.metrics),
      shaping_({.name = "shaping"}, shaping_loop_, needs.clock, needs.rng, needs.metrics) {}

NetworkLoops::~NetworkLoops() { Stop(); }

void NetworkLoops::Attach() {
  AttachObjects();
  AttachLedger();
  AttachFacts();
}

void NetworkLoops::AttachObjects() {
  needs_.informers.networks.AddHandler(
      [this](const runtime::Informer<crd::Network>::Change& change) {
        network_.Add(change.key);
        const bool rates_differ =
            !change.before || !change.after ||
            !(change.before->spec.default_bandwidth == change.after->spec.default_bandwidth);
        if (!rates_differ) return;
        if (change.before && change.after) {
          shaping_loop_.LearnOfNetwork(change.any().metadata.uid);
        }
        AddAll(shaping_, shaping_loop_.AllKeys());
      });
  needs_.informers.vms.AddHandler(
      [this](const runtime::Informer<crd::VirtualMachine>::Change& change) {
        if (change.before && change.after && change.before->spec == change.after->spec) return;
        const std::string& uid = change.any().metadata.uid;
        if (change.before && change.after) shaping_loop_.LearnOfVm(uid);
        AddAll(shaping_, shaping_loop_.KeysOfVm(uid));
      });
  needs_.informers.hosts.AddHandler([this](const runtime::Informer<crd::Host>::Change& change) {
    if (change.before && change.after && change.before->spec == change.after->spec) return;
    if (change.key != needs_.options.host_name) return;
    host_.Add(host::kKey);
    AddAll(shaping_, shaping_loop_.AllKeys());  // of another overcommit
  });
}

void NetworkLoops::AttachLedger() {
  ledger_subscription_ = needs_.ledger.Subscribe([this](const ledger::Change& change) {
    shaping_loop_.Learn(change);  // before any loop can have answered it
    AddAll(tap_, tap_loop_.KeysOf(change));
    AddAll(shaping_, shaping_loop_.KeysOf(change));
    // A further bridge is what its first TAP waits for; a lease more is a count.
    const bool bridge = change.kind == ledger::Change::Kind::kNetwork;
    MergeAll(network_, network_loop_.KeysOf(change), bridge ? kNow : kCountMergeWindow);
    MergeAll(host_, host_loop_.KeysOf(change), kCountMergeWindow);
  });
}

void NetworkLoops::AttachFacts() {
  needs_.boards.vmms.Subscribe(
      [this](const std::string& uid) { AddAll(tap_, tap_loop_.KeysOfVm(uid)); });
  needs_.boards.interfaces.Subscribe(
      [this](const std::string& lease) { AddAll(shaping_, shaping_loop_.KeyOfFact(lease)); });
  const auto look_at_host = [this](const std::string&) { host_.Add(host::kKey); };
  needs_.boards.compute.Subscribe([this] { host_.AddMerged(host::kKey, kCountMergeWindow); });
  needs_.boards.orphans.Subscribe(look_at_host);
  needs_.boards.uplinks.Subscribe([this](const std::string&) { network_.Add(network::kRulesKey); });
  needs_.boards.host_conditions.Subscribe(look_at_host);
}

void NetworkLoops::OnLinkEvent(const drivers::LinkEvent& event) {
  using drivers::LinkEventKind;
  // A bridge that comes up is what TAPs wait for, one that goes is to be made again; that a port
  // has joined it or a class its IFB can wait.
  const bool urgent =
      event.turned || event.kind == LinkEventKind::kLinkGone ||
      event.kind == LinkEventKind::kAddressGone || event.kind == LinkEventKind::kForwarding ||
      event.kind == LinkEventKind::kFirewall || event.kind == LinkEventKind::kUnjudgedRuleGone ||
      event.kind == LinkEventKind::kDefaultRoute || event.kind == LinkEventKind::kLost;
  const bool own = IsTapIndex(event.index) || event.kind == LinkEventKind::kRoute ||
                   event.kind == LinkEventKind::kNeighbour;
  MergeAll(tap_, tap_loop_.KeysOf(event), own ? runtime::kEventMergeWindow : kNow);
  for (const std::string& key : shaping_loop_.KeysOf(event)) {
    shaping_.AddMerged(key, shaping::ShapingReconciler::MergeWindow(key));
  }
  MergeAll(network_, network_loop_.KeysOf(event), urgent ? kNow : kCountMergeWindow);
  MergeAll(host_, host_loop_.KeysOf(event), urgent ? kNow : kCountMergeWindow);
}

Status NetworkLoops::Start() {
  RETURN_IF_ERROR(needs_.drivers.events->Start(
      [this](const drivers::LinkEvent& event) { OnLinkEvent(event); }));
  if (Status found = host_loop_.FindUplink(); !found.ok()) {
    log::Warn("the uplink is not known yet", {{"err", found.error()}});
  }
  Resync();
  for (runtime::Controller* controller : Controllers()) controller->Start();
  return OkStatus();
}

void NetworkLoops::Stop() {
  ledger_subscription_.reset();
  needs_.drivers.events->Stop();
  for (runtime::Controller* controller : Controllers()) controller->Stop();
  tap_loop_.StopDeletions();
}

void NetworkLoops::Resync() {
  network_.Add(network::kRulesKey);  // before a Network's pass, which may wait for the kernel
  host_.Add(host::kKey);
  for (const auto& network : needs_.informers.networks.List())
    network_.Add(network->metadata.Key());
  AddAll(tap_, tap_loop_.AllKeys());
  AddAll(shaping_, shaping_loop_.AllKeys());
}

}  // namespace forkplane::app
