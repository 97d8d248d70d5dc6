// Goal: whatever happens at any call to the ledger, the storage, the hypervisor
// or the store, the host ends as the objects say. Method: one script (fork a
// running VM, wait until it is Ready, delete everything) is run once to count
// its calls; then once per call and kind of fault: the daemon dies before or
// after the call, or the call fails before or after its effect.
#include <gtest/gtest.h>
#include <unistd.h>

#include <string>

#include "tests/convergence/support.h"
#include "tests/convergence/virtual_machine/world.h"

namespace forkplane::testing {
namespace {

enum class Fault : std::uint8_t { kNone, kCrashBefore, kCrashAfter, kErrorBefore, kErrorAfter };

// Where the script is; survives the daemon.
enum class Step : std::uint8_t { kMakeSource, kSource, kMakeFork, kFork, kDelete, kGone, kDone };

class Script {
 public:
  Script(Fault fault, int at) : fault_(fault), at_(at) {
    world_.door = [this](const std::string& operation, bool after) {
      return Meet(operation, after);
    };
  }

  // Empty: it ended as it should.
  std::string Run() {
    world_.StartDaemon();
    while (step_ != Step::kDone) {
      try {
        const std::string problem = Go();
        if (!problem.empty()) return problem + " (fault at " + met_ + ")";
      } catch (const SimulatedCrash&) {
        world_.KillDaemon();
        world_.StartDaemon();
      }
    }
    return world_.LeftOver();
  }
  int calls() const { return calls_; }
  bool injected() const { return done_; }

 private:
  std::optional<Error> Meet(const std::string& operation, bool after) {
    // Status writes and Events are retried by their writers and decide nothing.
    if (operation.starts_with("store.UpdateStatus") || operation.ends_with(" events")) {
      return std::nullopt;
    }
    if (operation == "vmm.Launch" || operation == "vmm.Resume") CheckOneRun(operation, after);
    if (!after) ++calls_;
    if (calls_ != at_ || done_) return std::nullopt;
    const bool before = fault_ == Fault::kCrashBefore || fault_ == Fault::kErrorBefore;
    if (fault_ == Fault::kNone || before == after) return std::nullopt;
    done_ = true;
    met_ = operation + (after ? " after" : " before");
    if (fault_ == Fault::kCrashBefore || fault_ == Fault::kCrashAfter) {
      throw SimulatedCrash();
    }
    return Unavailable("fault");
  }

  void CheckOneRun(const std::string& operation, bool after) {
    if (!after && !world_.network_up) ADD_FAILURE() << operation << " without a network";
  }

  std::string Go() {
    const auto next = [this](Step step) { step_ = step; };
    switch (step_) {
      case Step::kMakeSource:
        next(Step::kSource);
        return TextOf(world_.Apply("VirtualMachine", "source", "{}"));
      case Step::kSource:
        if (!world_.Until([this] { return world_.Ready("VirtualMachine", "source"); })) {
          return "the source is not Ready: " + world_.Explain("source");
        }
        next(Step::kMakeFork);
        return {};
      case Step::kMakeFork:
        next(Step::kFork);
        return TextOf(
            world_.Apply("Fork", "f", R"({"source":{"kind":"VirtualMachine","name":"source"}})"));
      case Step::kFork:
        if (!world_.Until([this] { return world_.Ready("Fork", "f"); })) {
          return "the fork is not Ready: " + world_.Reason("Fork", "f", "Ready") + " " +
                 world_.Explain("f");
        }
        next(Step::kDelete);
        return world_.Wrong();
      case Step::kDelete:
        next(Step::kGone);
        // One guest follows its power button, the other has to be ended.
        world_.obeys = [source = world_.Vm("source")->metadata.uid](const std::string& uid) {
          return uid != source;
        };
        static_cast<void>(world_.Delete("Fork", "f"));
        return TextOf(world_.Delete("VirtualMachine", "source"));
      case Step::kGone:
        if (!world_.Until([this] { return world_.LeftOver().empty(); })) {
          return "left over: " + world_.LeftOver();
        }
        next(Step::kDone);
        return {};
      case Step::kDone:
        break;
    }
    return {};
  }

  static std::string TextOf(const Status& status) {
    return status.ok() ? "" : status.error().message;
  }

  World world_;
  Fault fault_;
  int at_;
  int calls_ = 0;
  bool done_ = false;
  std::string met_ = "nothing";
  Step step_ = Step::kMakeSource;
};

int Stride() { return convergence::Depth() < 1 ? 5 : 1; }

class FaultTest : public ::testing::TestWithParam<Fault> {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "VM directories belong to leased uids: needs root";
  }
};

TEST_P(FaultTest, AtAnyCallConverges) {
  Script plain(Fault::kNone, 0);
  ASSERT_EQ(plain.Run(), "");
  const int calls = plain.calls();
  ASSERT_GE(calls, 25) << "the script does too little to mean anything";
  RecordProperty("calls", calls);
  for (int at = 1; at <= calls; at += Stride()) {
    Script script(GetParam(), at);
    ASSERT_EQ(script.Run(), "") << "call " << at << " of " << calls;
    ASSERT_TRUE(script.injected()) << "call " << at << " of " << calls << " was never made";
  }
}

std::string NameOf(const ::testing::TestParamInfo<Fault>& info) {
  switch (info.param) {
    case Fault::kNone:
      return "None";
    case Fault::kCrashBefore:
      return "CrashBefore";
    case Fault::kCrashAfter:
      return "CrashAfter";
    case Fault::kErrorBefore:
      return "ErrorBefore";
    case Fault::kErrorAfter:
      return "ErrorAfter";
  }
  return "Unknown";
}

INSTANTIATE_TEST_SUITE_P(Every, FaultTest,
                         ::testing::Values(Fault::kCrashBefore, Fault::kCrashAfter,
                                           Fault::kErrorBefore, Fault::kErrorAfter),
                         NameOf);

}  // namespace
}  // namespace forkplane::testing
