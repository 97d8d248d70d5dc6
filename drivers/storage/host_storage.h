// The storage driver on this host. Layout below the state directory:
//   vms/<uid>/        one VM: root:gid 0750
//   snapshots/<uid>/  memory, state, disks, manifest.json: root 0444 in 0755; immutable
//   */.tmp-*          unfinished; removed at Open
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "drivers/storage_driver.h"

namespace forkplane::storage {

struct HostStorageOptions {
  std::string state_dir;                 // absolute; made when absent
  std::vector<std::string> image_roots;  // absent ones are skipped when an image is opened
};

class HostStorage final : public StorageDriver {
 public:
  static Result<std::unique_ptr<HostStorage>> Open(HostStorageOptions options);

  std::string VmDirectory(const std::string& uid) const override;
  Status CreateVmDirectory(const std::string& uid, gid_t group) override;
  Status RemoveVmDirectory(const std::string& uid) override;
  Result<std::vector<std::string>> ListVmDirectories() override;
  Status WriteVmFile(const std::string& uid, const std::string& name,
                     std::string_view content) override;
  Lookup<std::string> ReadVmFileTail(const std::string& uid, const std::string& name,
                                     std::size_t bytes_max) override;
  Status CopyImageToVm(const std::string& image, const std::string& uid, const std::string& name,
                       uid_t user, gid_t group) override;
  Result<UniqueFd> OpenImage(const std::string& path) override;
  std::string SnapshotDirectory(const std::string& uid) const override;
  Result<SnapshotStage> BeginSnapshot(const std::string& uid) override;
  Result<UniqueFd> CreateSnapshotFile(const SnapshotStage& stage, const std::string& name) override;
  Result<UniqueFd> OpenSnapshotFile(const std::string& uid, const std::string& name) override;
  Result<SnapshotManifest> CommitSnapshot(const SnapshotStage& stage,
                                          SnapshotManifest manifest) override;
  Status AbortSnapshot(const SnapshotStage& stage) override;
  Lookup<SnapshotManifest> ReadSnapshot(const std::string& uid) override;
  Status VerifySnapshot(const std::string& uid) override;
  Status RemoveSnapshot(const std::string& uid) override;
  Result<std::vector<std::string>> ListSnapshots() override;

 private:
  HostStorage(HostStorageOptions options, UniqueFd vms, UniqueFd snapshots)
      : options_(std::move(options)), vms_(std::move(vms)), snapshots_(std::move(snapshots)) {}
  Result<UniqueFd> OpenVm(const std::string& uid) const;
  // OpenImage without the question who else may read it.
  Result<UniqueFd> FindImage(const std::string& path) const;

  HostStorageOptions options_;
  UniqueFd vms_;
  UniqueFd snapshots_;
};

}  // namespace forkplane::storage
