// Executes one plan: every action is one call to a driver or the store. What a capture passes from
// one action to the next (stage, memory) is kept here and ends with the Execution.
#pragma once

#include <optional>
#include <stop_token>
#include <string>

#include "controller/base/result.h"
#include "reconcilers/snapshot/deps.h"
#include "reconcilers/snapshot/observe.h"
#include "reconcilers/snapshot/plan.h"

namespace forkplane::snapshot {

class Execution {
 public:
  Execution(const Deps& deps, const Context& context, const std::stop_token& stop)
      : deps_(deps), context_(context), stop_(stop) {}

  Status Run(const Action& action) {
    return std::visit([this](const auto& a) { return Do(a); }, action);
  }
  // After a failed action: removes the stage and resumes the source, as far as that is possible
  // now. The next pass removes a stage that is left; the virtual_machine loop resumes the source.
  void CleanUp();
  bool captured() const { return capture_.has_value(); }

 private:
  Status Do(const AddFinalizer& action);
  Status Do(const Begin& action);
  Status Do(const Capture& action);
  Status Do(const WriteDown& action);
  Status Do(const Commit& action);
  Status Do(const Keep& action);
  Status Do(const LoadTemplate& action);
  Status Do(const DropTemplate& action);
  Status Do(const RemoveFiles& action);
  Status Do(const RemoveFinalizer& action);

  const std::string& uid() const { return context_.snapshot->metadata.uid; }
  vmm::MachineRef SourceRef() const;
  storage::SnapshotManifest Manifest() const;
  Description Describe() const;

  const Deps& deps_;
  const Context& context_;
  const std::stop_token& stop_;
  std::optional<storage::SnapshotStage> stage_ = {};
  std::optional<vmm::Capture> capture_ = {};
  bool capturing_ = false;
};

}  // namespace forkplane::snapshot
