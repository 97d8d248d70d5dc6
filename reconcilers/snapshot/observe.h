// What one pass reads about a Snapshot: its object, its files, its source, its users.
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

// What this daemon remembers between two passes; it may be lost at any time.
struct SnapshotMemory {
  std::string uid = {};
  int failures = 0;
  MonotonicTime not_before = {};
  std::string failure = {};
};

// Why the Snapshot is not captured.
struct Obstacle {
  std::string_view reason;
  std::string message;  // names the field and the remedy
};

// Everything one pass knows. The plan needs desired and observed; executing it and writing the
// status need the rest.
struct Context {
  std::shared_ptr<const crd::Snapshot> snapshot;
  Desired desired;
  Observed observed;
  std::optional<Obstacle> refusal;          // desired.refused
  std::optional<Obstacle> source_obstacle;  // !observed.source_ready
  std::string damage;                       // observed.damaged
  std::vector<std::string> users;
  std::optional<storage::SnapshotManifest> manifest;
  std::optional<Description> description;
  std::shared_ptr<const crd::VirtualMachine> source;
  runtime::VmmFacts source_facts;
  vmm::Hypervisor* hypervisor = nullptr;  // of the manifest, else of the source
};

Result<Context> Observe(const Deps& deps, std::shared_ptr<const crd::Snapshot> snapshot,
                        const SnapshotMemory& memory);

// Set when the spec asks for what this version does not support.
std::optional<Obstacle> Unsupported(const crd::SnapshotSpec& spec);

}  // namespace forkplane::snapshot
