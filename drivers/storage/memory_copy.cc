#include "drivers/storage/memory_copy.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <functional>

#include "drivers/template_holder.h"

namespace forkplane::storage {
namespace {

// Calls `visit` for each range that holds data; stops at its first error.
Status ForEachData(int fd, off_t size, const std::function<Status(off_t, off_t)>& visit) {
  for (off_t at = 0; at < size;) {
    const off_t data = ::lseek(fd, at, SEEK_DATA);
    if (data < 0 && errno == ENXIO) return OkStatus();
    if (data < 0) return FromErrno(errno, "find data in memory");
    off_t hole = ::lseek(fd, data, SEEK_HOLE);
    if (hole < 0) return FromErrno(errno, "find a hole in memory");
    hole = std::min(hole, size);
    RETURN_IF_ERROR(visit(data, hole - data));
    at = hole;
  }
  return OkStatus();
}

void* MapShared(int fd, std::size_t size, int protection) {
  void* at = ::mmap(nullptr, size, protection, MAP_SHARED, fd, 0);
  return at == MAP_FAILED ? nullptr : at;
}

}  // namespace

Result<MemoryCopy> MemoryCopy::Prepare(int source, std::uint64_t size_bytes) {
  ASSIGN_OR_RETURN(UniqueFd destination, MakeMemfd("forkplane-template", size_bytes));
  MemoryCopy copy(source, std::move(destination), static_cast<std::size_t>(size_bytes));
  RETURN_IF_ERROR(copy.Map());
  return copy;
}

Status MemoryCopy::Map() {
  from_ = static_cast<std::byte*>(MapShared(source_, size_, PROT_READ));
  to_ = static_cast<std::byte*>(MapShared(destination_.get(), size_, PROT_READ | PROT_WRITE));
  if (from_ == nullptr || to_ == nullptr) return FromErrno(errno, "map memory for its copy");
  return ForEachData(source_, static_cast<off_t>(size_), [this](off_t start, off_t length) {
    // Only hints: without them the copy is right too, just slower inside the pause.
    ::madvise(from_ + start, static_cast<std::size_t>(length), MADV_POPULATE_READ);
    if (::madvise(to_ + start, static_cast<std::size_t>(length), MADV_POPULATE_WRITE) != 0 &&
        errno == ENOMEM) {
      return Status(Exhausted("not enough memory for a copy of the machine's memory"));
    }
    return OkStatus();
  });
}

Status MemoryCopy::Run() {
  return ForEachData(source_, static_cast<off_t>(size_), [this](off_t start, off_t length) {
    std::memcpy(to_ + start, from_ + start, static_cast<std::size_t>(length));
    return OkStatus();
  });
}

UniqueFd MemoryCopy::Take() {
  Unmap();
  return std::move(destination_);
}

void MemoryCopy::Unmap() {
  if (from_ != nullptr) ::munmap(from_, size_);
  if (to_ != nullptr) ::munmap(to_, size_);
  from_ = nullptr;
  to_ = nullptr;
}

MemoryCopy::MemoryCopy(MemoryCopy&& other) noexcept
    : source_(other.source_),
      destination_(std::move(other.destination_)),
      size_(other.size_),
      from_(std::exchange(other.from_, nullptr)),
      to_(std::exchange(other.to_, nullptr)) {}

MemoryCopy::~MemoryCopy() { Unmap(); }

}  // namespace forkplane::storage
