// The snapshot loop: captures, keeps and removes snapshots, and holds their memory for forks.
// Key: "namespace/name".
//
// NOTE Threading: any number of workers; a capture holds its worker until it is on disk.
// NOTE Restart: a capture that a crash interrupted is taken again from the beginning. The
// virtual_machine loop resumes its source.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "controller/base/mutex.h"
#include "controller/runtime/reconciler.h"
#include "reconcilers/snapshot/deps.h"
#include "reconcilers/snapshot/execute.h"
#include "reconcilers/snapshot/observe.h"

namespace forkplane::snapshot {

class SnapshotReconciler final : public runtime::Reconciler {
 public:
  explicit SnapshotReconciler(Deps deps) : deps_(std::move(deps)) {}

  Result<runtime::Next> Reconcile(const std::string& key, const std::stop_token& stop) override;
  Result<std::string> Explain(const std::string& key) override;

  // Before the informers start: calls `enqueue` with the key of every snapshot a change concerns.
  void Attach(const std::function<void(const std::string& key)>& enqueue);

 private:
  SnapshotMemory MemoryOf(const std::string& key, const std::string& uid) EXCLUDES(mu_);
  void Remember(const std::string& key, const SnapshotMemory& memory) EXCLUDES(mu_);
  Result<Waiting> Converge(const std::shared_ptr<const crd::Snapshot>& snapshot,
                           SnapshotMemory& memory, const std::stop_token& stop);
  Status Execute(const Context& context, const Plan& plan, SnapshotMemory& memory,
                 const std::stop_token& stop);
  void NoteFailure(const Context& context, const Error& error, SnapshotMemory& memory);
  void WriteStatus(const Context& context, Waiting waiting, bool capturing,
                   const SnapshotMemory& memory);

  Deps deps_;
  Mutex mu_;
  std::map<std::string, SnapshotMemory> memory_ GUARDED_BY(mu_);
};

}  // namespace forkplane::snapshot
