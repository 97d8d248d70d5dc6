// Goal: an edited template reaches what was made from it, as far as that may change, and the status
// tells the truth about the rest. Method: the world of world.h.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <string>

#include "crd/json.h"
#include "tests/convergence/virtual_machine/world.h"

namespace forkplane::testing {
namespace {

using std::chrono::seconds;
using ::testing::HasSubstr;

constexpr const char* kRate = R"({"interfaces":[{"name":"eth0","bandwidth":{"download":{"rate":)";

class TemplateTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "VM directories belong to leased uids: needs root";
    world_.StartDaemon();
    ASSERT_TRUE(world_
                    .Apply("VirtualMachine", "source",
                           R"({"interfaces":[{"name":"eth0","network":"default","bandwidth":
                               {"download":{"rate":"20M"},"upload":{"rate":"5M"}}}]})")
                    .ok());
    ASSERT_TRUE(
        world_.Apply("Snapshot", "snap", R"({"source":{"virtualMachineName":"source"}})").ok());
    ASSERT_TRUE(world_.Until([&] { return world_.Ready("Snapshot", "snap"); }));
  }

  void Make(const std::string& kind, const std::string& name, const std::string& spec) {
    const Status made = world_.Apply(kind, name, spec);
    ASSERT_TRUE(made.ok()) << made.error().message;
    ASSERT_TRUE(world_.Until([&] { return world_.Ready(kind, name); }))
        << world_.Reason(kind, name, "Ready");
  }
  void MakeFork(const std::string& name, const std::string& rest = "") {
    Make("Fork", name, R"({"source":{"kind":"Snapshot","name":"snap"})" + rest + "}");
  }
  void Edit(const std::string& kind, const std::string& name, const std::string& spec) {
    const Status edited = world_.ApplySpec(kind, name, spec);
    ASSERT_TRUE(edited.ok()) << edited.error().message;
  }
  std::string RateOf(const std::string& vm) {
    const auto bandwidth = world_.Vm(vm)->spec.interfaces.at(0).bandwidth;
    return bandwidth && bandwidth->download ? bandwidth->download->rate->Text() : "";
  }
  crd::StringMap Labels(const std::string& vm) { return world_.Vm(vm)->metadata.labels; }
  std::string Message(const crd::Conditions& conditions, std::string_view type) {
    const crd::Condition* condition = crd::FindCondition(conditions, type);
    return condition == nullptr ? "" : condition->message;
  }

  World world_;
};

TEST_F(TemplateTest, AForksEditReachesItsRunningMachine) {
  MakeFork("f", R"(,"template":{"metadata":{"labels":{"a":"1","b":"1"}}})");
  const auto machine = world_.Machine("f").process;
  EXPECT_EQ(RateOf("f"), "20M");
  Edit("Fork", "f",
       R"({"template":{"metadata":{"labels":{"a":"2","b":null,"c":"3"},"annotations":{"n":"x"}},
           "spec":{"restartPolicy":"Always","interfaces":[{"name":"eth0","bandwidth":
             {"download":{"rate":"50M"}}}]}},"admissionPolicy":"FailFast"})");
  ASSERT_TRUE(world_.Until([&] { return RateOf("f") == "50M"; }));
  EXPECT_EQ(Labels("f"), (crd::StringMap{{"a", "2"}, {"c", "3"}}));
  EXPECT_EQ(world_.Vm("f")->metadata.annotations.at("n"), "x");
  EXPECT_EQ(world_.Vm("f")->spec.interfaces[0].bandwidth->upload->rate->Text(), "5M");
  EXPECT_EQ(world_.Vm("f")->spec.restart_policy, crd::RestartPolicy::kAlways);
  EXPECT_EQ(world_.Vm("f")->spec.admission_policy, crd::AdmissionPolicy::kFailFast);
  ASSERT_TRUE(world_.Until([&] { return world_.Ready("Fork", "f"); }));
  EXPECT_EQ(world_.ForkOf("f")->status.observed_generation, 2);
  EXPECT_EQ(world_.Machine("f").process, machine) << "nothing was restarted";
  // An override that goes falls back to what was captured.
  Edit("Fork", "f", R"({"template":{"spec":{"interfaces":null}}})");
  EXPECT_TRUE(world_.Until([&] { return RateOf("f") == "20M"; })) << RateOf("f");
}

TEST_F(TemplateTest, WhatIsWrittenIntoTheMachineStaysUntilTheTemplateChanges) {
  MakeFork("f", R"(,"template":{"metadata":{"labels":{"a":"1"}}})");
  Edit("VirtualMachine", "f",
       R"({"interfaces":[{"name":"eth0","network":"default","bandwidth":{"download":
           {"rate":"7M"}}}]})");
  world_.Run(seconds(10));
  EXPECT_EQ(RateOf("f"), "7M");
  EXPECT_TRUE(world_.Ready("Fork", "f"));
  Edit("Fork", "f", R"({"template":{"metadata":{"labels":{"a":"2"}}}})");
  EXPECT_TRUE(world_.Until([&] { return RateOf("f") == "20M"; }))
      << "the template is applied whole";
}

TEST_F(TemplateTest, WhatAMachineCannotTakeIsNamed) {
  MakeFork("f");
  Edit("Fork", "f",
       R"({"targetState":"Stopped","template":{"spec":{"interfaces":[{"name":"eth9"}]}}})");
  ASSERT_TRUE(world_.Until([&] { return world_.Condition("Fork", "f", "NotUpdated") == "True"; }));
  EXPECT_EQ(world_.Reason("Fork", "f", "NotUpdated"), "FieldsFixed");
  const std::string message = Message(world_.ForkOf("f")->status.conditions, "NotUpdated");
  EXPECT_THAT(message, HasSubstr("spec.targetState (Stopped): applies when the machine is made"));
  EXPECT_THAT(message, HasSubstr("spec.template.spec.interfaces[0].name: the machine has no"));
  world_.Run(seconds(5));
  EXPECT_EQ(world_.Vm("f")->status.phase, crd::VmPhase::kRunning);
  Edit("Fork", "f", R"({"targetState":"Running","template":{"spec":{"interfaces":null}}})");
  EXPECT_TRUE(world_.Until([&] { return world_.Condition("Fork", "f", "NotUpdated").empty(); }));
}

TEST_F(TemplateTest, ASetsEditReachesItsForksAndTheirMachines) {
  const std::string source = R"("source":{"kind":"Snapshot","name":"snap"})";
  Make("ForkSet", "s",
       R"({"replicas":3,"selector":{"matchExpressions":[{"key":"app","operator":"Exists"}]},
           "template":{"metadata":{"labels":{"app":"a","old":"1"}},"spec":{)" +
           source + "}}}");
  EXPECT_EQ(world_.Set("s")->status.selector, "app");
  EXPECT_EQ(world_.Set("s")->status.updated_replicas, 3);
  Edit("ForkSet", "s",
       R"({"template":{"metadata":{"labels":{"app":"b","old":null}},"spec":{"ttl":"1h","template":
           {"metadata":{"labels":{"vm":"x"}},"spec":)" +
           std::string(kRate) + R"("60M"}}}]}}}}})");
  world_.Run(std::chrono::milliseconds(100));
  ASSERT_TRUE(world_.Until([&] {
    return world_.Set("s")->status.updated_replicas == 3 && world_.Ready("ForkSet", "s");
  }));
  EXPECT_EQ(world_.Set("s")->status.observed_generation, 2);
  for (const char* name : {"s-0", "s-1", "s-2"}) {
    EXPECT_EQ(RateOf(name), "60M");
    EXPECT_EQ(Labels(name), (crd::StringMap{{"vm", "x"}}));
    const auto fork = world_.ForkOf(name);
    EXPECT_EQ(fork->metadata.labels.at("app"), "b");
    EXPECT_FALSE(fork->metadata.labels.contains("old"));
    EXPECT_EQ(fork->metadata.labels.at("forkplane.dev/fork-set"), "s");
    EXPECT_EQ(fork->spec.ttl->Text(), "1h");
    EXPECT_EQ(fork->spec.source.name, "snap");
  }
}

TEST_F(TemplateTest, ASetIsNotReadyBeforeItsForksHaveTheTemplate) {
  Make("ForkSet", "s",
       R"({"replicas":2,"template":{"spec":{"source":{"kind":"Snapshot","name":"snap"}}}})");
  world_.door = [&](const std::string& operation, bool after) -> std::optional<Error> {
    if (!after && operation == "store.Update virtualmachines") return Unavailable("fault");
    return std::nullopt;
  };
  Edit("ForkSet", "s", R"({"template":{"spec":{"template":{"metadata":{"labels":{"a":"b"}}}}}})");
  world_.Run(seconds(3));
  EXPECT_EQ(world_.Set("s")->status.observed_generation, 2);
  EXPECT_FALSE(world_.Ready("ForkSet", "s"));
  EXPECT_FALSE(world_.Ready("Fork", "s-0"));
  world_.door = [](const std::string&, bool) { return std::nullopt; };
  EXPECT_TRUE(world_.Until([&] { return world_.Ready("ForkSet", "s"); }));
  EXPECT_EQ(Labels("s-1"), (crd::StringMap{{"a", "b"}}));
}

TEST_F(TemplateTest, AnotherSourceIsForNewForksOnly) {
  ASSERT_TRUE(
      world_.Apply("Snapshot", "next", R"({"source":{"virtualMachineName":"source"}})").ok());
  ASSERT_TRUE(world_.Until([&] { return world_.Ready("Snapshot", "next"); }));
  Make("ForkSet", "s",
       R"({"replicas":1,"template":{"spec":{"source":{"kind":"Snapshot","name":"snap"}}}})");
  Edit("ForkSet", "s", R"({"template":{"spec":{"source":{"name":"next"}}},"replicas":2})");
  ASSERT_TRUE(world_.Until([&] { return world_.Ready("Fork", "s-1"); }));
  ASSERT_TRUE(world_.Until([&] { return world_.Reason("ForkSet", "s", "Ready") == "NotUpdated"; }))
      << world_.Reason("ForkSet", "s", "Ready");
  EXPECT_EQ(world_.ForkOf("s-0")->spec.source.name, "snap");
  EXPECT_EQ(world_.ForkOf("s-1")->spec.source.name, "next");
  EXPECT_EQ(world_.Set("s")->status.updated_replicas, 1);
  EXPECT_EQ(world_.Condition("ForkSet", "s", "Stalled"), "True");
  EXPECT_THAT(Message(world_.Set("s")->status.conditions, "NotUpdated"),
              HasSubstr("spec.template.spec.source: 1 Forks were made of another one"));
  ASSERT_TRUE(world_.Delete("Fork", "s-0").ok());
  EXPECT_TRUE(world_.Until([&] { return world_.Ready("ForkSet", "s"); }));
  EXPECT_EQ(world_.ForkOf("s-0")->spec.source.name, "next");
}

TEST_F(TemplateTest, AForkWaitsForAHostThatTakesNoMachines) {
  ASSERT_TRUE(world_.Apply("Host", "here", R"({"unschedulable":true})").ok());
  ASSERT_TRUE(world_.Apply("Fork", "f", R"({"source":{"kind":"Snapshot","name":"snap"}})").ok());
  world_.Run(seconds(3));
  EXPECT_EQ(world_.Reason("Fork", "f", "Ready"), "HostUnschedulable");
  EXPECT_FALSE(world_.Exists("VirtualMachine", "f"));
  Edit("Host", "here", R"({"unschedulable":false})");
  EXPECT_TRUE(world_.Until([&] { return world_.Ready("Fork", "f"); }));
}

TEST_F(TemplateTest, TheTotalOfAForkHasItsCapture) {
  ASSERT_TRUE(
      world_.Apply("Fork", "f", R"({"source":{"kind":"VirtualMachine","name":"source"}})").ok());
  ASSERT_TRUE(world_.Until([&] { return world_.Ready("Fork", "f"); }));
  const auto fork = world_.ForkOf("f")->status.timings;
  const auto vm = world_.Vm("f")->status.timings;
  ASSERT_TRUE(fork && fork->capture && fork->total && vm && vm->total);
  EXPECT_EQ(*fork->total, *fork->capture + *vm->total);
  EXPECT_FALSE(vm->capture);
  const std::int64_t capture = *fork->capture;
  // It is kept by the next daemon, which measured nothing.
  world_.KillDaemon();
  world_.StartDaemon();
  world_.Run(seconds(5));
  EXPECT_EQ(world_.ForkOf("f")->status.timings->capture, capture);
  MakeFork("g");
  EXPECT_FALSE(world_.ForkOf("g")->status.timings->capture);
}

}  // namespace
}  // namespace forkplane::testing
