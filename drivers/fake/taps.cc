#include <sys/eventfd.h>

#include <cerrno>

#include "drivers/fake/drivers.h"

namespace forkplane::fake {
namespace {

using drivers::LinkKind;
using drivers::TapFile;
using drivers::TapSpec;

Status CheckNumber(std::uint32_t number) {
  if (IsInterfaceNumber(number)) return OkStatus();
  return Invalid(fmt::format("TAP number {:#x}: out of range", number));
}

// The device of `spec` behind a detached file.
Status AttachTap(State& state, const TapSpec& spec, const TunFilePtr& file) {
  if (file->number != 0) return Exists("create TAP: the file is attached already");
  drivers::Link link;
  link.index = TapIndex(spec.number);
  link.name = TapName(spec.number);
  link.kind = LinkKind::kTap;
  link.alias = spec.alias;
  link.mtu = kMtuDefault;
  link.mac = drivers::TapMac(spec.number);
  link.queue_length = kIfbQueueLength;
  RETURN_IF_ERROR(AddLink(state, link));
  file->number = spec.number;
  return OkStatus();
}

// The one file of a process that is attached to `number` (0: detached).
Result<TunFilePtr> FileOf(const State& state, pid_t pid, std::uint32_t number) {
  std::set<TunFilePtr> found;
  const auto process = state.processes.find(pid);
  if (process != state.processes.end()) {
    for (const TunFilePtr& file : process->second) {
      if (file->number == number) found.insert(file);
    }
  }
  if (found.empty()) return NotFound(fmt::format("process {}: no such tun file", pid));
  if (found.size() > 1) return Conflict(fmt::format("process {}: several tun files", pid));
  return *found.begin();
}

}  // namespace

Result<TapFile> FakeTapDriver::ObserveFile(std::uint32_t number) {
  return kernel_.Change([&](State& state) -> Result<TapFile> {
    const auto kept = state.kept.find(number);
    if (kept == state.kept.end()) return TapFile::kNone;
    return kept->second->number == number ? TapFile::kAttached : TapFile::kDetached;
  });
}

Status FakeTapDriver::Create(const TapSpec& spec) {
  RETURN_IF_ERROR(CheckNumber(spec.number));
  return kernel_.Change([&](State& state) -> Status {
    const auto file = std::make_shared<TunFile>();
    RETURN_IF_ERROR(AttachTap(state, spec, file));
    state.kept[spec.number] = file;
    return OkStatus();
  });
}

Result<UniqueFd> FakeTapDriver::Dup(std::uint32_t number) {
  const bool held = kernel_.Change([&](State& state) { return state.kept.contains(number); });
  if (!held) return NotFound(fmt::format("file of {}: none held", TapName(number)));
  UniqueFd fd(eventfd(0, EFD_CLOEXEC));  // something that can be passed on and closed
  if (!fd.valid()) return FromErrno(errno, "eventfd");
  return fd;
}

Status FakeTapDriver::Adopt(std::uint32_t number, pid_t pid) {
  RETURN_IF_ERROR(CheckNumber(number));
  return kernel_.Change([&](State& state) -> Status {
    ASSIGN_OR_RETURN(const TunFilePtr file, FileOf(state, pid, number));
    state.kept[number] = file;
    return OkStatus();
  });
}

Status FakeTapDriver::Reattach(const TapSpec& spec, pid_t pid) {
  RETURN_IF_ERROR(CheckNumber(spec.number));
  return kernel_.Change([&](State& state) -> Status {
    const auto kept = state.kept.find(spec.number);
    TunFilePtr file = kept == state.kept.end() ? nullptr : kept->second;
    if (file == nullptr) {
      if (Find(state, TapIndex(spec.number)) != nullptr) return Exists("reattach: it is there");
      if (pid <= 0) return NotFound("reattach: no file");
      ASSIGN_OR_RETURN(file, FileOf(state, pid, 0));
    }
    RETURN_IF_ERROR(AttachTap(state, spec, file));
    state.kept[spec.number] = file;
    return OkStatus();
  });
}

Status FakeTapDriver::Forget(std::uint32_t number) {
  return kernel_.Change([&](State& state) -> Status {
    state.kept.erase(number);
    SweepTaps(state);
    return OkStatus();
  });
}

Status FakeTapDriver::Delete(std::uint32_t number) {
  RETURN_IF_ERROR(CheckNumber(number));
  return kernel_.Change([&](State& state) -> Status {
    Status status = RemoveLink(state, TapIndex(number));
    state.kept.erase(number);
    return status;
  });
}

}  // namespace forkplane::fake
