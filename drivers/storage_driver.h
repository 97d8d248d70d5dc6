// Directories and files of VMs and snapshots. The layout below the state directory is in
// docs/formats.md; nobody else knows a path in it.
//
// NOTE Threading: thread-safe; two calls for one uid at the same time are the caller's fault.
// NOTE Durability: what WriteFile, CommitSnapshot and the Create/Remove calls did is on disk when
// they return (fsync of file and directory). A snapshot directory appears whole, by rename, or not
// at all; leftovers of a crash are named `.tmp-*` and removed at Open.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "controller/base/result.h"
#include "controller/base/unique_fd.h"

namespace forkplane::storage {

// One file of a snapshot; names are plain (no '/').
struct SnapshotFile {
  std::string name;  // "memory", "state", "disk-root"
  std::uint64_t size_bytes = 0;
  std::string sha256;  // lower-case hex
  bool operator==(const SnapshotFile&) const = default;
};

// One device as the VMM was started with it. Every path in it is constant (/vm/...), so any number
// of clones can load the same state.
struct SnapshotDevice {
  std::string kind;  // "net", "serial", "console", "rng", "disk"
  std::string id;
  std::string detail;  // kind "net": the inner MAC; "disk": path inside the private root
  bool operator==(const SnapshotDevice&) const = default;
};

struct SnapshotNetwork {
  std::string cidr;  // "10.90.0.0/16"
  std::string gateway;
  int mtu = 0;
  bool operator==(const SnapshotNetwork&) const = default;
};

// `manifest.json` of a snapshot directory.
struct SnapshotManifest {
  int format = 1;
  std::string uid;         // of the Snapshot object
  std::string source_uid;  // of the VM it was taken of
  std::string parent;      // uid of the snapshot a Diff depends on; empty for Full
  std::string hypervisor;  // driver name
  std::string hypervisor_version;
  std::string state_format;  // opaque to all but the driver; a fork needs an equal one
  int cpus = 1;
  std::uint64_t memory_bytes = 0;
  std::string created;  // RFC 3339
  std::vector<SnapshotDevice> devices;
  std::optional<SnapshotNetwork> network;
  std::vector<SnapshotFile> files;
  bool operator==(const SnapshotManifest&) const = default;
};

// A snapshot directory in the making. Dropping it without commit leaves a `.tmp-*` directory, which
// AbortSnapshot or the next Open removes.
struct SnapshotStage {
  std::string uid;
  std::string directory;  // absolute; write files into it
};

class StorageDriver {
 public:
  virtual ~StorageDriver() = default;

  // --- VM directories -----------------------------------------------------------------------
  // Absolute path, whether it exists or not.
  virtual std::string VmDirectory(const std::string& uid) const = 0;
  // root:group 0750: the VMM may read and enter, not create. Existing is success.
  virtual Status CreateVmDirectory(const std::string& uid, gid_t group) = 0;
  // Absent is success. Never leaves the directory (RESOLVE_BENEATH, no symlink is followed, no
  // mount is crossed) and gives up with Internal past 100 000 entries.
  virtual Status RemoveVmDirectory(const std::string& uid) = 0;
  virtual Result<std::vector<std::string>> ListVmDirectories() = 0;
  // Temporary file, fsync, rename, fsync of the directory. `name` is plain.
  virtual Status WriteVmFile(const std::string& uid, const std::string& name,
                             std::string_view content) = 0;
  // At most `bytes_max` from the end of the file; nullopt when it is absent.
  virtual Lookup<std::string> ReadVmFileTail(const std::string& uid, const std::string& name,
                                             std::size_t bytes_max) = 0;
  // A private copy of an image: reflink where the file system can, else a copy that keeps holes.
  // Existing is success (the copy appears by rename, so it is whole).
  virtual Status CopyImageToVm(const std::string& image, const std::string& uid,
                               const std::string& name, uid_t user, gid_t group) = 0;

  // --- Images ---------------------------------------------------------------------------------
  // Opens a file below the image roots, first root that has it wins. Invalid: absolute, "..", a
  // symlink that leaves its root, not a regular file, not readable for others (the VMM opens it
  // again as its own user). NotFound: in no root.
  virtual Result<UniqueFd> OpenImage(const std::string& path) = 0;

  // --- Snapshots ------------------------------------------------------------------------------
  virtual std::string SnapshotDirectory(const std::string& uid) const = 0;
  // Exists: there is a committed snapshot of that uid. An older stage of it is removed.
  virtual Result<SnapshotStage> BeginSnapshot(const std::string& uid) = 0;
  // A new, empty file of the stage, for reading and writing (what a driver hands over in memory and
  // the caller writes down). Exists: the stage has it already.
  virtual Result<UniqueFd> CreateSnapshotFile(const SnapshotStage& stage,
                                              const std::string& name) = 0;
  // Fills in files (size, sha256) from what lies in the stage, makes them 0444, writes the
  // manifest, syncs all and renames. Returns the manifest as written.
  virtual Result<SnapshotManifest> CommitSnapshot(const SnapshotStage& stage,
                                                  SnapshotManifest manifest) = 0;
  virtual Status AbortSnapshot(const SnapshotStage& stage) = 0;
  // nullopt: no such snapshot. Internal: it is there but its manifest cannot be read, or a file's
  // size is not the manifest's; it is never treated as absent.
  virtual Lookup<SnapshotManifest> ReadSnapshot(const std::string& uid) = 0;
  // A file of a committed snapshot, read-only. NotFound: there is no such snapshot or file.
  virtual Result<UniqueFd> OpenSnapshotFile(const std::string& uid, const std::string& name) = 0;
  // Reads every file again and compares digests: slow; for doctor and after an import.
  virtual Status VerifySnapshot(const std::string& uid) = 0;
  virtual Status RemoveSnapshot(const std::string& uid) = 0;  // absent is success
  virtual Result<std::vector<std::string>> ListSnapshots() = 0;
};

}  // namespace forkplane::storage
