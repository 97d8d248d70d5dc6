#include "reconcilers/virtual_machine/run_record.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "crd/json.h"
#include "crd/json_members.h"

namespace forkplane::virtual_machine {
namespace {

using crd::Json;
using std::chrono::milliseconds;

constexpr const char* kRunFile = "run.json";
constexpr const char* kStopFile = "stop.json";
constexpr const char* kExitFile = "exit.json";
constexpr std::size_t kBytesMax = std::size_t{64} * 1024;

Lookup<Json> ReadJson(storage::StorageDriver& storage, const std::string& uid, const char* name) {
  ASSIGN_OR_RETURN(const std::optional<std::string> text,
                   storage.ReadVmFileTail(uid, name, kBytesMax));
  if (!text) return std::optional<Json>();
  Result<Json> json = crd::ParseJson(*text);
  if (!json.ok() || !json->is_object()) {
    return Internal(fmt::format("read {} of {}: not a JSON object", name, uid));
  }
  return std::optional<Json>(std::move(json).value());
}

bool IsOf(const Json& json, const process::ProcessRecord& process) {
  const auto ticks = json.find("startTimeTicks");
  return crd::IntegerOf(json, "pid") == process.pid && ticks != json.end() &&
         ticks->is_number_integer() && ticks->get<std::uint64_t>() == process.start_ticks &&
         crd::TextOf(json, "bootID") == process.boot_id;
}

Json ExitJson(const ledger::VmmRecord& record) {
  return {{"format", 1},
          {"reason", "GuestShutdown"},
          {"pid", record.pid},
          {"startTimeTicks", record.start_time_ticks},
          {"bootID", record.boot_id}};
}

}  // namespace

Lookup<RunRecord> ReadRun(storage::StorageDriver& storage, const std::string& uid) {
  ASSIGN_OR_RETURN(const std::optional<Json> json, ReadJson(storage, uid, kRunFile));
  if (!json) return std::optional<RunRecord>();
  if (crd::IntegerOf(*json, "format") != 1) {
    return Internal(fmt::format("read {} of {}: unknown format", kRunFile, uid));
  }
  RunRecord record;
  const auto boots = json->find("boots");
  record.boots = boots != json->end() && boots->is_boolean() && boots->get<bool>();
  record.hypervisor = crd::TextOf(*json, "hypervisor");
  record.cpus = crd::IntegerOf(*json, "cpus");
  record.memory_bytes = crd::IntegerOf(*json, "memoryBytes");
  record.boot = {crd::TextOf(*json, "kernel"), crd::TextOf(*json, "initramfs"),
                 crd::TextOf(*json, "cmdline")};
  return std::optional<RunRecord>(std::move(record));
}

Status WriteRunRecord(storage::StorageDriver& storage, const std::string& uid,
                      const RunRecord& record) {
  const Json json = {{"format", 1},
                     {"boots", record.boots},
                     {"hypervisor", record.hypervisor},
                     {"cpus", record.cpus},
                     {"memoryBytes", record.memory_bytes},
                     {"kernel", record.boot.kernel},
                     {"initramfs", record.boot.initramfs},
                     {"cmdline", record.boot.cmdline}};
  return storage.WriteVmFile(uid, kRunFile, crd::DumpJson(json));
}

Result<bool> ReadExitedClean(storage::StorageDriver& storage, const std::string& uid,
                             const ledger::VmmRecord& record) {
  ASSIGN_OR_RETURN(const std::optional<Json> json, ReadJson(storage, uid, kExitFile));
  return json && *json == ExitJson(record);
}

Status WriteExitedClean(storage::StorageDriver& storage, const std::string& uid,
                        const ledger::VmmRecord& record) {
  return storage.WriteVmFile(uid, kExitFile, crd::DumpJson(ExitJson(record)));
}

Lookup<MonotonicTime> ReadStop(storage::StorageDriver& storage, const std::string& uid,
                               const process::ProcessRecord& process) {
  ASSIGN_OR_RETURN(const std::optional<Json> json, ReadJson(storage, uid, kStopFile));
  if (!json || !IsOf(*json, process)) return std::optional<MonotonicTime>();
  return std::optional(MonotonicTime(milliseconds(crd::IntegerOf(*json, "begunMonotonicMs"))));
}

Status WriteStop(storage::StorageDriver& storage, const std::string& uid,
                 const process::ProcessRecord& process, MonotonicTime begun) {
  const auto since = std::chrono::floor<milliseconds>(begun.time_since_epoch());
  const Json json = {{"format", 1},
                     {"pid", process.pid},
                     {"startTimeTicks", process.start_ticks},
                     {"bootID", process.boot_id},
                     {"begunMonotonicMs", since.count()}};
  return storage.WriteVmFile(uid, kStopFile, crd::DumpJson(json));
}

std::vector<std::string> Differences(const RunRecord& running, const crd::VirtualMachineSpec& spec,
                                     std::uint64_t memory_bytes) {
  std::vector<std::string> fields;
  if (running.cpus != spec.cpus) {
    fields.push_back(fmt::format("spec.cpus ({}, running with {})", spec.cpus, running.cpus));
  }
  if (static_cast<std::uint64_t>(running.memory_bytes) != memory_bytes) {
    fields.push_back(fmt::format("spec.memory ({}, running with {})", spec.memory.Text(),
                                 crd::Quantity::FromBytes(running.memory_bytes).Text()));
  }
  // A restored machine did not boot, so spec.boot describes only its next start.
  if (running.boots && running.boot != spec.boot) fields.emplace_back("spec.boot");
  return fields;
}

}  // namespace forkplane::virtual_machine
