// Ends this process by SIGKILL at one chosen moment of its life: right before or right after its
// N-th mutating driver call, ledger commit or commit of the object store. No destructor, no flush,
// nobody is asked.
//
// NOTE Count: each kind has its own numbers, from 1, in the order the calls begin. Loops run in
// threads of their own, so a number names about the same call from run to run, not exactly.
#pragma once

#include <array>
#include <atomic>
#include <functional>
#include <optional>
#include <string>

#include "controller/base/result.h"
#include "controller/store/revision_log.h"
#include "drivers/call_hook.h"

namespace forkplane::crash {

enum class Door { kDriver, kLedger, kStore };
inline constexpr std::array<const char*, 3> kDoorNames = {"driver", "ledger", "store"};

struct Moment {
  Door door = Door::kDriver;
  int number = 0;  // the first is 1
  bool after = false;
};

// "driver:17:before"; Invalid says what is wanted.
Result<Moment> ParseMoment(const std::string& text);

class KillSwitch final : public drivers::CallHook {
 public:
  explicit KillSwitch(std::optional<Moment> moment) : moment_(moment) {}

  // Driver calls.
  std::optional<Error> Before(const drivers::CallInfo& call,
                              const std::function<void()>& perform) override;
  std::optional<Error> After(const drivers::CallInfo& call, const Error* error) override;
  // Commits of the ledger; one at a time.
  void LedgerCommit(bool done);
  // The log with each Append and Compact seen. The switch outlives it.
  std::unique_ptr<store::RevisionLog> Wrap(std::unique_ptr<store::RevisionLog> inner);

  // "driver=12 ledger=3 store=40"
  std::string Counts() const;

 private:
  class Log;
  int Begin(Door door, const std::string& what);
  void End(Door door, int number, const std::string& what);

  const std::optional<Moment> moment_;
  std::array<std::atomic<int>, 3> counts_{};
};

}  // namespace forkplane::crash
