// Fork (fk): one clone of a VM or a Snapshot. It makes a VirtualMachine with spec.restoreFrom.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "controller/base/result.h"
#include "crd/virtual_machine.h"

namespace forkplane::crd {

enum class ForkSourceKind : std::uint8_t { kVirtualMachine, kSnapshot };
FORKPLANE_API_ENUM(ForkSourceKind, "VirtualMachine", "Snapshot");

enum class OnHostLost : std::uint8_t { kKeep, kRecreate };
FORKPLANE_API_ENUM(OnHostLost, "Keep", "Recreate");

struct ForkSource {
  ForkSourceKind kind = ForkSourceKind::kVirtualMachine;  // required by the schema
  std::string name;
  bool operator==(const ForkSource&) const = default;
};

// Differs from its source's interface of the same name.
struct InterfaceOverride {
  std::string name;
  std::optional<Bandwidth> bandwidth;
  bool operator==(const InterfaceOverride&) const = default;
};

// The VM fields in which a clone may differ; absent: as captured, or the VM's default.
struct VmOverrides {
  std::string host_name;
  std::vector<InterfaceOverride> interfaces;
  std::optional<Identity> identity;
  std::optional<RestartPolicy> restart_policy;
  std::optional<RestartMode> restart_mode;
  bool operator==(const VmOverrides&) const = default;
};

struct VmTemplate {
  TemplateMeta metadata;
  VmOverrides spec;
  bool operator==(const VmTemplate&) const = default;
};

struct ForkSpec {
  ForkSource source;
  PowerState target_state = PowerState::kRunning;
  VmTemplate vm_template;  // "template"
  AdmissionPolicy admission_policy = AdmissionPolicy::kQueue;
  std::optional<Duration> ttl;  // absent: for ever
  OnHostLost on_host_lost = OnHostLost::kKeep;
  bool operator==(const ForkSpec&) const = default;
};

struct ForkStatus {
  std::int64_t observed_generation = 0;
  std::string snapshot_name;
  std::string virtual_machine_name;
  std::optional<Timings> timings;
  Conditions conditions;
  bool operator==(const ForkStatus&) const = default;
};

struct Fork {
  static constexpr std::string_view kKind = "Fork";
  static constexpr std::string_view kPlural = "forks";
  static constexpr bool kNamespaced = true;

  ObjectMeta metadata;
  ForkSpec spec;
  ForkStatus status;

  static Result<Fork> FromJson(const Json& json);  // see VirtualMachine
  static Result<Fork> FromText(std::string_view text);
  Json ToJson() const;
  std::string ToText() const;
  bool operator==(const Fork&) const = default;
};

}  // namespace forkplane::crd
