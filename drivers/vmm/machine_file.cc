#include "drivers/vmm/machine_file.h"
#include "controller/base/whole_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "controller/base/foreign_text.h"
#include "drivers/storage/beneath.h"

namespace forkplane::vmm {
namespace {

using Json = nlohmann::json;

constexpr char kName[] = "machine.json";
constexpr int kFormat = 1;
constexpr std::size_t kFileBytesMax = 1U << 20U;
constexpr std::size_t kTailBytes = 16384;
// An error quotes ten lines of two files; an Event must hold a few beside its message.
constexpr std::size_t kLineBytesMax = 256;

MachineFile Read(const Json& json) {
  MachineFile machine;
  machine.format = json.at("format").get<int>();
  machine.uid = json.at("uid").get<std::string>();
  machine.hypervisor = json.at("hypervisor").get<std::string>();
  machine.version = json.at("version").get<std::string>();
  machine.state_format = json.at("stateFormat").get<std::string>();
  machine.restored = json.at("restored").get<bool>();
  machine.cpus = json.at("cpus").get<int>();
  machine.memory_bytes = json.at("memoryBytes").get<std::uint64_t>();
  machine.memory_fd = json.at("memoryFd").get<int>();
  for (const Json& item : json.at("interfaces")) {
    machine.interfaces.emplace_back(item.at("name").get<std::string>(),
                                    item.at("mac").get<std::string>());
  }
  return machine;
}

// A guest writes what it likes to its console: only printable ASCII goes on into events and logs.
std::string Printable(std::string_view line) {
  std::string text;
  for (const char c : line) {
    if (c == '\t') text += ' ';
    if (c >= ' ' && c <= '~') text += c;
  }
  return CleanForeignText(text, kLineBytesMax);
}

}  // namespace

Status WriteMachineFile(const std::string& directory, const MachineFile& machine) {
  Json json = {{"format", machine.format},
               {"uid", machine.uid},
               {"hypervisor", machine.hypervisor},
               {"version", machine.version},
               {"stateFormat", machine.state_format},
               {"restored", machine.restored},
               {"cpus", machine.cpus},
               {"memoryBytes", machine.memory_bytes},
               {"memoryFd", machine.memory_fd},
               {"interfaces", Json::array()}};
  for (const auto& [name, mac] : machine.interfaces) {
    json["interfaces"].push_back({{"name", name}, {"mac", mac}});
  }
  ASSIGN_OR_RETURN(const UniqueFd fd, storage::OpenDirectory(directory));
  // Not synced: every fork would wait for it, and a power cut that takes it takes the VMM too.
  return storage::WriteAtomically(
      fd.get(), kName, json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n", 0600,
      /*durable=*/false);
}

Result<MachineFile> ReadMachineFile(const std::string& directory) {
  ASSIGN_OR_RETURN(const UniqueFd root, storage::OpenDirectory(directory));
  ASSIGN_OR_RETURN(const UniqueFd file,
                   storage::OpenBeneath(root.get(), kName, O_RDONLY | O_NOFOLLOW));
  ASSIGN_OR_RETURN(const std::string text, ReadAll(file.get(), kFileBytesMax, kName));
  try {
    MachineFile machine = Read(Json::parse(text));
    if (machine.format != kFormat) return Internal("machine.json has another format");
    return machine;
  } catch (const Json::exception& e) {
    return Internal("machine.json in " + directory + ": " + e.what());
  }
}

std::vector<std::string> TailLines(const std::string& directory, const std::string& name,
                                   std::size_t lines_max) {
  auto root = storage::OpenDirectory(directory);
  if (!root.ok()) return {};
  auto file = storage::OpenBeneath(root->get(), name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  struct stat info {};
  if (!file.ok() || ::fstat(file->get(), &info) != 0 || !S_ISREG(info.st_mode)) return {};
  const off_t start = std::max<off_t>(0, info.st_size - static_cast<off_t>(kTailBytes));
  std::string text(kTailBytes, '\0');
  const ssize_t n = ::pread(file->get(), text.data(), text.size(), start);
  text.resize(static_cast<std::size_t>(std::max<ssize_t>(n, 0)));
  std::vector<std::string> lines;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    std::string line = Printable(std::string_view(text).substr(at, end - at));
    if (!line.empty()) lines.push_back(std::move(line));
    at = end + 1;
  }
  if (lines.size() > lines_max) {
    lines.erase(lines.begin(), lines.end() - static_cast<std::ptrdiff_t>(lines_max));
  }
  return lines;
}

}  // namespace forkplane::vmm
