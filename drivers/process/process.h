// The process driver on this host. See drivers/process_driver.h for the contract.
//
// NOTE Metrics: forkplane_process_spawns_total{result}, forkplane_process_cgroup_fallback_total
// (clone3 could not enter the cgroup and the child moved itself).
#pragma once

#include <memory>
#include <string>

#include "controller/base/metrics.h"
#include "drivers/process/cgroup.h"
#include "drivers/process/exit_watch.h"
#include "drivers/process_driver.h"

namespace forkplane::process {

struct HostProcessOptions {
  std::string cgroup_parent = "forkplane";  // below the cgroup2 mount
  std::string mount_point;  // an empty directory of ours; made when absent. Private roots are built
                            // over it, each in its own namespace; on the host it stays empty.
};

class HostProcessDriver final : public ProcessDriver {
 public:
  static Result<std::unique_ptr<HostProcessDriver>> Open(HostProcessOptions options,
                                                         metrics::Registry* metrics = nullptr);

  Result<ProcessRecord> Spawn(const SpawnSpec& spec) override;
  Result<Observed> Observe(const std::string& owner) override;
  Result<bool> IsAlive(const std::string& owner, const ProcessRecord& record) override;
  Status Kill(const std::string& owner) override;
  Result<std::vector<std::string>> List() override;
  Status Watch(const std::string& owner, const ProcessRecord& record,
               ExitCallback callback) override;

  // Which bounds of a spec take effect on this host.
  const Controllers& controllers() const { return cgroups_.controllers(); }

  // Removes the cgroup folder itself when nothing is in it (tests, uninstall).
  Status RemoveCgroupFolder() { return cgroups_.RemoveFolder(); }

 private:
  HostProcessDriver(HostProcessOptions options, CgroupFolder cgroups, UniqueFd network,
                    std::string boot_id, std::unique_ptr<ExitWatch> watch)
      : options_(std::move(options)),
        cgroups_(std::move(cgroups)),
        network_(std::move(network)),
        boot_id_(std::move(boot_id)),
        watch_(std::move(watch)) {}
  Result<ProcessRecord> SpawnInCgroup(const SpawnSpec& spec);
  Result<ProcessRecord> RecordOf(pid_t pid) const;

  HostProcessOptions options_;
  CgroupFolder cgroups_;
  UniqueFd network_;  // an empty namespace, made at Open and never on the road of a spawn
  std::string boot_id_;
  std::unique_ptr<ExitWatch> watch_;
  metrics::Counter spawned_;
  metrics::Counter spawn_failed_;
  metrics::Counter cgroup_fallback_;
};

}  // namespace forkplane::process
