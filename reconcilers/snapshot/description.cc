#include "reconcilers/snapshot/description.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <array>
#include <nlohmann/json.hpp>
#include <utility>

#include "controller/base/whole_file.h"
#include "crd/json.h"

namespace forkplane::snapshot {
namespace {

constexpr const char* kFile = "machine.json";
constexpr std::size_t kBytesMax = std::size_t{1024} * 1024;

}  // namespace

Status WriteDescription(storage::StorageDriver& storage, const storage::SnapshotStage& stage,
                        const Description& description) {
  crd::Snapshot carrier;
  carrier.status.machine = description.machine;
  carrier.status.pause_milliseconds = description.pause_milliseconds;
  ASSIGN_OR_RETURN(const UniqueFd fd, storage.CreateSnapshotFile(stage, kFile));
  return WriteAll(fd.get(), crd::DumpJson(carrier.ToJson()), kFile);
}

Result<Description> ReadDescription(storage::StorageDriver& storage, const std::string& uid) {
  ASSIGN_OR_RETURN(const UniqueFd fd, storage.OpenSnapshotFile(uid, kFile));
  ASSIGN_OR_RETURN(const std::string text, ReadAll(fd.get(), kBytesMax, kFile));
  Result<crd::Snapshot> carrier = crd::Snapshot::FromText(text);
  if (!carrier.ok() || !carrier->status.machine) {
    return Internal(fmt::format("read machine.json of snapshot {}: not a description", uid));
  }
  return Description{*carrier->status.machine, carrier->status.pause_milliseconds.value_or(0)};
}

std::string DigestOf(const storage::SnapshotManifest& manifest) {
  std::string lines;
  for (const storage::SnapshotFile& file : manifest.files) {
    lines += fmt::format("{} {} {}\n", file.name, file.size_bytes, file.sha256);
  }
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int length = 0;
  if (EVP_Digest(lines.data(), lines.size(), digest.data(), &length, EVP_sha256(), nullptr) != 1) {
    return {};
  }
  std::string text = "sha256:";
  for (unsigned int i = 0; i < length; ++i) text += fmt::format("{:02x}", digest[i]);
  return text;
}

}  // namespace forkplane::snapshot
