#include "tests/crash/daemon/kill_switch.h"

#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <utility>

namespace forkplane::crash {
namespace {

// The numbers of the calls under way in this thread: a driver may use another one.
thread_local std::vector<int> calls_under_way;

[[noreturn]] void Die(const std::string& at) {
  const std::string text = "SIGKILL " + at + "\n";
  [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, text.data(), text.size());
  // The other threads run on for a moment, as with a kill from outside; this one does not.
  for (;;) kill(getpid(), SIGKILL);
}

std::string At(const drivers::CallInfo& call) { return fmt::format("{}.{}", call.driver, call.op); }

}  // namespace

Result<Moment> ParseMoment(const std::string& text) {
  const auto first = text.find(':');
  const auto last = text.rfind(':');
  const std::string door = text.substr(0, first);
  const auto* const name = std::find(kDoorNames.begin(), kDoorNames.end(), door);
  const std::string number =
      first < last && last != std::string::npos ? text.substr(first + 1, last - first - 1) : "";
  const std::string side = last == std::string::npos ? "" : text.substr(last + 1);
  if (name == kDoorNames.end() || number.empty() || number.size() > 6 ||
      number.find_first_not_of("0123456789") != std::string::npos ||
      (side != "before" && side != "after")) {
    return Invalid(fmt::format("\"{}\": must be driver|ledger|store:NUMBER:before|after", text));
  }
  return Moment{.door = static_cast<Door>(name - kDoorNames.begin()),
                .number = std::stoi(number),
                .after = side == "after"};
}

int KillSwitch::Begin(Door door, const std::string& what) {
  const int number = ++counts_.at(static_cast<std::size_t>(door));
  if (moment_ && !moment_->after && moment_->door == door && moment_->number == number) {
    Die("before " + what);
  }
  return number;
}

void KillSwitch::End(Door door, int number, const std::string& what) {
  if (moment_ && moment_->after && moment_->door == door && moment_->number == number) {
    Die("after " + what);
  }
}

std::optional<Error> KillSwitch::Before(const drivers::CallInfo& call,
                                        const std::function<void()>& /*perform*/) {
  calls_under_way.push_back(call.mutates ? Begin(Door::kDriver, At(call)) : 0);
  return std::nullopt;
}

std::optional<Error> KillSwitch::After(const drivers::CallInfo& call, const Error* /*error*/) {
  const int number = calls_under_way.back();
  calls_under_way.pop_back();
  if (number != 0) End(Door::kDriver, number, At(call));
  return std::nullopt;
}

void KillSwitch::LedgerCommit(bool done) {
  if (!done) {
    Begin(Door::kLedger, "a commit of the ledger");
  } else {
    End(Door::kLedger, counts_.at(static_cast<std::size_t>(Door::kLedger)),
        "a commit of the ledger");
  }
}

class KillSwitch::Log final : public store::RevisionLog {
 public:
  Log(std::unique_ptr<store::RevisionLog> inner, KillSwitch& owner)
      : inner_(std::move(inner)), switch_(owner) {}

  Status Append(std::span<const store::LogRecord> records) override {
    return Through("a commit of the store", [&] { return inner_->Append(records); });
  }
  Status Compact(store::Revision through) override {
    return Through("a compaction of the store", [&] { return inner_->Compact(through); });
  }
  Status Load(const std::function<Status(store::LogRecord&&)>& visit) override {
    return inner_->Load(visit);
  }
  // Not counted: health is asked at no certain moment.
  Status Probe() override { return inner_->Probe(); }
  store::Revision last_revision() const override { return inner_->last_revision(); }
  store::Revision compacted() const override { return inner_->compacted(); }
  const std::string& identity() const override { return inner_->identity(); }

 private:
  template <typename Commit>
  Status Through(const std::string& what, Commit commit) {
    const int number = switch_.Begin(Door::kStore, what);
    Status done = commit();
    switch_.End(Door::kStore, number, what);
    return done;
  }

  std::unique_ptr<store::RevisionLog> inner_;
  KillSwitch& switch_;
};

std::unique_ptr<store::RevisionLog> KillSwitch::Wrap(std::unique_ptr<store::RevisionLog> inner) {
  return std::make_unique<Log>(std::move(inner), *this);
}

std::string KillSwitch::Counts() const {
  std::string text;
  for (std::size_t i = 0; i < kDoorNames.size(); ++i) {
    text += fmt::format("{}{}={}", i == 0 ? "" : " ", kDoorNames.at(i), counts_.at(i).load());
  }
  return text;
}

}  // namespace forkplane::crash
