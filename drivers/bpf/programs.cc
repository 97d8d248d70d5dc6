#include "drivers/bpf/programs.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdarg>
#include <cstddef>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <vector>

#include "drivers/bpf/identity_map.h"

namespace forkplane::bpf {

// Made at build time from identity.bpf.c (embed.cmake).
extern const unsigned char kIdentityObject[];
extern const std::size_t kIdentityObjectSize;

namespace {

constexpr const char* kIdentitiesMap = "identities";
constexpr const char* kCountersMap = "counters";
constexpr const char* kFragmentsMap = "fragments";
constexpr std::array kMaps = {kIdentitiesMap, kCountersMap, kFragmentsMap};
constexpr mode_t kPinDirectoryMode = 0700;
constexpr std::size_t kProgramMapsMax = 8;

struct CloseObject {
  void operator()(bpf_object* object) const { bpf_object__close(object); }
};
using Object = std::unique_ptr<bpf_object, CloseObject>;

// What libbpf said last in this thread; it would print to stderr.
thread_local std::string last_words;

int KeepWords(libbpf_print_level level, const char* format, va_list arguments) {
  if (level != LIBBPF_WARN) return 0;
  std::array<char, 512> text = {};
  const int size = std::vsnprintf(text.data(), text.size(), format, arguments);
  last_words = std::string(text.data());
  while (!last_words.empty() && last_words.back() == '\n') last_words.pop_back();
  return size;
}

Error LibbpfError(int errno_value, std::string_view what) {
  Error error = FromErrno(errno_value, what);
  if (!last_words.empty()) error.message += fmt::format(": {}", last_words);
  return error;
}

Result<UniqueFd> Duplicate(int fd, std::string_view what) {
  UniqueFd copy(fd < 0 ? -1 : dup(fd));
  if (!copy.valid()) return FromErrno(errno, what);
  return copy;
}

Status PreparePinDirectory(const std::string& directory) {
  if (mkdir(directory.c_str(), kPinDirectoryMode) != 0 && errno != EEXIST) {
    return FromErrno(errno,
                     fmt::format("make {} in a bpffs (mount -t bpf bpf <its parent>)", directory));
  }
  struct statfs about = {};
  if (statfs(directory.c_str(), &about) != 0) return FromErrno(errno, directory);
  if (about.f_type == BPF_FS_MAGIC) return OkStatus();
  return Invalid(fmt::format("{}: not in a bpffs (mount -t bpf bpf <dir>)", directory));
}

// Programs are taken by name and maps by name: nothing depends on an order in the object file.
Result<Object> OpenObject(const std::string& pin_directory) {
  libbpf_set_print(KeepWords);
  last_words.clear();
  bpf_object_open_opts options = {};
  options.sz = sizeof options;
  options.object_name = "forkplane";
  Object object(bpf_object__open_mem(kIdentityObject, kIdentityObjectSize, &options));
  if (object == nullptr) return LibbpfError(errno, "open BPF object");
  if (pin_directory.empty()) return object;
  for (const char* name : kMaps) {
    bpf_map* map = bpf_object__find_map_by_name(object.get(), name);
    const std::string path = pin_directory + "/" + name;
    // Loading then uses the pinned map on, if it is of the same layout, or pins a new one.
    if (map == nullptr || bpf_map__set_pin_path(map, path.c_str()) != 0) {
      return LibbpfError(errno, fmt::format("pin path of map {}", name));
    }
  }
  return object;
}

Result<Object> LoadObject(const std::string& pin_directory) {
  ASSIGN_OR_RETURN(Object object, OpenObject(pin_directory));
  if (bpf_object__load(object.get()) == 0) return object;
  Error error = LibbpfError(errno, "load BPF programs");
  if (pin_directory.empty() || error.sys_errno != EINVAL) return error;
  // Pinned maps of another layout: leave them to the programs that hold them.
  for (const char* name : kMaps) {
    unlink((pin_directory + "/" + name).c_str());
  }
  ASSIGN_OR_RETURN(object, OpenObject(pin_directory));
  if (bpf_object__load(object.get()) == 0) return object;
  return LibbpfError(errno, "load BPF programs after removing pinned maps");
}

struct ProgramInfo {
  bpf_prog_info info = {};
  std::vector<std::uint32_t> maps = {};
};

Result<ProgramInfo> InfoOf(int fd) {
  ProgramInfo result;
  std::array<std::uint32_t, kProgramMapsMax> maps = {};
  result.info.nr_map_ids = maps.size();
  result.info.map_ids = reinterpret_cast<std::uintptr_t>(maps.data());
  std::uint32_t size = sizeof result.info;
  if (bpf_obj_get_info_by_fd(fd, &result.info, &size) != 0) {
    return FromErrno(errno, "information about a BPF program");
  }
  const std::size_t count = std::min<std::size_t>(result.info.nr_map_ids, maps.size());
  result.maps.assign(maps.begin(), maps.begin() + static_cast<std::ptrdiff_t>(count));
  std::sort(result.maps.begin(), result.maps.end());
  return result;
}

bool SameProgram(const ProgramInfo& a, const ProgramInfo& b) {
  return std::equal(std::begin(a.info.tag), std::end(a.info.tag), std::begin(b.info.tag)) &&
         a.maps == b.maps;
}

// Puts `fd` at `path` in one step, whatever is there.
Status PinOver(int fd, const std::string& path) {
  const std::string next = path + "_next";
  unlink(next.c_str());
  if (bpf_obj_pin(fd, next.c_str()) != 0) return FromErrno(errno, fmt::format("pin {}", next));
  if (rename(next.c_str(), path.c_str()) != 0) return FromErrno(errno, fmt::format("pin {}", path));
  return OkStatus();
}

Result<Program> TakeProgram(bpf_object* object, const char* name,
                            const std::string& pin_directory) {
  Program program;
  program.name = name;
  const bpf_program* loaded = bpf_object__find_program_by_name(object, name);
  if (loaded == nullptr) return Internal(fmt::format("BPF program {}: not in the object", name));
  ASSIGN_OR_RETURN(program.fd, Duplicate(bpf_program__fd(loaded), name));
  ASSIGN_OR_RETURN(const ProgramInfo ours, InfoOf(program.fd.get()));
  program.id = ours.info.id;
  if (pin_directory.empty()) return program;
  const std::string path = pin_directory + "/" + name;
  UniqueFd pinned(bpf_obj_get(path.c_str()));
  if (pinned.valid()) {
    ASSIGN_OR_RETURN(const ProgramInfo theirs, InfoOf(pinned.get()));
    if (SameProgram(ours, theirs)) {
      program.fd = std::move(pinned);
      program.id = theirs.info.id;
      return program;
    }
  }
  RETURN_IF_ERROR(PinOver(program.fd.get(), path));
  return program;
}

Result<UniqueFd> TakeMap(bpf_object* object, const char* name) {
  const bpf_map* map = bpf_object__find_map_by_name(object, name);
  if (map == nullptr) return Internal(fmt::format("BPF map {}: not in the object", name));
  return Duplicate(bpf_map__fd(map), name);
}

struct Pinned {
  const char* name;
  int fd;
};

std::array<Pinned, 9> AllOf(const Programs& programs) {
  return {Pinned{kIdentitiesMap, programs.identities.get()},
          Pinned{kCountersMap, programs.counters.get()},
          Pinned{kFragmentsMap, programs.fragments.get()},
          Pinned{"from_guest", programs.from_guest.fd.get()},
          Pinned{"from_guest_mirred", programs.from_guest_mirred.fd.get()},
          Pinned{"from_guest_mark", programs.from_guest_mark.fd.get()},
          Pinned{"class_of_mark", programs.class_of_mark.fd.get()},
          Pinned{"match_all", programs.match_all.fd.get()},
          Pinned{"to_guest", programs.to_guest.fd.get()}};
}

// The second word of what the kernel tells of a program and of a map alike is its number.
Result<std::uint32_t> IdOf(int fd) {
  std::array<std::uint32_t, 64> info = {};
  static_assert(offsetof(bpf_prog_info, id) == sizeof(std::uint32_t));
  static_assert(offsetof(bpf_map_info, id) == sizeof(std::uint32_t));
  std::uint32_t size = sizeof info;
  if (bpf_obj_get_info_by_fd(fd, info.data(), &size) != 0) {
    return FromErrno(errno, "information about a BPF object");
  }
  return info[1];
}

Result<bool> StandsAt(const std::string& path, int fd) {
  const UniqueFd pinned(bpf_obj_get(path.c_str()));
  if (!pinned.valid()) return false;
  ASSIGN_OR_RETURN(const std::uint32_t theirs, IdOf(pinned.get()));
  ASSIGN_OR_RETURN(const std::uint32_t ours, IdOf(fd));
  return theirs == ours;
}

// The place where packets without an entry are counted.
Status AddHostCounters(int counters) {
  const int cpus = libbpf_num_possible_cpus();
  if (cpus < 0) return FromErrno(-cpus, "number of CPUs");
  const std::uint32_t host = 0;
  const std::vector<fk_counters> zero(static_cast<std::size_t>(cpus));
  if (bpf_map_update_elem(counters, &host, zero.data(), BPF_NOEXIST) != 0 && errno != EEXIST) {
    return FromErrno(errno, "add the host's packet counters");
  }
  return OkStatus();
}

}  // namespace

Result<bool> ArePinned(const Programs& programs, const std::string& pin_directory) {
  if (pin_directory.empty()) return true;
  for (const Pinned& object : AllOf(programs)) {
    ASSIGN_OR_RETURN(const bool stands, StandsAt(pin_directory + "/" + object.name, object.fd));
    if (!stands) return false;
  }
  return true;
}

Status PinPrograms(const Programs& programs, const std::string& pin_directory) {
  RETURN_IF_ERROR(PreparePinDirectory(pin_directory));
  for (const Pinned& object : AllOf(programs)) {
    const std::string path = pin_directory + "/" + object.name;
    ASSIGN_OR_RETURN(const bool stands, StandsAt(path, object.fd));
    if (!stands) RETURN_IF_ERROR(PinOver(object.fd, path));
  }
  return OkStatus();
}

std::string ProgramName(std::uint32_t id) {
  const UniqueFd program(bpf_prog_get_fd_by_id(id));
  if (!program.valid()) return {};
  const auto info = InfoOf(program.get());
  return info.ok() ? std::string(info->info.name) : std::string();
}

Result<Programs> LoadPrograms(const std::string& pin_directory) {
  if (!pin_directory.empty()) RETURN_IF_ERROR(PreparePinDirectory(pin_directory));
  ASSIGN_OR_RETURN(const Object object, LoadObject(pin_directory));
  Programs programs;
  ASSIGN_OR_RETURN(programs.identities, TakeMap(object.get(), kIdentitiesMap));
  ASSIGN_OR_RETURN(programs.counters, TakeMap(object.get(), kCountersMap));
  ASSIGN_OR_RETURN(programs.fragments, TakeMap(object.get(), kFragmentsMap));
  RETURN_IF_ERROR(AddHostCounters(programs.counters.get()));
  ASSIGN_OR_RETURN(programs.from_guest, TakeProgram(object.get(), "from_guest", pin_directory));
  ASSIGN_OR_RETURN(programs.from_guest_mirred,
                   TakeProgram(object.get(), "from_guest_mirred", pin_directory));
  ASSIGN_OR_RETURN(programs.from_guest_mark,
                   TakeProgram(object.get(), "from_guest_mark", pin_directory));
  ASSIGN_OR_RETURN(programs.class_of_mark,
                   TakeProgram(object.get(), "class_of_mark", pin_directory));
  ASSIGN_OR_RETURN(programs.match_all, TakeProgram(object.get(), "match_all", pin_directory));
  ASSIGN_OR_RETURN(programs.to_guest, TakeProgram(object.get(), "to_guest", pin_directory));
  return programs;
}

}  // namespace forkplane::bpf
