// What a killed process said to its callers, and what the file must therefore hold.
//
// A caller writes a record before each call and one after it, with the answer. What was answered
// must stand; what was begun may have happened or not; what was never begun did not happen. Nothing
// of the ledger is used here.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "tests/unit/ledger/file_judge.h"

namespace forkplane::ledger {

// Fixed in size and below PIPE_BUF, so that 25 threads write whole ones into one pipe.
struct Record {
  enum class Call : std::uint8_t {
    kClaim,
    kSetVmm,
    kClearVmm,
    kFreeSlot,
    kReleaseInterface,
    kRelease,
    kConfirmTap,
    kConfirmClass,
    kGrantSlots,
    kClaimNetwork,
    kBeginReleaseNetwork,
    kConfirmNetwork,
    kTime,  // `number` is how many milliseconds the clock will be set forward
  };
  struct Item {
    std::int64_t lease;
    std::uint32_t ordinal;
    std::uint32_t number;
    std::uint32_t address;
    std::uint32_t rest_ms;  // of its network
  };
  static constexpr std::size_t kItemsMax = 16;

  Call call;
  bool answered;
  bool ok;
  std::uint8_t refusal;  // Code, when answered and not ok
  std::uint8_t slot;     // kClaim, answered: 0 none, 1 waiting, 2 granted
  std::uint8_t items_count;
  std::uint32_t worker;
  std::uint32_t number;  // kSetVmm: pid; kClaim: VMM uid; kGrantSlots: total; networks: bridge
  std::int64_t clock_ms;
  char name[16];  // owner uid, Network uid or pool
  Item items[kItemsMax];
};

class Promises {
 public:
  // `totals`: of the slot pools, before anybody set one.
  Promises(std::int64_t clock_ms, std::map<std::string, std::uint32_t> totals)
      : clock_ms_(clock_ms), totals_(std::move(totals)) {}

  // In the order of the pipe.
  void Take(const Record& record);
  // At the end: what the file lost, and what it should not have.
  void CheckFile(const FileJudge& file);

  const std::vector<std::string>& wrong() const { return wrong_; }
  const std::map<std::string, std::uint32_t>& totals() const { return totals_; }
  std::int64_t clock_ms() const { return clock_ms_; }  // the clock was never beyond
  std::int64_t highest_lease() const { return leases_.empty() ? 0 : leases_.rbegin()->first; }
  std::size_t taken() const { return taken_; }

 private:
  struct Part {
    bool begun = false;
    bool answered = false;
    std::int64_t begun_at_ms = 0;
  };
  struct Lease {
    std::string owner;
    Record::Item item = {};
    bool release_begun = false;
    bool released = false;
    Part tap;
    Part klass;

    bool MayBeGone() const { return tap.begun && klass.begun; }
    bool IsGone() const { return tap.answered && klass.answered; }
    std::int64_t RestEndsMs() const {
      return std::max(tap.begun_at_ms, klass.begun_at_ms) + item.rest_ms;
    }
  };
  // One life of an owner; the next claim after its end begins another.
  struct Life {
    bool held = false;  // a claim was answered
    bool claim_begun = false;
    std::uint32_t vmm_uid = 0;
    std::map<std::uint32_t, std::int64_t> leases;  // by ordinal
    bool release_begun = false;
    bool released = false;
    bool vmm_known = true;
    std::uint32_t pid = 0;
    enum class Slot : std::uint8_t { kUnknown, kNone, kHeld, kGranted };
    Slot slot = Slot::kNone;
  };
  struct Network {
    enum class State : std::uint8_t { kUnknown, kAbsent, kActive, kReleasing };
    State state = State::kAbsent;
    State before = State::kAbsent;  // the call that is under way
    std::uint32_t bridge = 0;
  };

  void Wrong(std::string text) { wrong_.push_back(std::move(text)); }
  Lease& Told(std::int64_t id);
  void Begin(const Record& record);
  static void BeginVm(Record::Call call, Life& life);
  void Answer(const Record& record);
  void AnswerClaim(const Record& record);
  void AnswerLease(const std::string& owner, Life& life, const Record::Item& item);
  void HandOut(std::int64_t id, const Lease& lease);
  void BeginNetwork(const Record& record);
  void AnswerNetwork(const Record& record);
  void AnswerRelease(const std::string& owner);
  bool MayBeGone(const Life& life) const;

  void CheckLeases(const FileJudge& file);
  void CheckHeldLease(const Lease& lease, const FileJudge::Row& row);
  void CheckVms(const FileJudge& file);
  void CheckVm(const std::string& owner, const Life& life, const FileJudge::Row* row);
  void CheckSlots(const FileJudge& file);
  void CheckNetworks(const FileJudge& file);

  std::int64_t clock_ms_;
  std::size_t taken_ = 0;
  std::map<std::int64_t, Lease> leases_;
  std::map<std::string, Life> lives_;
  std::map<std::string, Network> networks_;
  std::map<std::string, std::uint32_t> totals_;
  std::map<std::uint32_t, std::int64_t> by_address_;  // the last one that was told
  std::map<std::uint32_t, std::int64_t> by_number_;
  std::map<std::uint32_t, std::string> by_uid_;
  std::vector<std::string> wrong_;
};

}  // namespace forkplane::ledger
