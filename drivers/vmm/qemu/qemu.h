// The driver for QEMU 7.2 and later on x86-64: microvm machines, each an unprivileged process in a
// private root without a network, memory in a memfd, monitors on sockets the daemon listened on.
// TAPs come as open files: tun's ioctls work in the namespace that /dev/net/tun was opened in.
//
// Files in a VM directory: machine.json, vmm.log (stderr), console (the only file the VMM may
// write), control and health (monitor sockets; health is for Query and Adopt alone, because a
// monitor serves one client at a time).
//
// NOTE Snapshots of a running machine: stop, device state to a file, memory copied into a memfd,
// cont. QEMU's background-snapshot would pause less but needs userfaultfd, which an unprivileged
// process has not. A restored machine's memory is private pages over a template, which no
// descriptor reaches: it cannot be snapshotted this way (snapshot_of_fork is false).
// NOTE Metrics: none of its own; the decorators count calls.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "drivers/process_driver.h"
#include "drivers/vmm/busy_set.h"
#include "drivers/vmm/exit_hook.h"
#include "drivers/vmm/hypervisor.h"
#include "drivers/vmm/machine_file.h"
#include "drivers/vmm/qemu/command_line.h"
#include "drivers/vmm/qemu/kvm_probe.h"
#include "drivers/vmm/qemu/qmp.h"

namespace forkplane::vmm {

struct QemuOptions {
  std::string binary = "/usr/bin/qemu-system-x86_64";
  // "auto": KVM where a probe guest really runs (see kvm_probe.h), else TCG. "tcg", "kvm".
  std::string accelerator = "auto";
  KvmProbeOptions kvm_probe;  // its user also asks the binary for its version
};

class Qemu final : public Hypervisor {
 public:
  // NotFound: no such binary, with the package that has it. Unavailable: a VMM's user cannot run
  // it. Begins up to two short processes to find out. `processes` must outlive it.
  static Result<std::unique_ptr<Qemu>> Open(QemuOptions options, process::ProcessDriver* processes);

  const Capabilities& capabilities() const override { return capabilities_; }
  Status Check(const MachineSpec& spec) const override;
  Result<process::ProcessRecord> Launch(const MachineSpec& spec,
                                        const std::stop_token& stop) override;
  Status Load(const MachineRef& ref, const RestoreSource& source,
              const std::stop_token& stop) override;
  Status Resume(const MachineRef& ref) override;
  Status Pause(const MachineRef& ref) override;
  Result<Capture> Snapshot(const MachineRef& ref, const std::string& directory,
                           const std::stop_token& stop) override;
  Result<Observation> Query(const MachineRef& ref) override;
  Status AskPowerOff(const MachineRef& ref) override;
  Status Quit(const MachineRef& ref) override;
  Result<bool> Adopt(const MachineRef& ref, const process::ProcessRecord& record) override;
  std::vector<std::string> ConsoleTail(const MachineRef& ref, std::size_t lines_max) override;
  std::shared_ptr<void> OnExit(std::function<void(const std::string& uid)> callback) override;

 private:
  Qemu(QemuOptions options, process::ProcessDriver* processes)
      : options_(std::move(options)), processes_(processes) {}
  Result<process::ProcessRecord> Begin(const MachineSpec& spec, int memory_fd);
  Result<MachineFile> CheckCapturable(const MachineRef& ref) const;
  Result<UniqueFd> OpenMemory(const MachineRef& ref, const MachineFile& machine);
  Status WatchExit(const std::string& uid, const process::ProcessRecord& record);
  Error Explain(Error error, const MachineRef& ref);

  QemuOptions options_;
  process::ProcessDriver* processes_;
  Capabilities capabilities_;
  std::vector<process::Bind> binds_;
  std::uint64_t tsc_khz_ = 0;
  BusySet busy_;
  // Shared with the watches in the process driver, which may outlive this object.
  std::shared_ptr<ExitHook> on_exit_ = std::make_shared<ExitHook>();
};

}  // namespace forkplane::vmm
