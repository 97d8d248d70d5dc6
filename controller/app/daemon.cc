#include "controller/app/daemon.h"

#include <malloc.h>

#include "controller/app/host_object.h"
#include "controller/base/log.h"

namespace forkplane::app {
namespace {

// Everything is looked at again this often, whatever events said: a lost one costs at most this.
constexpr std::chrono::seconds kResyncPeriod{30};

constexpr const char* kApiVersion = "forkplane.dev/v1alpha1";

// glibc gives back only what lies free at the end of a heap, and what many threads have used and
// freed lies between what is kept. Looking costs microseconds, giving back a few milliseconds.
void ReturnFreeMemory() {
  constexpr std::size_t kWorthIt = std::size_t{8} * 1024 * 1024;
  if (::mallinfo2().fordblks > kWorthIt) ::malloc_trim(0);
}

}  // namespace

Machine RealMachine() {
  return {.clock = RealClock(), .rng = SystemRng(), .open_drivers = OpenHostDrivers};
}

Result<std::unique_ptr<Daemon>> Daemon::Start(Options options, Machine machine) {
  ASSIGN_OR_RETURN(InstanceLock lock, InstanceLock::Take(options.state_dir));
  std::unique_ptr<Daemon> daemon(
      new Daemon(std::move(options), std::move(machine), std::move(lock)));
  ASSIGN_OR_RETURN(daemon->api_,
                   ApiLayer::Open(daemon->options_, daemon->machine_.clock, daemon->machine_.rng,
                                  daemon->metrics_, daemon->machine_.wrap_log));
  RETURN_IF_ERROR(daemon->OpenHost());
  RETURN_IF_ERROR(daemon->StartLoops());
  const ledger::Ledger* ledger = daemon->ledger_.get();
  RETURN_IF_ERROR(daemon->api_->Serve(
      *daemon->debug_,
      {{.name = "ledger", .live = false, .check = [ledger] { return ledger->Health(); }}},
      [raw = daemon.get()] { raw->RefreshMetrics(); },
      [events = daemon->events_.get()](const store::Object& about, std::string_view reason,
                                       const std::string& message) {
        events->Record(runtime::ReferenceTo(about), runtime::EventType::kWarning,
                       std::string(reason), message);
      }));
  daemon->StartManifests();
  return daemon;
}

Daemon::~Daemon() { Stop(); }

Status Daemon::OpenHost() {
  ASSIGN_OR_RETURN(drivers_, machine_.open_drivers(options_, metrics_));
  ledger::Options ledger;
  ledger.path = options_.state_dir + "/ledger.db";
  ledger.commit_hook = machine_.ledger_commit_hook;
  ASSIGN_OR_RETURN(const UidRange uids, ParseUidRange(options_.uid_range));
  ledger.uid_first = uids.helper + 1;
  ledger.uid_count = uids.last - uids.helper;
  if (drivers_.identities->Mode() == drivers::RedirectMode::kMark) {
    // There is one uplink: every interface is a class of its HTB.
    ledger.shaping_domains = 1;
    ledger.classes_per_domain = kMinorMax;
  }
  ASSIGN_OR_RETURN(
      ledger_, ledger::Ledger::Open(std::move(ledger), machine_.clock, machine_.rng, &metrics_));
  return CheckStoreIdentity();
}

// A store that is not the one the ledger knows (restored, lost, another's) still starts: what it
// does not know is held, never removed.
Status Daemon::CheckStoreIdentity() {
  const std::string known = ledger_->StoreIdentity();
  const std::string found = api_->objects().Identity();
  if (known.empty()) return ledger_->SetStoreIdentity(found);
  if (known != found) {
    log::Err(
        "the object store is not the one this host's leases were made for; VMs it does not know "
        "are held",
        {{"known", known}, {"found", found}});
  }
  return OkStatus();
}

std::vector<runtime::Controller*> Daemon::Controllers() {
  std::vector<runtime::Controller*> all = network_loops_->Controllers();
  for (runtime::Controller* controller : machine_loops_->Controllers()) all.push_back(controller);
  return all;
}

// What only a look tells: the ages of keys in queues, what the kernel dropped.
void Daemon::RefreshMetrics() {
  for (runtime::Controller* controller : Controllers()) controller->queue().RefreshMetrics();
  identity_metrics_->Refresh();
}

Status Daemon::StartLoops() {
  store::ObjectStore& objects = api_->objects();
  ASSIGN_OR_RETURN(options_.host_name,
                   EnsureHostObject(objects, options_.host_name, options_.host_name_chosen));
  statuses_ = std::make_unique<runtime::StatusWriter>(objects, machine_.clock, metrics_,
                                                      runtime::StatusWriter::Options{});
  events_ = std::make_unique<runtime::EventRecorder>(objects, "forkplane", options_.host_name,
                                                     machine_.clock, machine_.rng, metrics_);
  informers_ = std::make_unique<Informers>(objects);
  const LoopNeeds needs{options_, objects,    *ledger_,       drivers_,     *informers_,
                        boards_,  *statuses_, machine_.clock, machine_.rng, metrics_};
  network_loops_ = std::make_unique<NetworkLoops>(needs);
  machine_loops_ = std::make_unique<MachineLoops>(needs, *events_);
  network_loops_->Attach();
  machine_loops_->Attach();
  RETURN_IF_ERROR(OpenManifests());
  debug_ = std::make_unique<Debug>(Controllers(), *ledger_, machine_.clock);
  identity_metrics_ = std::make_unique<IdentityMetrics>(*drivers_.identities, metrics_);
  if (options_.interface_metrics > 0) {
    interface_metrics_ =
        std::make_unique<InterfaceMetrics>(*ledger_, *drivers_.qdiscs, options_.interface_metrics);
    metrics_.AddSource([this](metrics::Scrape& scrape) { interface_metrics_->Collect(scrape); });
  }

  statuses_->Start();
  events_->Start();
  RETURN_IF_ERROR(informers_->Sync(machine_.clock));
  RETURN_IF_ERROR(network_loops_->Start());
  machine_loops_->Start();
  resync_thread_ = std::jthread([this](const std::stop_token& stop) {
    Mutex mu;
    CondVar never;
    const MutexLock lock(mu);
    for (;;) {
      never.WaitUntil(mu, stop, std::chrono::steady_clock::now() + kResyncPeriod,
                      [] { return false; });
      if (stop.stop_requested()) return;
      network_loops_->Resync();
      machine_loops_->Resync();
      api_->objects().ForgetOldHistory();
      ReturnFreeMemory();
    }
  });
  return OkStatus();
}

Status Daemon::OpenManifests() {
  if (options_.manifests.empty()) return OkStatus();
  ASSIGN_OR_RETURN(const auto prune_max, ParsePruneMax(options_.manifests_prune_max));
  ASSIGN_OR_RETURN(const crd::Duration settle, crd::Duration::Parse(options_.manifests_settle));
  const std::string held(crd::condition::kManifestsHeld);
  source_ = std::make_unique<manifests::DirectorySource>(
      manifests::DirectorySourceOptions{
          .path = options_.manifests,
          .record_path = options_.state_dir + "/manifests.db",
          .host_name = options_.host_name,
          .settle = std::chrono::ceil<std::chrono::milliseconds>(settle.Value()),
          .prune_max = prune_max,
          .on_notice = [this](const manifests::Notice& notice) { RecordEvent(notice); },
          .on_held =
              [this, held](const std::optional<manifests::Hold>& hold) {
                if (!hold) return boards_.host_conditions.Retract(held);
                boards_.host_conditions.Publish(held, {hold->reason, hold->message});
              },
          .registry = &metrics_},
      api_->objects(), api_->types(), machine_.clock, machine_.rng);
  informers_->hosts.AddHandler([this](const runtime::Informer<crd::Host>::Change& change) {
    const bool ours = change.key == options_.host_name && change.before && change.after;
    if (ours && change.before->metadata.annotations != change.after->metadata.annotations) {
      source_->Wake();
    }
  });
  return OkStatus();
}

void Daemon::StartManifests() {
  if (!source_) return;
  manifests_thread_ = std::jthread([this](const std::stop_token& stop) { source_->Run(stop); });
}

// A file has no object of its own, so the Event about it is recorded on the Host.
void Daemon::RecordEvent(const manifests::Notice& notice) {
  runtime::ObjectReference about;
  if (notice.about) {
    about = runtime::ReferenceTo(*notice.about);
  } else {
    const auto host = informers_->hosts.Get(options_.host_name);
    if (!host) return;
    about = {.api_version = kApiVersion,
             .kind = "Host",
             .ns = "",
             .name = options_.host_name,
             .uid = host->metadata.uid};
  }
  events_->Record(about,
                  notice.warning ? runtime::EventType::kWarning : runtime::EventType::kNormal,
                  notice.reason, notice.message);
}

void Daemon::Stop() {
  if (api_) api_->Stop();
  for (std::jthread* thread : {&manifests_thread_, &resync_thread_}) {
    if (!thread->joinable()) continue;
    thread->request_stop();
    thread->join();
  }
  if (machine_loops_) machine_loops_->Stop();
  if (network_loops_) network_loops_->Stop();
  if (informers_) informers_->Stop();
  if (events_) events_->Stop();
  if (statuses_) statuses_->Stop();
}

}  // namespace forkplane::app
