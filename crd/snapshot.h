// Snapshot (vmsnap): memory, device state and disks of a VM at one instant; spec is immutable.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "controller/base/result.h"
#include "crd/virtual_machine.h"

namespace forkplane::crd {

enum class SnapshotType : std::uint8_t { kFull, kDiff };
FORKPLANE_API_ENUM(SnapshotType, "Full", "Diff");

enum class SnapshotPhase : std::uint8_t { kPending, kCapturing, kReady, kFailed };
FORKPLANE_API_ENUM(SnapshotPhase, "Pending", "Capturing", "Ready", "Failed");

// The inner identity an imported guest was captured with.
struct ImportedInterface {
  std::string name;
  std::string mac;
  std::string ip;
  bool operator==(const ImportedInterface&) const = default;
};

struct SnapshotImport {
  std::string path;  // below the import roots
  std::vector<ImportedInterface> interfaces;
  bool operator==(const SnapshotImport&) const = default;
};

// Exactly one of the two (a native rule).
struct SnapshotSource {
  std::string virtual_machine_name;
  std::optional<SnapshotImport> import;
  bool operator==(const SnapshotSource&) const = default;
};

struct SnapshotSpec {
  SnapshotSource source;
  SnapshotType type = SnapshotType::kFull;
  bool memory = true;
  bool operator==(const SnapshotSpec&) const = default;
};

// Bytes on disk.
struct SnapshotSize {
  std::int64_t memory = 0;
  std::int64_t state = 0;
  std::int64_t disk = 0;
  bool operator==(const SnapshotSize&) const = default;
};

// Of the Network it was taken on: a fork elsewhere needs the same.
struct SnapshotNetwork {
  std::string cidr;
  std::string gateway;
  std::int64_t mtu = 0;
  bool operator==(const SnapshotNetwork&) const = default;
};

struct MachineInterface {
  std::string name;
  std::string network;
  std::optional<Bandwidth> bandwidth;  // absent: the Network's
  bool operator==(const MachineInterface&) const = default;
};

// The machine as captured: what a fork repeats, also after the source VM is gone.
struct SnapshotMachine {
  std::int64_t cpus = 1;
  Quantity memory;
  Boot boot;
  std::vector<Disk> disks;
  std::vector<MachineInterface> interfaces;
  Vsock vsock;
  std::optional<std::int64_t> termination_grace_period_seconds;  // absent: not captured
  bool operator==(const SnapshotMachine&) const = default;
};

struct SnapshotHost {
  std::string name;
  std::string state;
  bool operator==(const SnapshotHost&) const = default;
};

struct SnapshotStatus {
  std::int64_t observed_generation = 0;
  SnapshotPhase phase = SnapshotPhase::kPending;
  std::optional<SnapshotSize> size;
  std::optional<std::int64_t> pause_milliseconds;
  std::string hypervisor;
  std::string hypervisor_version;
  std::string state_format;
  std::optional<SnapshotNetwork> network;
  std::optional<SnapshotMachine> machine;
  std::string parent;
  std::string digest;  // "sha256:..."
  std::vector<SnapshotHost> hosts;
  std::vector<std::string> used_by;  // "Fork/a", "VirtualMachine/b"
  Conditions conditions;
  bool operator==(const SnapshotStatus&) const = default;
};

struct Snapshot {
  static constexpr std::string_view kKind = "Snapshot";
  static constexpr std::string_view kPlural = "snapshots";
  static constexpr bool kNamespaced = true;

  ObjectMeta metadata;
  SnapshotSpec spec;
  SnapshotStatus status;

  static Result<Snapshot> FromJson(const Json& json);  // see VirtualMachine
  static Result<Snapshot> FromText(std::string_view text);
  Json ToJson() const;
  std::string ToText() const;
  bool operator==(const Snapshot&) const = default;
};

}  // namespace forkplane::crd
