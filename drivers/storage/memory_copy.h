// Copies a running machine's memory while it is paused, with all preparation before the pause.
//
// Why not sendfile alone: the greater part of such a copy is the allocation and zeroing of the
// destination's pages. Prepare allocates and maps what holds data already; Run, in the pause, only
// moves bytes (and catches pages that came to hold data since).
#pragma once

#include <cstddef>
#include <cstdint>

#include "controller/base/result.h"
#include "controller/base/unique_fd.h"

namespace forkplane::storage {

class MemoryCopy {
 public:
  // `source` is borrowed and must not shrink. Makes the destination memfd.
  static Result<MemoryCopy> Prepare(int source, std::uint64_t size_bytes);
  ~MemoryCopy();
  MemoryCopy(MemoryCopy&& other) noexcept;
  MemoryCopy& operator=(MemoryCopy&&) = delete;
  MemoryCopy(const MemoryCopy&) = delete;
  MemoryCopy& operator=(const MemoryCopy&) = delete;

  Status Run();
  // Unmaps both sides (a mapped memfd cannot be sealed) and gives the copy away.
  UniqueFd Take();

 private:
  MemoryCopy(int source, UniqueFd destination, std::size_t size)
      : source_(source), destination_(std::move(destination)), size_(size) {}
  Status Map();
  void Unmap();

  int source_;
  UniqueFd destination_;
  std::size_t size_;
  std::byte* from_ = nullptr;
  std::byte* to_ = nullptr;
};

}  // namespace forkplane::storage
