// Follows one resource of a store: lists, watches from there, and lists again whenever the watch
// cannot be resumed. The untyped half of Informer<T>.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "controller/base/clock.h"
#include "controller/base/mutex.h"
#include "controller/store/object_store.h"

namespace forkplane::runtime {

struct InformerOptions {
  store::GroupResource resource;
  std::string ns = {};  // empty: all
  store::LabelSelector labels = {};
  store::FieldSelector fields = {};
};

class Reflector {
 public:
  // One object changed; before or after is null when there was or is none. A relist gives the
  // difference to what was known, so a deletion that nobody saw still arrives.
  using Sink = std::function<void(const store::ObjectPtr& before, const store::ObjectPtr& after)>;

  // `sink` is called on the reflector's thread (or in Step), one call at a time, no lock held.
  Reflector(store::ObjectStore& store, InformerOptions options, Sink sink);
  ~Reflector();
  Reflector(const Reflector&) = delete;
  Reflector& operator=(const Reflector&) = delete;

  void Start();
  void Stop();

  // The first list was handed to the sink completely.
  bool HasSynced() const EXCLUDES(mu_);
  bool WaitForSync(const std::stop_token& stop, MonotonicTime deadline) const EXCLUDES(mu_);
  // Everything up to here was handed to the sink.
  store::Revision SeenThrough() const EXCLUDES(mu_);
  // Waits until SeenThrough() >= revision.
  bool WaitFor(store::Revision revision, const std::stop_token& stop, MonotonicTime deadline) const
      EXCLUDES(mu_);

  // Without a thread, for simulations: (re)lists if needed, then takes every event there is now.
  // An error leaves it to be called again.
  Status Step();

 private:
  void Run(const std::stop_token& stop);
  Status Relist();
  Status Connect();
  void Apply(const store::WatchEvent& event);
  void Replace(store::ObjectPtr object);
  void Remove(const std::string& key);
  void MarkSeen(store::Revision revision, bool synced) EXCLUDES(mu_);

  store::ObjectStore& store_;
  InformerOptions options_;
  Sink sink_;
  // Touched by the reflector's thread alone.
  std::map<std::string, store::ObjectPtr> known_;  // by "ns/name"
  std::unique_ptr<store::Watch> watch_;
  bool listed_ = false;
  store::Revision position_ = 0;

  mutable Mutex mu_;
  mutable CondVar changed_;
  bool synced_ GUARDED_BY(mu_) = false;
  store::Revision seen_ GUARDED_BY(mu_) = 0;
  std::jthread thread_;
};

}  // namespace forkplane::runtime
