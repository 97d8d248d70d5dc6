// A directory of root's alone below the system's temporary one, which goes with its object.
#pragma once

#include <string>

#include "controller/base/result.h"

namespace forkplane::process {

class ScratchDirectory {
 public:
  static Result<ScratchDirectory> Make();
  ~ScratchDirectory();
  ScratchDirectory(ScratchDirectory&& other) noexcept : path_(std::move(other.path_)) {
    other.path_.clear();
  }
  ScratchDirectory& operator=(ScratchDirectory&&) = delete;

  const std::string& path() const { return path_; }

 private:
  explicit ScratchDirectory(std::string path) : path_(std::move(path)) {}
  std::string path_;  // absolute; empty: moved from
};

}  // namespace forkplane::process
