// The bytes of a snapshot's manifest.json (docs/formats.md).
#pragma once

#include <string>

#include "drivers/storage_driver.h"

namespace forkplane::storage {

std::string ManifestToJson(const SnapshotManifest& manifest);
// Internal, with the reason, for anything this version cannot understand.
Result<SnapshotManifest> ManifestFromJson(const std::string& text);

}  // namespace forkplane::storage
