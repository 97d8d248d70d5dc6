// What the property suites share: how much to try, the seed, and where files are fast.
#pragma once

#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "controller/base/check.h"

namespace forkplane::ledger {

// 0: little (sanitizers); 1: some ten seconds; 2 and more: everything (nightly).
inline int Depth() {
  const char* text = std::getenv("FORKPLANE_TEST_DEPTH");
  return text == nullptr ? 1 : std::atoi(text);
}

inline std::uint64_t FirstSeed() {
  const char* text = std::getenv("FORKPLANE_TEST_SEED");
  return text == nullptr ? 1 : std::strtoull(text, nullptr, 10);
}

// A directory whose files do not wait for a disk: for suites that have nothing to do with crashes
// of the machine. It lives as long as the test.
class MemoryDir {
 public:
  MemoryDir() {
    std::error_code failed;
    const bool memory = std::filesystem::is_directory("/dev/shm", failed);
    std::string name =
        (memory ? "/dev/shm" : std::filesystem::temp_directory_path().string()) + "/ledger.XXXXXX";
    CHECK(::mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ~MemoryDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  MemoryDir(const MemoryDir&) = delete;
  MemoryDir& operator=(const MemoryDir&) = delete;

  std::string File(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

}  // namespace forkplane::ledger
