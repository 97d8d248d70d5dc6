#include "drivers/netlink/tap.h"

#include <fcntl.h>

#include <cerrno>

#include "controller/base/network_names.h"
#include "drivers/netlink/link.h"
#include "drivers/netlink/tun_file.h"

namespace forkplane::netlink {
namespace {

using drivers::TapFile;
using drivers::TapSpec;

Status CheckNumber(std::uint32_t number) {
  if (IsInterfaceNumber(number)) return OkStatus();
  return Invalid(fmt::format("TAP number {:#x}: out of range", number));
}

Result<UniqueFd> Duplicate(int fd) {
  UniqueFd copy(fcntl(fd, F_DUPFD_CLOEXEC, 0));
  if (!copy.valid()) return FromErrno(errno, "duplicate a tun file");
  return copy;
}

}  // namespace

Result<std::unique_ptr<NetlinkTapDriver>> NetlinkTapDriver::Open() {
  ASSIGN_OR_RETURN(Socket socket, Socket::Open());
  return std::unique_ptr<NetlinkTapDriver>(new NetlinkTapDriver(std::move(socket)));
}

Result<UniqueFd> NetlinkTapDriver::Kept(std::uint32_t number) {
  const MutexLock lock(mutex_);
  const auto file = files_.find(number);
  if (file == files_.end()) return UniqueFd();
  return Duplicate(file->second.get());
}

UniqueFd NetlinkTapDriver::Keep(std::uint32_t number, UniqueFd file) {
  const MutexLock lock(mutex_);
  return std::exchange(files_[number], std::move(file));
}

Result<TapFile> NetlinkTapDriver::ObserveFile(std::uint32_t number) {
  ASSIGN_OR_RETURN(const UniqueFd file, Kept(number));
  if (!file.valid()) return TapFile::kNone;
  ASSIGN_OR_RETURN(const std::string device, AttachedTo(file.get()));
  // A renamed device is not the one we promised.
  return device == TapName(number) ? TapFile::kAttached : TapFile::kDetached;
}

Status NetlinkTapDriver::Create(const TapSpec& spec) {
  RETURN_IF_ERROR(CheckNumber(spec.number));
  ASSIGN_OR_RETURN(UniqueFd file, OpenTun());
  RETURN_IF_ERROR(AttachTap(file.get(), spec));
  Keep(spec.number, std::move(file));
  return SetLinkAlias(socket_, TapIndex(spec.number), spec.alias);
}

Result<UniqueFd> NetlinkTapDriver::Dup(std::uint32_t number) {
  ASSIGN_OR_RETURN(UniqueFd file, Kept(number));
  if (file.valid()) return file;
  return NotFound(fmt::format("file of {}: this process holds none", TapName(number)));
}

Status NetlinkTapDriver::Adopt(std::uint32_t number, pid_t pid) {
  RETURN_IF_ERROR(CheckNumber(number));
  ASSIGN_OR_RETURN(UniqueFd file, FindTunFile(pid, TapName(number)));
  Keep(number, std::move(file));
  return OkStatus();
}

Status NetlinkTapDriver::Reattach(const TapSpec& spec, pid_t pid) {
  RETURN_IF_ERROR(CheckNumber(spec.number));
  ASSIGN_OR_RETURN(UniqueFd file, Kept(spec.number));
  if (!file.valid()) {
    // Without a kept file we must not take another TAP's: its device must really be gone.
    ASSIGN_OR_RETURN(const auto link, ObserveLink(socket_, TapIndex(spec.number)));
    if (link) return Exists(fmt::format("reattach {}: it is there", link->name));
    if (pid <= 0) return NotFound(fmt::format("reattach {:#x}: no file", spec.number));
    ASSIGN_OR_RETURN(file, FindTunFile(pid, {}));
  }
  RETURN_IF_ERROR(AttachTap(file.get(), spec));
  Keep(spec.number, std::move(file));
  return SetLinkAlias(socket_, TapIndex(spec.number), spec.alias);
}

Status NetlinkTapDriver::Forget(std::uint32_t number) {
  UniqueFd file;
  {
    const MutexLock lock(mutex_);
    const auto kept = files_.find(number);
    if (kept == files_.end()) return OkStatus();
    file = std::move(kept->second);
    files_.erase(kept);
  }
  file.Reset();  // may wait 20 ms: not under the lock
  return OkStatus();
}

Status NetlinkTapDriver::Delete(std::uint32_t number) {
  RETURN_IF_ERROR(CheckNumber(number));
  Status status = DeleteLink(TapIndex(number));
  if (!status.ok() && status.error().code != Code::kNotFound) return status;
  RETURN_IF_ERROR(Forget(number));
  return status;
}

}  // namespace forkplane::netlink
