#include "reconcilers/snapshot/description.h"

#include <fmt/format.h>
#include <openssl/evp.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <nlohmann/json.hpp>
#include <utility>

#include "crd/json.h"

namespace forkplane::snapshot {
namespace {

constexpr const char* kFile = "machine.json";
constexpr std::size_t kBytesMax = std::size_t{1024} * 1024;

Status WriteAll(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(fd, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return FromErrno(errno, "write machine.json");
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  return OkStatus();
}

Result<std::string> ReadAll(int fd) {
  std::string text;
  std::array<char, 4096> buffer{};
  while (text.size() <= kBytesMax) {
    const ssize_t got = ::read(fd, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return FromErrno(errno, "read machine.json");
    if (got == 0) return text;
    text.append(buffer.data(), static_cast<std::size_t>(got));
  }
  return Internal("read machine.json: too large");
}

}  // namespace

Status WriteDescription(storage::StorageDriver& storage, const storage::SnapshotStage& stage,
                        const Description& description) {
  crd::Snapshot carrier;
  carrier.status.machine = description.machine;
  carrier.status.pause_milliseconds = description.pause_milliseconds;
  ASSIGN_OR_RETURN(const UniqueFd fd, storage.CreateSnapshotFile(stage, kFile));
  return WriteAll(fd.get(), crd::DumpJson(carrier.ToJson()));
}

Result<Description> ReadDescription(storage::StorageDriver& storage, const std::string& uid) {
  ASSIGN_OR_RETURN(const UniqueFd fd, storage.OpenSnapshotFile(uid, kFile));
  ASSIGN_OR_RETURN(const std::string text, ReadAll(fd.get()));
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
