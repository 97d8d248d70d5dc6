// metav1.Condition and its rules (KEP-1623, kstatus): Ready is always there; Reconciling and
// Stalled only while true.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "controller/base/clock.h"
#include "crd/enums.h"

namespace forkplane::crd {

enum class ConditionStatus : std::uint8_t { kTrue, kFalse, kUnknown };
FORKPLANE_API_ENUM(ConditionStatus, "True", "False", "Unknown");

struct Condition {
  std::string type;
  ConditionStatus status = ConditionStatus::kUnknown;
  std::string reason;  // CamelCase, from docs/conditions.md
  std::string message;
  std::int64_t observed_generation = 0;
  std::string last_transition_time;  // RFC 3339
  bool operator==(const Condition&) const = default;
};

using Conditions = std::vector<Condition>;

// True or False, of the generation that is set later.
Condition MakeCondition(std::string_view type, bool yes, std::string reason,
                        std::string message = {});

const Condition* FindCondition(const Conditions& conditions, std::string_view type);
bool IsTrue(const Conditions& conditions, std::string_view type);

// Adds or replaces the condition of that type. lastTransitionTime is taken from `now` only when the
// status flips (or the condition is new); `wanted.last_transition_time` is ignored. A message over
// 32768 bytes is cut. False: nothing changed, and there is nothing to write.
bool SetCondition(Conditions& conditions, Condition wanted, WallTime now);
// True if it was there. For Reconciling, Stalled and others that exist only while true.
bool RemoveCondition(Conditions& conditions, std::string_view type);

// Condition types, spelled once: condition::kReady.
namespace condition {
inline constexpr std::string_view kReady = "Ready";
inline constexpr std::string_view kReconciling = "Reconciling";
inline constexpr std::string_view kStalled = "Stalled";
inline constexpr std::string_view kScheduled = "Scheduled";
inline constexpr std::string_view kSlotGranted = "SlotGranted";
inline constexpr std::string_view kNetworkReady = "NetworkReady";
inline constexpr std::string_view kNetworkShaped = "NetworkShaped";
inline constexpr std::string_view kRestored = "Restored";
inline constexpr std::string_view kRestartRequired = "RestartRequired";
inline constexpr std::string_view kNetworkLost = "NetworkLost";
inline constexpr std::string_view kNotUpdated = "NotUpdated";
inline constexpr std::string_view kCaptured = "Captured";
inline constexpr std::string_view kSourcePinned = "SourcePinned";
inline constexpr std::string_view kConflict = "Conflict";
inline constexpr std::string_view kForwardingBlocked = "ForwardingBlocked";
inline constexpr std::string_view kConnectionsBounded = "ConnectionsBounded";
inline constexpr std::string_view kSchedulable = "Schedulable";
inline constexpr std::string_view kDrained = "Drained";
inline constexpr std::string_view kPressure = "Pressure";
inline constexpr std::string_view kOrphansHeld = "OrphansHeld";
inline constexpr std::string_view kCapacityUnknown = "CapacityUnknown";
inline constexpr std::string_view kManifestsHeld = "ManifestsHeld";
}  // namespace condition

}  // namespace forkplane::crd
