// Small files in the VM's directory, for what must be known after a restart of the daemon and is no
// lease: what was started (run.json), since when it is being stopped (stop.json) and how it ended
// (exit.json). Formats: docs/formats.md.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "controller/base/clock.h"
#include "controller/base/result.h"
#include "controller/ledger/records.h"
#include "crd/virtual_machine.h"
#include "drivers/process_driver.h"
#include "drivers/storage_driver.h"

namespace forkplane::virtual_machine {

struct RunRecord {
  bool boots = false;  // false: what runs was restored
  std::string hypervisor;
  std::int64_t cpus = 1;
  std::int64_t memory_bytes = 0;
  crd::Boot boot;
  bool operator==(const RunRecord&) const = default;
};

// Absent: none was written. Internal: it is there and cannot be read; never treated as absent.
Lookup<RunRecord> ReadRun(storage::StorageDriver& storage, const std::string& uid);
Status WriteRunRecord(storage::StorageDriver& storage, const std::string& uid,
                      const RunRecord& record);

// True when the process of `record` ended because its guest switched itself off.
Result<bool> ReadExitedClean(storage::StorageDriver& storage, const std::string& uid,
                             const ledger::VmmRecord& record);
Status WriteExitedClean(storage::StorageDriver& storage, const std::string& uid,
                        const ledger::VmmRecord& record);

// Since when `process` is being stopped; absent: it is not. Kept on disk, because a grace period
// that began anew with every daemon would never end under one that keeps crashing; and the clock is
// that of the boot, which a process never outlives.
Lookup<MonotonicTime> ReadStop(storage::StorageDriver& storage, const std::string& uid,
                               const process::ProcessRecord& process);
Status WriteStop(storage::StorageDriver& storage, const std::string& uid,
                 const process::ProcessRecord& process, MonotonicTime begun);

// Fields of the spec that differ from what runs: "spec.cpus (2, running with 1)". `memory_bytes`:
// what spec.memory comes to.
std::vector<std::string> Differences(const RunRecord& running, const crd::VirtualMachineSpec& spec,
                                     std::uint64_t memory_bytes);

}  // namespace forkplane::virtual_machine
