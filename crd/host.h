// Host, cluster-scoped: one machine that runs VMs; `serve` makes its own.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "controller/base/result.h"
#include "crd/virtual_machine.h"

namespace forkplane::crd {

enum class Drain : std::uint8_t { kNone, kStandby, kStop };
FORKPLANE_API_ENUM(Drain, "None", "Standby", "Stop");

struct WarmSlots {
  std::string snapshot_namespace = "default";
  std::string snapshot_name;
  std::int64_t count = 1;
  bool operator==(const WarmSlots&) const = default;
};

// Bits per second; absent: the link's speed, and 100G with condition CapacityUnknown without one.
struct UplinkCapacity {
  std::optional<Quantity> upload;
  std::optional<Quantity> download;
  bool operator==(const UplinkCapacity&) const = default;
};

struct HostUplink {
  std::string interface;
  std::optional<UplinkCapacity> capacity;
  bool operator==(const HostUplink&) const = default;
};

// Promised over present.
struct Overcommit {
  std::optional<double> cpu;     // absent: not bounded
  std::optional<double> memory;  // absent: not bounded
  double network = 1;
  bool operator==(const Overcommit&) const = default;
};

struct HostSpec {
  bool unschedulable = false;
  Drain drain = Drain::kNone;
  std::map<std::string, std::int64_t> max_concurrent_restores;  // by hypervisor
  std::vector<WarmSlots> warm;
  std::vector<HostUplink> uplinks;
  Overcommit overcommit;
  std::map<std::string, bool> features;

  // Takes no machine that is not bound to it yet.
  bool TakesMachines() const { return !unschedulable && drain == Drain::kNone; }
  bool operator==(const HostSpec&) const = default;
};

using ResourceMap = std::map<std::string, Quantity>;  // cpu, memory, upload, download

struct HypervisorStatus {
  std::string name;
  std::string version;
  std::vector<std::string> capabilities;
  bool operator==(const HypervisorStatus&) const = default;
};

struct RestoreSlots {
  std::int64_t in_use = 0;
  std::int64_t total = 0;
  std::int64_t waiting = 0;
  std::int64_t oldest_wait_seconds = 0;
  bool operator==(const RestoreSlots&) const = default;
};

// Percent of the last 10 s in which some task waited (PSI avg10).
struct HostPressure {
  double cpu = 0;
  double memory = 0;
  double io = 0;
  bool operator==(const HostPressure&) const = default;
};

// What the kernel offers and which path was chosen.
struct KernelStatus {
  std::string version;
  std::map<std::string, bool> features;
  std::string redirect;  // bpf, mirred, mark
  std::string leaf;      // fq_codel, bfifo
  bool operator==(const KernelStatus&) const = default;
};

struct HostStatus {
  std::int64_t observed_generation = 0;
  ResourceMap capacity;
  ResourceMap allocatable;
  ResourceMap allocated;
  std::vector<HypervisorStatus> hypervisors;
  std::optional<RestoreSlots> restore_slots;
  std::optional<HostPressure> pressure;
  std::optional<KernelStatus> kernel;
  Conditions conditions;
  bool operator==(const HostStatus&) const = default;
};

struct Host {
  static constexpr std::string_view kKind = "Host";
  static constexpr std::string_view kPlural = "hosts";
  static constexpr bool kNamespaced = false;

  ObjectMeta metadata;
  HostSpec spec;
  HostStatus status;

  static Result<Host> FromJson(const Json& json);  // see VirtualMachine
  static Result<Host> FromText(std::string_view text);
  Json ToJson() const;
  std::string ToText() const;
  bool operator==(const Host&) const = default;
};

}  // namespace forkplane::crd
