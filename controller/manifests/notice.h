// What the directory source tells people: each becomes an Event, at the object it is about or, when
// it is about files, at this Host. The reasons of holds become those of the Host's condition
// ManifestsHeld. All are explained in docs/conditions.md.
#pragma once

#include <string>

#include "controller/store/object.h"

namespace forkplane::manifests {

namespace reason {
// Events.
inline constexpr const char* kManifestRefused = "ManifestRefused";
inline constexpr const char* kReverted = "Reverted";
inline constexpr const char* kPruned = "Pruned";
inline constexpr const char* kDisowned = "Disowned";
inline constexpr const char* kPruningHeld = "PruningHeld";
// Holds of a whole pass: they end when their cause does.
inline constexpr const char* kRecordUnreadable = "RecordUnreadable";
inline constexpr const char* kDocumentRefused = "DocumentRefused";
inline constexpr const char* kGitOperation = "GitOperation";
inline constexpr const char* kNotApplied = "NotApplied";
inline constexpr const char* kSettling = "Settling";
// Holds of single objects: they end when the object is back in the directory, or by a word of an
// operator. In the order in which they are told.
inline constexpr const char* kRootReplaced = "RootReplaced";
inline constexpr const char* kOtherDirectory = "OtherDirectory";
inline constexpr const char* kDirectoryEmptied = "DirectoryEmptied";
inline constexpr const char* kFileWithoutObjects = "FileWithoutObjects";
inline constexpr const char* kFileCut = "FileCut";
inline constexpr const char* kContentOfOthers = "ContentOfOthers";
inline constexpr const char* kTooManyToPrune = "TooManyToPrune";
}  // namespace reason

struct Notice {
  bool warning = true;
  std::string reason;
  std::string message;
  store::ObjectPtr about = nullptr;  // null: this Host
};

// Why something is not pruned.
struct Hold {
  std::string reason;
  std::string message;
  bool operator==(const Hold&) const = default;
};

}  // namespace forkplane::manifests
