// VirtualMachine (vm): one microVM. api.md is the reference; field meanings are in
// crd/schema/virtual_machine.yaml. Defaults here equal the schema's (a test holds it).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "controller/base/result.h"
#include "crd/condition.h"
#include "crd/enums.h"
#include "crd/json.h"
#include "crd/object_meta.h"
#include "crd/quantity.h"

namespace forkplane::crd {

inline constexpr std::string_view kGroup = "forkplane.dev";
inline constexpr std::string_view kVersion = "v1alpha1";
inline constexpr std::string_view kApiVersion = "forkplane.dev/v1alpha1";

enum class PowerState : std::uint8_t { kRunning, kStandby, kStopped };
FORKPLANE_API_ENUM(PowerState, "Running", "Standby", "Stopped");

// How the guest comes to its address: translated on the TAP, re-addressed by an agent, or
// unchanged.
enum class Identity : std::uint8_t { kTranslated, kGuest, kInherited };
FORKPLANE_API_ENUM(Identity, "Translated", "Guest", "Inherited");

enum class RestartPolicy : std::uint8_t { kAlways, kOnFailure, kNever };
FORKPLANE_API_ENUM(RestartPolicy, "Always", "OnFailure", "Never");

enum class RestartMode : std::uint8_t { kBoot, kRefork };
FORKPLANE_API_ENUM(RestartMode, "Boot", "Refork");

enum class AdmissionPolicy : std::uint8_t { kQueue, kFailFast };
FORKPLANE_API_ENUM(AdmissionPolicy, "Queue", "FailFast");

enum class VmPhase : std::uint8_t {
  kPending,
  kStarting,
  kRunning,
  kStandby,
  kStopped,
  kFailed,
  kTerminating,
};
FORKPLANE_API_ENUM(VmPhase, "Pending", "Starting", "Running", "Standby", "Stopped", "Failed",
                   "Terminating");

// Paths below the image roots.
struct Boot {
  std::string kernel;
  std::string initramfs;
  std::string cmdline;
  bool operator==(const Boot&) const = default;
};

struct Disk {
  std::string name;
  std::string image;  // path below the image roots
  bool read_only = false;
  bool root = false;
  bool operator==(const Disk&) const = default;
};

// Rates in bits per second on the wire, bursts in bytes. Absent: the Network's defaultBandwidth,
// and without that no bound of ours but the uplink's.
struct DownloadLimit {
  std::optional<Quantity> rate;
  std::optional<Quantity> burst;
  bool operator==(const DownloadLimit&) const = default;
};

struct UploadLimit {
  std::optional<Quantity> rate;  // guaranteed
  std::optional<Quantity> ceil;  // reachable while the uplink is free; absent: rate
  std::optional<Quantity> burst;
  bool operator==(const UploadLimit&) const = default;
};

struct Bandwidth {
  std::optional<DownloadLimit> download;
  std::optional<UploadLimit> upload;
  bool operator==(const Bandwidth&) const = default;
};

// Each part as `wanted` says, else as `otherwise` does; of a ceil only when the rate leaves it.
Bandwidth Merged(const std::optional<Bandwidth>& wanted, const std::optional<Bandwidth>& otherwise);

struct Interface {
  std::string name;
  std::string network;
  std::string ip;  // "": leased from the Network
  std::optional<Bandwidth> bandwidth;
  bool operator==(const Interface&) const = default;
};

struct Vsock {
  bool enabled = false;
  bool operator==(const Vsock&) const = default;
};

struct RestoreFrom {
  std::string snapshot_name;
  bool operator==(const RestoreFrom&) const = default;
};

struct VirtualMachineSpec {
  std::string host_name;  // "": any
  PowerState power_state = PowerState::kRunning;
  std::string hypervisor;  // "": the host's first usable
  std::int64_t cpus = 1;
  Quantity memory = Quantity::Of("256Mi");
  Boot boot;
  std::vector<Disk> disks;
  std::vector<Interface> interfaces = {{"eth0", "default", "", std::nullopt}};
  bool interfaces_absent = false;  // the object names none: then the one above
  Vsock vsock;
  std::optional<RestoreFrom> restore_from;
  Identity identity = Identity::kTranslated;
  std::optional<RestartPolicy> restart_policy;
  RestartMode restart_mode = RestartMode::kBoot;
  AdmissionPolicy admission_policy = AdmissionPolicy::kQueue;
  std::int64_t termination_grace_period_seconds = 10;

  // OnFailure, or Never for a restored VM: what holds when restart_policy is absent.
  RestartPolicy EffectiveRestartPolicy() const;
  // Those of its snapshot are still to be written into the spec, by the scheduler.
  bool AwaitsInterfaces() const { return interfaces_absent && restore_from.has_value(); }
  bool operator==(const VirtualMachineSpec&) const = default;
};

// Of one interface, as last observed in the kernel.
struct ObservedShaping {
  std::optional<DownloadLimit> download;
  std::optional<UploadLimit> upload;
  bool operator==(const ObservedShaping&) const = default;
};

struct InterfaceStatus {
  std::string name;
  std::string ip;
  std::string mac;  // outer
  std::string tap;
  std::string class_id;  // "7f00:12" on the IFB
  std::optional<ObservedShaping> shaping;
  bool operator==(const InterfaceStatus&) const = default;
};

struct VmmStatus {
  std::string version;
  std::int64_t pid = 0;
  std::string start_time;  // RFC 3339
  std::int64_t uid = 0;    // leased
  bool operator==(const VmmStatus&) const = default;
};

// Milliseconds; absent: that step did not happen. Of a VirtualMachine and of a Fork, whose total is
// that of its VirtualMachine and the capture.
struct Timings {
  std::optional<std::int64_t> capture;  // of a Fork whose source is a VirtualMachine
  std::optional<std::int64_t> slot_wait;
  std::optional<std::int64_t> network;
  std::optional<std::int64_t> spawn;
  std::optional<std::int64_t> load;
  std::optional<std::int64_t> resume;
  std::optional<std::int64_t> total;
  bool operator==(const Timings&) const = default;
};

struct SnapshotAliasStatus {
  std::string strategy;  // none, rewrite, mount
  std::string reason;
  bool operator==(const SnapshotAliasStatus&) const = default;
};

struct VirtualMachineStatus {
  std::int64_t observed_generation = 0;
  VmPhase phase = VmPhase::kPending;
  std::string hypervisor;          // of the machine there is, else of the next start
  std::int64_t cpus = 0;           // the same; 0: not known yet
  std::optional<Quantity> memory;  // the same: spec.memory rounded up to what the hypervisor takes
  std::vector<InterfaceStatus> interfaces;
  std::int64_t vsock_cid = 0;  // 0: none
  std::optional<VmmStatus> vmm;
  std::optional<Timings> timings;
  std::optional<SnapshotAliasStatus> snapshot_alias;
  Conditions conditions;
  bool operator==(const VirtualMachineStatus&) const = default;
};

struct VirtualMachine {
  static constexpr std::string_view kKind = "VirtualMachine";
  static constexpr std::string_view kPlural = "virtualmachines";
  static constexpr bool kNamespaced = true;

  ObjectMeta metadata;
  VirtualMachineSpec spec;
  VirtualMachineStatus status;

  // Invalid names the field ("spec.cpus: must be an integer"). Unknown fields are ignored: the
  // store has pruned them. apiVersion and kind are not looked at.
  static Result<VirtualMachine> FromJson(const Json& json);
  static Result<VirtualMachine> FromText(std::string_view text);
  // With apiVersion and kind. Empty strings, lists, maps and absent optionals are left out.
  Json ToJson() const;
  std::string ToText() const;
  bool operator==(const VirtualMachine&) const = default;
};

}  // namespace forkplane::crd
