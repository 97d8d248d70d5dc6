#include "controller/ledger/read_listing.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "controller/ledger/database.h"

namespace forkplane::ledger {
namespace {

namespace fs = std::filesystem;

constexpr int kCopyTriesMax = 20;
constexpr std::size_t kLogHeaderBytes = 32;  // magic, version, page size, sequence, salts, checksum

// A directory only we can read, gone with this object.
class Scratch {
 public:
  static Result<Scratch> Make() {
    std::error_code failed;
    const fs::path base = fs::temp_directory_path(failed);
    if (failed) return Unavailable("temporary directory: " + failed.message());
    std::string name = (base / "forkplane-leases.XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) return FromErrno(errno, "make " + name);
    return Scratch(name);
  }
  Scratch(Scratch&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  Scratch& operator=(Scratch&&) = delete;
  ~Scratch() {
    std::error_code ignored;
    if (!path_.empty()) fs::remove_all(path_, ignored);
  }
  std::string File(const char* name) const { return (path_ / name).string(); }

 private:
  explicit Scratch(fs::path path) : path_(std::move(path)) {}
  fs::path path_;
};

// Empty when there is no log, or none has been begun.
std::string LogHeader(const std::string& path) {
  std::string header(kLogHeaderBytes, '\0');
  std::ifstream file(path, std::ios::binary);
  file.read(header.data(), kLogHeaderBytes);
  return file.gcount() == static_cast<std::streamsize>(kLogHeaderBytes) ? header : std::string();
}

Status Copy(const std::string& from, const std::string& to) {
  std::error_code failed;
  fs::copy_file(from, to, fs::copy_options::overwrite_existing, failed);
  if (failed) return Unavailable(fmt::format("copy {}: {}", from, failed.message()));
  return OkStatus();
}

// False: the log was begun anew meanwhile; what was copied is worth nothing.
Result<bool> CopyOnce(const std::string& path, const std::string& copy) {
  const std::string log = path + "-wal";
  const std::string before = LogHeader(log);
  RETURN_IF_ERROR(Copy(path, copy));
  if (before.empty()) return LogHeader(log).empty();
  auto copied = Copy(log, copy + "-wal");
  if (LogHeader(log) != before) return false;  // also when it is gone: the daemon has just ended
  RETURN_IF_ERROR(copied);
  return true;
}

Status CopyAll(const std::string& path, const std::string& copy) {
  for (int i = 0; i < kCopyTriesMax; ++i) {
    std::error_code ignored;
    fs::remove(copy + "-wal", ignored);
    ASSIGN_OR_RETURN(const bool consistent, CopyOnce(path, copy));
    if (consistent) return OkStatus();
  }
  return Unavailable(fmt::format("copy {}: it changes too fast, try again", path));
}

Result<Listing> ListCopy(const std::string& copy) {
  ASSIGN_OR_RETURN(Database database, Database::Open(copy, ""));
  ASSIGN_OR_RETURN(const std::string boot_id, ReadBootId());
  ASSIGN_OR_RETURN(const Loaded loaded, database.Load({boot_id, RealClock().Now()}, 0));
  return loaded.index.BuildListing(Options{}.slots_default, Summary(loaded.unreadable));
}

}  // namespace

Result<Listing> ReadListing(const std::string& path) {
  std::error_code failed;
  if (!fs::exists(path, failed)) {
    return failed ? Unavailable(fmt::format("ledger {}: {}", path, failed.message()))
                  : NotFound(fmt::format("ledger {}: no such file", path));
  }
  ASSIGN_OR_RETURN(const Scratch scratch, Scratch::Make());
  const std::string copy = scratch.File("ledger.db");
  RETURN_IF_ERROR(CopyAll(path, copy));
  auto listing = ListCopy(copy);
  if (listing.ok()) return listing;
  return std::move(listing).error().WithContext(fmt::format("a copy of {}", path));
}

}  // namespace forkplane::ledger
