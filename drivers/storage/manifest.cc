#include "drivers/storage/manifest.h"

#include <nlohmann/json.hpp>

namespace forkplane::storage {
namespace {

using Json = nlohmann::json;

constexpr int kFormat = 1;

SnapshotManifest Read(const Json& json) {
  SnapshotManifest manifest;
  manifest.format = json.at("format").get<int>();
  manifest.uid = json.at("uid").get<std::string>();
  manifest.source_uid = json.at("sourceUID").get<std::string>();
  manifest.parent = json.value("parent", "");
  manifest.hypervisor = json.at("hypervisor").get<std::string>();
  manifest.hypervisor_version = json.at("hypervisorVersion").get<std::string>();
  manifest.state_format = json.at("stateFormat").get<std::string>();
  manifest.cpus = json.at("cpus").get<int>();
  manifest.memory_bytes = json.at("memoryBytes").get<std::uint64_t>();
  manifest.created = json.at("created").get<std::string>();
  for (const Json& item : json.at("devices")) {
    manifest.devices.push_back({item.at("kind").get<std::string>(),
                                item.at("id").get<std::string>(), item.value("detail", "")});
  }
  if (json.contains("network")) {
    const Json& network = json.at("network");
    manifest.network =
        SnapshotNetwork{network.at("cidr").get<std::string>(),
                        network.at("gateway").get<std::string>(), network.at("mtu").get<int>()};
  }
  for (const Json& item : json.at("files")) {
    manifest.files.push_back({item.at("name").get<std::string>(),
                              item.at("sizeBytes").get<std::uint64_t>(),
                              item.at("sha256").get<std::string>()});
  }
  return manifest;
}

}  // namespace

std::string ManifestToJson(const SnapshotManifest& manifest) {
  Json json = {{"format", manifest.format},
               {"uid", manifest.uid},
               {"sourceUID", manifest.source_uid},
               {"hypervisor", manifest.hypervisor},
               {"hypervisorVersion", manifest.hypervisor_version},
               {"stateFormat", manifest.state_format},
               {"cpus", manifest.cpus},
               {"memoryBytes", manifest.memory_bytes},
               {"created", manifest.created},
               {"devices", Json::array()},
               {"files", Json::array()}};
  if (!manifest.parent.empty()) json["parent"] = manifest.parent;
  for (const SnapshotDevice& device : manifest.devices) {
    json["devices"].push_back(
        {{"kind", device.kind}, {"id", device.id}, {"detail", device.detail}});
  }
  if (manifest.network.has_value()) {
    json["network"] = {{"cidr", manifest.network->cidr},
                       {"gateway", manifest.network->gateway},
                       {"mtu", manifest.network->mtu}};
  }
  for (const SnapshotFile& file : manifest.files) {
    json["files"].push_back(
        {{"name", file.name}, {"sizeBytes", file.size_bytes}, {"sha256", file.sha256}});
  }
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

Result<SnapshotManifest> ManifestFromJson(const std::string& text) {
  try {
    SnapshotManifest manifest = Read(Json::parse(text));
    if (manifest.format != kFormat) {
      return Internal(fmt::format("snapshot manifest has format {}, this version reads {}",
                                  manifest.format, kFormat));
    }
    return manifest;
  } catch (const Json::exception& e) {
    return Internal(std::string("snapshot manifest: ") + e.what());
  }
}

}  // namespace forkplane::storage
