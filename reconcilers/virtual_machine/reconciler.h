// The virtual_machine loop: leases, VMM process and directory of each VirtualMachine on this host,
// and its status. Key: "namespace/name".
//
// NOTE Binding: a VM whose spec.hostName is not this host is left alone, its status too: it belongs
// to another host, or to the scheduler while it is bound to none.
// NOTE Threading: any number of workers; one key is in one worker's hands. A pass may wait for a
// VMM to start or to load, so give it enough workers; it never waits for a guest.
// NOTE Restart: everything is found again from the ledger, the process driver and the VM's
// directory; a resumed machine is adopted, one that was not is ended and begun anew.
// NOTE Budget: this loop makes no durable commit between the claim and the resume.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "controller/runtime/reconciler.h"
#include "reconcilers/virtual_machine/deps.h"
#include "reconcilers/virtual_machine/memory.h"
#include "reconcilers/virtual_machine/observe.h"
#include "reconcilers/virtual_machine/plan.h"

namespace forkplane::virtual_machine {

class Execution;

class VirtualMachineReconciler final : public runtime::Reconciler {
 public:
  explicit VirtualMachineReconciler(Deps deps) : deps_(std::move(deps)) {}

  Result<runtime::Next> Reconcile(const std::string& key, const std::stop_token& stop) override;
  Result<std::string> Explain(const std::string& key) override;

  // What runs already is counted before anything new starts. After the caches have synced, before
  // the first pass.
  void HoldRunning();

  // Calls `enqueue` with the key of every VM that a change concerns: objects, leases, facts, exits.
  // Before the informers start; what `enqueue` uses must outlive the informers and the boards.
  // Machines end whenever they like, in threads of the drivers: what they wake ends with the
  // handle, which must be destroyed before this loop and before what `enqueue` uses.
  [[nodiscard]] std::shared_ptr<void> Attach(std::function<void(const std::string& key)> enqueue);

 private:
  struct Pass {
    Context context;
    Waiting waiting = Waiting::kNothing;
    std::optional<MonotonicTime> until = {};  // as in Plan
  };

  bool IsOurs(const crd::VirtualMachine& vm) const { return vm.spec.host_name == deps_.host_name; }
  Result<Pass> Converge(const std::shared_ptr<const crd::VirtualMachine>& vm, VmMemory& memory,
                        const std::stop_token& stop);
  static Result<bool> Run(const Plan& plan, Execution& execution, int& stale,
                          const std::stop_token& stop);
  void Remember(const Context& context, Waiting waiting, VmMemory& memory);
  void NoteEnd(const Context& context, VmMemory& memory);
  void Publish(const Context& context);
  void SettleCompute(const Context& context, Waiting waiting);
  void RecordRestartRequired(const Context& context, const crd::VirtualMachineStatus& status,
                             VmMemory& memory);
  void RecordWaiting(const Context& context, const crd::VirtualMachineStatus& status,
                     VmMemory& memory);
  void WriteStatus(const Pass& pass, VmMemory& memory);
  void ReportFailure(const crd::VirtualMachine& vm, const Error& error, VmMemory& memory);
  runtime::Next NextLook(const Pass& pass, const VmMemory& memory) const;
  void AttachObjects(const std::function<void(const std::string& key)>& enqueue);
  void EnqueueUid(const std::string& uid, const std::function<void(const std::string&)>& enqueue);

  Deps deps_;
  Memory memory_;
};

}  // namespace forkplane::virtual_machine
