// Writes an archive in the "newc" format of cpio, which the kernel unpacks as an initramfs.
// https://docs.kernel.org/driver-api/early-userspace/buffer-format.html
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace forkplane::guest {

class CpioWriter {
 public:
  // Paths are relative ("bin/busybox"); parents must be added before their children.
  void AddDirectory(const std::string& path, std::uint32_t permissions = 0755);
  void AddFile(const std::string& path, std::string_view content, std::uint32_t permissions);
  void AddSymlink(const std::string& path, std::string_view target);
  void AddCharDevice(const std::string& path, std::uint32_t major, std::uint32_t minor);
  // Ends the archive and gives it away.
  std::string Finish();

 private:
  struct Entry {
    std::uint32_t mode = 0;
    std::uint32_t major = 0;
    std::uint32_t minor = 0;
  };
  void Add(const std::string& path, std::string_view content, const Entry& entry);
  void Pad();

  std::string archive_;
  std::uint32_t next_inode_ = 1;
};

}  // namespace forkplane::guest
