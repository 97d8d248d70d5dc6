#include "controller/manifests/tree_watch.h"

#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <filesystem>

namespace forkplane::manifests {
namespace {

constexpr std::uint32_t kChanges = IN_CREATE | IN_CLOSE_WRITE | IN_MODIFY | IN_MOVED_FROM |
                                   IN_MOVED_TO | IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF |
                                   IN_ATTRIB;

}  // namespace

Result<TreeWatch> TreeWatch::Make() {
  UniqueFd fd(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!fd.valid()) return FromErrno(errno, "inotify");
  return TreeWatch(std::move(fd));
}

// By /proc/self/fd, because the directory that is read must be the one that is watched, whatever
// its path means by now.
Status TreeWatch::WatchDirectory(int directory_fd) {
  const std::string path = fmt::format("/proc/self/fd/{}", directory_fd);
  const int descriptor =
      ::inotify_add_watch(inotify_.get(), path.c_str(), kChanges | IN_MASK_ADD | IN_ONLYDIR);
  if (descriptor < 0) return FromErrno(errno, "watch directory");
  names_[descriptor].clear();
  return OkStatus();
}

// Best effort: the resync timer finds what this misses (a link of the path that leads through a
// second link elsewhere).
void TreeWatch::WatchPath(const std::string& path) {
  const std::filesystem::path absolute = std::filesystem::absolute(path).lexically_normal();
  std::filesystem::path parent;
  for (const std::filesystem::path& part : absolute) {
    if (!parent.empty() && !part.empty()) {
      const int descriptor =
          ::inotify_add_watch(inotify_.get(), parent.c_str(), kChanges | IN_MASK_ADD | IN_ONLYDIR);
      if (descriptor < 0) return;
      const auto [it, is_new] = names_.try_emplace(descriptor);
      if (is_new || !it->second.empty()) it->second.insert(part.string());
    }
    parent /= part;
  }
}

bool TreeWatch::Drain() {
  bool matters = false;
  alignas(inotify_event) std::array<char, std::size_t{16} * 1024> buffer;
  for (;;) {
    const ssize_t size = ::read(inotify_.get(), buffer.data(), buffer.size());
    if (size <= 0) return matters;
    for (std::size_t at = 0; at < static_cast<std::size_t>(size);) {
      inotify_event event;
      std::memcpy(&event, buffer.data() + at, sizeof(event));
      const char* name = event.len == 0 ? "" : buffer.data() + at + sizeof(event);
      const auto it = names_.find(event.wd);
      // An overflow has no descriptor; an event of a watched parent itself has no name.
      matters = matters || it == names_.end() || it->second.empty() || it->second.contains(name);
      at += sizeof(event) + event.len;
    }
  }
}

}  // namespace forkplane::manifests
