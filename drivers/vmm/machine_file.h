// `machine.json` of a VM directory: what a driver must know about a machine it did not start
// itself. Written before the process begins; root's, 0600 (docs/formats.md).
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "controller/base/result.h"

namespace forkplane::vmm {

struct MachineFile {
  int format = 1;
  std::string uid;
  std::string hypervisor;
  std::string version;
  std::string state_format;
  bool restored = false;
  int cpus = 1;
  std::uint64_t memory_bytes = 0;
  int memory_fd = -1;  // descriptor number inside the VMM process
  std::vector<std::pair<std::string, std::string>> interfaces;  // name, inner MAC
  bool operator==(const MachineFile&) const = default;
};

Status WriteMachineFile(const std::string& directory, const MachineFile& machine);
// NotFound: no machine was ever launched there. Internal: unreadable.
Result<MachineFile> ReadMachineFile(const std::string& directory);

// At most `lines_max` last lines of a file in the directory, made printable and cut to 256 bytes
// each; empty when absent.
std::vector<std::string> TailLines(const std::string& directory, const std::string& name,
                                   std::size_t lines_max);

}  // namespace forkplane::vmm
