// The file "machine.json" of a snapshot: what a fork repeats and a person wants to know, kept with
// the memory it describes. The Snapshot's status is made from it, also after the source is gone.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "controller/base/result.h"
#include "crd/snapshot.h"
#include "drivers/storage_driver.h"

namespace forkplane::snapshot {

struct Description {
  crd::SnapshotMachine machine;
  std::int64_t pause_milliseconds = 0;
};

Status WriteDescription(storage::StorageDriver& storage, const storage::SnapshotStage& stage,
                        const Description& description);
// Internal: the snapshot is there and the file cannot be read.
Result<Description> ReadDescription(storage::StorageDriver& storage, const std::string& uid);

// "sha256:" over name, size and digest of every file.
std::string DigestOf(const storage::SnapshotManifest& manifest);

}  // namespace forkplane::snapshot
