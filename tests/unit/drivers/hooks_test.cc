// Goal: every kind of fault strikes at exactly the call it was aimed at, and every call is
// measured. Method: the fake host behind the decorators.
#include <gtest/gtest.h>

#include "drivers/fake/drivers.h"
#include "drivers/fault/fault.h"
#include "drivers/hooked/network.h"
#include "drivers/trace/trace.h"

namespace forkplane::drivers {
namespace {

class HooksTest : public ::testing::Test {
 protected:
  // Makes an IFB (call 1) and sets it up (call 2) with this fault.
  void Run(fault::Options options) {
    injector_ = std::make_unique<fault::Injector>(std::move(options));
    HookedLinkDriver links(inner_, *injector_);
    create_ = links.CreateIfb({0, ""});
    EXPECT_TRUE(links.ListOwned().ok());
    set_up_ = links.SetUp(IfbIndex(0), true);
  }
  bool IsUp() { return inner_.Observe(IfbIndex(0))->value().up; }

  fake::FakeKernel kernel_;
  fake::FakeLinkDriver inner_{kernel_};
  std::unique_ptr<fault::Injector> injector_;
  Status create_ = OkStatus();
  Status set_up_ = OkStatus();
};

TEST_F(HooksTest, WithoutAFaultOnlyChangesAreCounted) {
  Run({});
  EXPECT_TRUE(create_.ok() && set_up_.ok());
  EXPECT_EQ(injector_->calls(), 2);
  EXPECT_FALSE(injector_->fired());
}

TEST_F(HooksTest, AnErrorBeforeLeavesTheCallUndone) {
  Run({2, fault::Kind::kErrorBefore});
  EXPECT_TRUE(create_.ok());
  EXPECT_EQ(set_up_.error().code, Code::kUnavailable);
  EXPECT_FALSE(IsUp());
}

TEST_F(HooksTest, AnErrorAfterHidesThatItWasDone) {
  Run({2, fault::Kind::kErrorAfter});
  EXPECT_EQ(set_up_.error().code, Code::kUnavailable);
  EXPECT_TRUE(IsUp());
}

TEST_F(HooksTest, CrashesStrikeBeforeAndAfter) {
  EXPECT_THROW(Run({2, fault::Kind::kCrashBefore}), fault::SimulatedCrash);
  EXPECT_FALSE(IsUp());
  EXPECT_TRUE(inner_.Delete(IfbIndex(0)).ok());
  EXPECT_THROW(Run({2, fault::Kind::kCrashAfter}), fault::SimulatedCrash);
  EXPECT_TRUE(IsUp());
}

TEST_F(HooksTest, ARivalWasThereFirst) {
  Run({1, fault::Kind::kRaced});
  EXPECT_EQ(create_.error().code, Code::kExists);
  EXPECT_TRUE(injector_->fired());
}

TEST_F(HooksTest, ACrashCanEndTheProcess) {
  fault::Options options{1, fault::Kind::kCrashBefore};
  options.crash = fault::ExitNow;
  EXPECT_EXIT(Run(options), ::testing::ExitedWithCode(fault::kCrashExitCode),
              "crash at link.create_ifb");
}

TEST_F(HooksTest, CallsAreMeasuredByOutcome) {
  metrics::Registry registry;
  ManualClock clock;
  trace::CallMetrics metrics(registry, clock);
  HookedLinkDriver links(inner_, metrics);
  EXPECT_TRUE(links.CreateIfb({0, ""}).ok());
  EXPECT_FALSE(links.CreateIfb({0, ""}).ok());
  const std::string text = registry.Serialize();
  for (const char* code : {"Ok", "Exists"}) {
    const std::string line = std::string("forkplane_driver_call_duration_seconds_count{code=\"") +
                             code + "\",driver=\"link\",op=\"create_ifb\"} 1";
    EXPECT_NE(text.find(line), std::string::npos) << line << "\n" << text;
  }
}

}  // namespace
}  // namespace forkplane::drivers
