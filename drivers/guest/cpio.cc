#include "drivers/guest/cpio.h"

#include <fmt/format.h>
#include <sys/stat.h>

namespace forkplane::guest {

void CpioWriter::AddDirectory(const std::string& path, std::uint32_t permissions) {
  Add(path, "", {.mode = S_IFDIR | permissions});
}

void CpioWriter::AddFile(const std::string& path, std::string_view content,
                         std::uint32_t permissions) {
  Add(path, content, {.mode = S_IFREG | permissions});
}

void CpioWriter::AddSymlink(const std::string& path, std::string_view target) {
  Add(path, target, {.mode = S_IFLNK | 0777});
}

void CpioWriter::AddCharDevice(const std::string& path, std::uint32_t major, std::uint32_t minor) {
  Add(path, "", {.mode = S_IFCHR | 0600, .major = major, .minor = minor});
}

std::string CpioWriter::Finish() {
  Add("TRAILER!!!", "", {});
  return std::move(archive_);
}

void CpioWriter::Add(const std::string& path, std::string_view content, const Entry& entry) {
  // Thirteen fields of eight hex digits. Times are zero, so equal input gives equal bytes.
  const std::size_t name_size = path.size() + 1;
  const std::uint32_t links = S_ISDIR(entry.mode) ? 2 : 1;
  archive_ += fmt::format(
      "070701{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}"
      "{:08x}{:08x}{:08x}",
      next_inode_++, entry.mode, 0, 0, links, 0, content.size(), 0, 0, entry.major, entry.minor,
      name_size, 0);
  archive_ += path;
  archive_ += '\0';
  Pad();
  archive_ += content;
  Pad();
}

void CpioWriter::Pad() { archive_.append((4 - archive_.size() % 4) % 4, '\0'); }

}  // namespace forkplane::guest
