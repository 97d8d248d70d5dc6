// Memory files: made, copied without their holes, sealed.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "drivers/template_holder.h"

namespace forkplane::storage {
namespace {

constexpr int kSeals = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

// Copies [start, end) of `from` to the same place of `to`.
Status CopyRange(int from, int to, off_t start, off_t end) {
  if (::lseek(to, start, SEEK_SET) < 0) return FromErrno(errno, "seek in the copy");
  while (start < end) {
    const ssize_t n = ::sendfile(to, from, &start, static_cast<std::size_t>(end - start));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return FromErrno(errno, "copy");
    if (n == 0) return Conflict("the source became shorter while it was copied");
  }
  return OkStatus();
}

}  // namespace

Result<UniqueFd> MakeMemfd(const std::string& name, std::uint64_t size_bytes) {
  UniqueFd fd(::memfd_create(name.c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd.valid()) return FromErrno(errno, "make memfd " + name);
  if (::ftruncate(fd.get(), static_cast<off_t>(size_bytes)) != 0) {
    return FromErrno(errno, "size memfd " + name);
  }
  return fd;
}

Result<std::uint64_t> CopySparse(int from, int to) {
  struct stat info {};
  if (::fstat(from, &info) != 0) return FromErrno(errno, "stat the source of a copy");
  if (::ftruncate(to, info.st_size) != 0) return FromErrno(errno, "size a copy");
  std::uint64_t copied = 0;
  for (off_t at = 0; at < info.st_size;) {
    const off_t data = ::lseek(from, at, SEEK_DATA);
    if (data < 0 && errno == ENXIO) break;  // only a hole is left
    if (data < 0) return FromErrno(errno, "find data");
    const off_t hole = ::lseek(from, data, SEEK_HOLE);
    if (hole < 0) return FromErrno(errno, "find a hole");
    RETURN_IF_ERROR(CopyRange(from, to, data, hole));
    copied += static_cast<std::uint64_t>(hole - data);
    at = hole;
  }
  return copied;
}

Status Seal(const UniqueFd& memfd) {
  if (::fcntl(memfd.get(), F_ADD_SEALS, kSeals) == 0) return OkStatus();
  if (errno == EBUSY) return Conflict("memory is still mapped writable: it cannot be sealed");
  return FromErrno(errno, "seal memory");
}

bool IsSealed(int fd) {
  const int seals = ::fcntl(fd, F_GET_SEALS);
  return seals >= 0 && (seals & F_SEAL_WRITE) != 0 && (seals & F_SEAL_SHRINK) != 0 &&
         (seals & F_SEAL_GROW) != 0;
}

Status FixSize(int fd) {
  constexpr int kFixed = F_SEAL_SHRINK | F_SEAL_GROW;
  // May be refused because it was sealed for good before: what it has now decides.
  static_cast<void>(::fcntl(fd, F_ADD_SEALS, kFixed));
  const int seals = ::fcntl(fd, F_GET_SEALS);
  if (seals >= 0 && (seals & kFixed) == kFixed) return OkStatus();
  return Conflict("memory's size cannot be fixed: it is no sealable memfd");
}

Result<UniqueFd> MakeFromFile(const std::string& name, int file) {
  ASSIGN_OR_RETURN(UniqueFd memfd, MakeMemfd(name, 0));
  RETURN_IF_ERROR(CopySparse(file, memfd.get()));
  RETURN_IF_ERROR(Seal(memfd));
  return memfd;
}

}  // namespace forkplane::storage
