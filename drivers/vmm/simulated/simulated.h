// A hypervisor without processes: it keeps what a real one would in a file of the VM directory,
// takes as long as told and fails as told. Loops, crash tests and 100 000 VMs run on it; a VM with
// it becomes Ready without a TAP, a guest image or root.
//
// NOTE State: `simulated.json` in the VM directory, written by rename before a call returns, is the
// machine; deleting it is the machine's death. So a restarted daemon finds its machines, as with
// real processes. "pid" is a number of no process, start ticks make it unique; the boot id is real:
// after a reboot of the host every simulated machine is gone, as real ones are.
// NOTE Failures: each operation asks the failure model first; what it answers is returned, before
// or after the effect. Crash(uid) ends a machine as a VMM's death does, with the exit callback.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "controller/base/clock.h"
#include "controller/base/rng.h"
#include "drivers/vmm/busy_set.h"
#include "drivers/vmm/exit_hook.h"
#include "drivers/vmm/hypervisor.h"

namespace forkplane::vmm {

struct SimulatedLatency {
  std::chrono::milliseconds spawn{0};
  std::chrono::milliseconds load{0};
  std::chrono::milliseconds resume{0};
  std::chrono::milliseconds capture_pause{0};
};

struct SimulatedFailure {
  Error error;
  bool after_effect = false;  // the call does its work and then reports the error all the same
};

struct SimulatedOptions {
  SimulatedLatency latency;
  // Asked at each changing operation ("launch", "load", "resume", "pause", "snapshot", "power off",
  // "quit").
  // Called from any thread; empty: nothing fails.
  std::function<std::optional<SimulatedFailure>(const std::string& operation,
                                                const std::string& uid)>
      failure;
  // Whether the guest follows its power button, which it does at once; empty: every guest does.
  std::function<bool(const std::string& uid)> obeys_power_button;
  int concurrent_restores_max = 32;
  bool durable = true;  // fsync of the machine's file; off for 100 000 of them
};

class Simulated final : public Hypervisor {
 public:
  static Result<std::unique_ptr<Simulated>> Open(SimulatedOptions options, Rng& rng = SystemRng());

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

  // The machine dies without being asked.
  Status Crash(const MachineRef& ref);

 private:
  struct Machine;
  Simulated(SimulatedOptions options, Rng& rng, std::string boot_id)
      : options_(std::move(options)), rng_(rng), boot_id_(std::move(boot_id)) {}
  // Runs `effect` between the two places where the failure model may strike.
  Status Do(const std::string& operation, const std::string& uid,
            const std::function<Status()>& effect);
  Lookup<Machine> Read(const MachineRef& ref) const;
  Status Write(const MachineRef& ref, const Machine& machine) const;
  Status Remove(const MachineRef& ref) const;
  Status Save(const MachineRef& ref, const std::string& directory, const std::stop_token& stop,
              Capture* capture);
  Status Move(const MachineRef& ref, MachineState to, std::initializer_list<MachineState> from);

  SimulatedOptions options_;
  Rng& rng_;
  std::string boot_id_;
  Capabilities capabilities_;
  BusySet busy_;
  std::shared_ptr<ExitHook> on_exit_ = std::make_shared<ExitHook>();
};

}  // namespace forkplane::vmm
