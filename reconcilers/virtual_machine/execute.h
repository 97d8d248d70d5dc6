// Executes one plan: every action is one call to a driver, the ledger or the store.
#pragma once

#include <cstdint>
#include <optional>
#include <stop_token>
#include <string>

#include "controller/base/result.h"
#include "reconcilers/virtual_machine/deps.h"
#include "reconcilers/virtual_machine/memory.h"
#include "reconcilers/virtual_machine/observe.h"
#include "reconcilers/virtual_machine/plan.h"

namespace forkplane::virtual_machine {

// How an action ended.
enum class Outcome : std::uint8_t {
  kDone,
  kStale,   // the world changed since it was observed: observe again
  kWait,    // a claim was refused or a start failed: noted in memory, the rest is not done
  kFailed,  // retry with backoff
};

class Execution {
 public:
  Execution(const Deps& deps, const Context& context, VmMemory& memory, const std::stop_token& stop)
      : deps_(deps), context_(context), memory_(memory), stop_(stop) {}

  Outcome Run(const Action& action);
  // Notes a part of a start that stays stale as a failed start. False: `action` starts nothing.
  bool NoteIfStart(const Action& action);
  // The cause, after kStale and kFailed.
  const Error& error() const { return *error_; }

 private:
  Status Do(const AddFinalizer& action);
  Status Do(const Claim& action);
  Status Do(const ReleaseInterface& action);
  Status Do(const CreateDirectory& action);
  Status Do(const WriteRun& action);
  Status Do(const Launch& action);
  Status Do(const Load& action);
  Status Do(const Resume& action);
  Status Do(const FreeSlot& action);
  Status Do(const SetVmm& action);
  Status Do(const Adopt& action);
  Status Do(const RecordExit& action);
  Status Do(const BeginStop& action);
  Status Do(const AskPowerOff& action);
  Status Do(const Quit& action);
  Status Do(const ClearVmm& action);
  Status Do(const RemoveDirectory& action);
  Status Do(const Release& action);
  Status Do(const RemoveFinalizer& action);

  const std::string& uid() const { return context_.vm().metadata.uid; }
  store::ObjectKey key() const;
  // The driver of the next start; the driver of the machine that exists.
  vmm::Hypervisor& NextDriver() const;
  vmm::Hypervisor& CurrentDriver() const;
  vmm::RestoreSource RestoreSource() const;
  Result<vmm::MachineSpec> MachineSpec(std::vector<UniqueFd>& taps) const;
  void NoteStarted(const process::ProcessRecord& record);
  void NoteResumed();
  void NoteStopping();
  void NoteFailure(std::string_view reason, const Error& error);
  Outcome Settle(const Action& action, Status status);

  const Deps& deps_;
  const Context& context_;
  VmMemory& memory_;
  const std::stop_token& stop_;
  std::optional<process::ProcessRecord> launched_ = {};
  std::optional<MonotonicTime> stop_begun_ = {};
  std::optional<Error> error_ = {};
};

// Counts a failed start or an unexpected end, and sets when the next attempt may begin.
void CountFailure(VmMemory& memory, MonotonicTime now);

// How many of the guest's last console lines a failure's Event has.
inline constexpr std::size_t kConsoleLines = 20;
// The message of a failure and below it the guest's last console lines, at most an Event's length.
std::string WithConsole(const std::string& message, const std::vector<std::string>& lines);

}  // namespace forkplane::virtual_machine
