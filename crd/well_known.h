// Names that our loops write into objects of others, each in one place: finalizers, annotations,
// labels. Clients may rely on them.
#pragma once

#include <string_view>

namespace forkplane::crd {

// On a VirtualMachine from when it is bound: its host may hold things of it.
inline constexpr std::string_view kVmFinalizer = "forkplane.dev/virtual-machine";
inline constexpr std::string_view kSnapshotFinalizer = "forkplane.dev/snapshot";

// On a VirtualMachine made by a Fork: the uid of the Snapshot its restoreFrom means. A namesake
// made later is another state.
inline constexpr std::string_view kSnapshotUidAnnotation = "forkplane.dev/snapshot-uid";

// On the Forks of a ForkSet: its name, and of which template they are.
inline constexpr std::string_view kForkSetLabel = "forkplane.dev/fork-set";
inline constexpr std::string_view kTemplateHashLabel = "forkplane.dev/template-hash";

// On a Fork made by a ForkSet and on a VirtualMachine made by a Fork: what was last taken from the
// template (applied_template.h).
inline constexpr std::string_view kAppliedTemplateAnnotation = "forkplane.dev/applied-template";

// Behind the name of a Fork or ForkSet: the Snapshot that is taken of its source.
inline constexpr std::string_view kSourceSuffix = "-source";

}  // namespace forkplane::crd
