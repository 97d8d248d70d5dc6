// One look at a snapshot: its object, its files, its source, its users. Reads only.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "controller/base/mutex.h"
#include "crd/well_known.h"
#include "reconcilers/snapshot/deps.h"
#include "reconcilers/snapshot/description.h"
#include "reconcilers/snapshot/plan.h"

namespace forkplane::snapshot {

// Each attempt pauses the source.
inline constexpr int kCapturesMax = 3;

// Between two passes; may be forgotten at any time.
struct SnapshotMemory {
  std::string uid = {};
  int failures = 0;
  MonotonicTime not_before = {};
  std::string failure = {};
};

struct Trouble {
  std::string_view reason;
  std::string message;  // names the field and the remedy
};

struct Scene {
  std::shared_ptr<const crd::Snapshot> snapshot;
  Goal goal;
  Sight sight;
  std::optional<Trouble> refusal;         // goal.refused
  std::optional<Trouble> source_trouble;  // !sight.source_ready
  std::string damage;                     // sight.damaged
  std::vector<std::string> users;
  std::optional<storage::SnapshotManifest> manifest;
  std::optional<Description> description;
  std::shared_ptr<const crd::VirtualMachine> source;
  runtime::VmmFacts source_facts;
  vmm::Hypervisor* hypervisor = nullptr;  // of the manifest, else of the source
};

Result<Scene> Observe(const Deps& deps, std::shared_ptr<const crd::Snapshot> snapshot,
                      const SnapshotMemory& memory);

// What the spec asks for and this version does not have.
std::optional<Trouble> Unsupported(const crd::SnapshotSpec& spec);

}  // namespace forkplane::snapshot
