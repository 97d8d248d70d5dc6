// Which files a dynamically linked executable needs, asked from its own loader.
#include <elf.h>
#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <set>
#include <sstream>

#include "controller/base/unique_fd.h"
#include "drivers/process/run_command.h"
#include "drivers/process_driver.h"

namespace forkplane::process {
namespace {

// The program interpreter of a 64-bit ELF file; empty for a static one.
Result<std::string> InterpreterOf(const std::string& executable) {
  const UniqueFd fd(::open(executable.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return FromErrno(errno, "open " + executable);
  Elf64_Ehdr header{};
  if (::pread(fd.get(), &header, sizeof header, 0) != static_cast<ssize_t>(sizeof header) ||
      std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_ident[EI_CLASS] != ELFCLASS64 ||
      header.e_phentsize != sizeof(Elf64_Phdr)) {
    return Invalid(executable + " is not a 64-bit ELF executable");
  }
  for (std::uint32_t i = 0; i < header.e_phnum; ++i) {
    Elf64_Phdr segment{};
    const auto at = static_cast<off_t>(header.e_phoff + i * sizeof segment);
    if (::pread(fd.get(), &segment, sizeof segment, at) != static_cast<ssize_t>(sizeof segment)) {
      return Invalid(executable + ": program headers are cut off");
    }
    if (segment.p_type != PT_INTERP) continue;
    std::array<char, 256> path{};
    if (segment.p_filesz >= path.size() ||
        ::pread(fd.get(), path.data(), segment.p_filesz, static_cast<off_t>(segment.p_offset)) !=
            static_cast<ssize_t>(segment.p_filesz)) {
      return Invalid(executable + ": its interpreter's name cannot be read");
    }
    return std::string(path.data());
  }
  return std::string();
}

}  // namespace

Result<std::vector<Bind>> BindsOf(const std::string& executable) {
  ASSIGN_OR_RETURN(const std::string interpreter, InterpreterOf(executable));
  std::set<std::string> paths = {executable};
  if (!interpreter.empty()) {
    paths.insert(interpreter);
    // Libraries outside the loader's built-in folders are found through the cache.
    if (::access("/etc/ld.so.cache", R_OK) == 0) paths.insert("/etc/ld.so.cache");
    ASSIGN_OR_RETURN(const std::string list,
                     RunCommandOk({.argv = {interpreter, "--list", executable}, .directory = ""}));
    std::istringstream lines(list);
    for (std::string line; std::getline(lines, line);) {
      // "\tlibz.so.1 => /lib/x86_64-linux-gnu/libz.so.1 (0x00007f...)"; the vDSO has no path.
      if (line.find("not found") != std::string::npos) {
        return Invalid(executable + ": a library is missing:" + line);
      }
      const std::size_t start = line.find(" => /");
      const std::size_t end = line.rfind(" (0x");
      if (start == std::string::npos || end == std::string::npos || end < start + 4) continue;
      paths.insert(line.substr(start + 4, end - start - 4));
    }
  }
  std::vector<Bind> binds;
  binds.reserve(paths.size());
  for (const std::string& path : paths) binds.push_back({.host_path = path, .path = path});
  return binds;
}

}  // namespace forkplane::process
