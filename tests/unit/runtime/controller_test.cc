// Goal: every outcome of a pass leads to exactly what it should: the key's next time, one counter.
// Method: a reconciler that answers what it is told, driven without threads.
#include "controller/runtime/controller.h"

#include <gtest/gtest.h>

#include <atomic>

#include "controller/runtime/facts.h"

namespace forkplane::runtime {
namespace {

using std::chrono::seconds;

class Scripted final : public Reconciler {
 public:
  Result<Next> Reconcile(const std::string& key, const std::stop_token&) override {
    keys.push_back(key);
    return answer;
  }
  Result<std::string> Explain(const std::string&) override { return std::string("{}"); }

  Result<Next> answer = Next::Done();
  std::vector<std::string> keys;
};

class ControllerTest : public ::testing::Test {
 protected:
  bool Step() { return controller_.ProcessReady(std::stop_token{}); }
  bool Shows(const std::string& line) const {
    return registry_.Serialize().find(line + "\n") != std::string::npos;
  }
  std::string Total(const std::string& result, int n) const {
    return "controller_runtime_reconcile_total{controller=\"tap\",result=\"" + result + "\"} " +
           std::to_string(n);
  }

  ManualClock clock_;
  SeededRng rng_{1};
  metrics::Registry registry_;
  Scripted reconciler_;
  Controller controller_{{.name = "tap", .workers = 2}, reconciler_, clock_, rng_, registry_};
};

TEST_F(ControllerTest, AllCountersAreThereAtZero) {
  for (const char* result : {"error", "requeue", "requeue_after", "success"}) {
    EXPECT_TRUE(Shows(Total(result, 0))) << result;
  }
  EXPECT_TRUE(Shows("controller_runtime_reconcile_errors_total{controller=\"tap\"} 0"));
  EXPECT_TRUE(Shows("controller_runtime_terminal_reconcile_errors_total{controller=\"tap\"} 0"));
  EXPECT_TRUE(Shows("controller_runtime_active_workers{controller=\"tap\"} 0"));
  EXPECT_TRUE(Shows("controller_runtime_max_concurrent_reconciles{controller=\"tap\"} 2"));
}

TEST_F(ControllerTest, SuccessIsTheEndUntilSomebodyAddsTheKey) {
  controller_.Add("a");
  EXPECT_TRUE(Step());
  EXPECT_FALSE(Step());
  EXPECT_EQ(controller_.queue().NextDue(), std::nullopt);
  EXPECT_TRUE(Shows(Total("success", 1)));
}

TEST_F(ControllerTest, AfterComesAgainAfterThatTime) {
  reconciler_.answer = Next::After(seconds(30));
  controller_.Add("a");
  EXPECT_TRUE(Step());
  EXPECT_FALSE(Step());
  clock_.Advance(seconds(30));
  EXPECT_TRUE(Step());
  EXPECT_TRUE(Shows(Total("requeue_after", 2)));
}

TEST_F(ControllerTest, AnErrorComesAgainWithBackoffAndSuccessForgetsIt) {
  reconciler_.answer = Unavailable("not now");
  controller_.Add("a");
  for (int i = 1; i <= 3; ++i) {
    EXPECT_TRUE(Step());
    EXPECT_EQ(controller_.queue().Failures("a"), i);
    clock_.Advance(*controller_.queue().NextDue() - clock_.Now());
  }
  EXPECT_TRUE(Shows(Total("error", 3)));
  EXPECT_TRUE(Shows("controller_runtime_reconcile_errors_total{controller=\"tap\"} 3"));
  reconciler_.answer = Next::Done();
  EXPECT_TRUE(Step());
  EXPECT_EQ(controller_.queue().Failures("a"), 0);
}

TEST_F(ControllerTest, InvalidIsTerminal) {
  reconciler_.answer = Invalid("never");
  controller_.Add("a");
  EXPECT_TRUE(Step());
  EXPECT_EQ(controller_.queue().NextDue(), std::nullopt);
  EXPECT_TRUE(Shows(Total("error", 1)));
  EXPECT_TRUE(Shows("controller_runtime_terminal_reconcile_errors_total{controller=\"tap\"} 1"));
}

TEST_F(ControllerTest, AConflictComesAgainAndIsNoFailure) {
  reconciler_.answer = Conflict("moved");
  controller_.Add("a");
  EXPECT_TRUE(Step());
  EXPECT_NE(controller_.queue().NextDue(), std::nullopt);
  EXPECT_TRUE(Shows(Total("requeue", 1)));
  EXPECT_TRUE(Shows("controller_runtime_reconcile_errors_total{controller=\"tap\"} 0"));
}

// Ends only when told to.
class Waiting final : public Reconciler {
 public:
  Result<Next> Reconcile(const std::string&, const std::stop_token& stop) override {
    started = true;
    while (!stop.stop_requested()) std::this_thread::yield();
    return Cancelled("stopped");
  }
  Result<std::string> Explain(const std::string&) override { return std::string("{}"); }
  std::atomic<bool> started = false;
};

TEST(ControllerThreadsTest, StopEndsAPassUnderWay) {
  SeededRng rng(1);
  metrics::Registry registry;
  Waiting reconciler;
  Controller controller({.name = "tap"}, reconciler, RealClock(), rng, registry);
  controller.Add("a");
  controller.Start();
  while (!reconciler.started) std::this_thread::yield();
  controller.Stop();
  SUCCEED();
}

TEST(FactBoardTest, TellsSubscribersOfDifferencesOnly) {
  InterfaceFactBoard board;
  std::vector<std::string> heard;
  board.Subscribe([&heard](const std::string& key) { heard.push_back(key); });
  board.Publish("1", {.ready = true});
  board.Publish("1", {.ready = true});
  board.Amend("1", [](InterfaceFacts& facts) { facts.shaped = true; });
  EXPECT_EQ(heard.size(), 2U);
  EXPECT_TRUE(board.Get("1")->ready);
  EXPECT_TRUE(board.Get("1")->shaped);
  board.Retract("1");
  board.Retract("1");
  EXPECT_EQ(heard.size(), 3U);
  EXPECT_EQ(board.Get("1"), std::nullopt);
}

}  // namespace
}  // namespace forkplane::runtime
