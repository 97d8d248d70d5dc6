// Goal: after each pass the store holds what the directory says, what others set stays, and what
// was put back is told. Passes are called by hand here; follow_test.cc lets inotify call them.
#include "controller/manifests/directory_source.h"

#include <nlohmann/json.hpp>

#include "tests/support/measured_child.h"
#include "tests/unit/manifests/fixture.h"

namespace forkplane::manifests {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class DirectorySourceTest : public ManifestsTest {
 protected:
  std::string ForkSet(const std::string& replicas) {
    return "apiVersion: forkplane.dev/v1alpha1\nkind: ForkSet\nmetadata: {name: fs}\nspec:\n" +
           (replicas.empty() ? "" : "  replicas: " + replicas + "\n") +
           "  selector: {matchLabels: {app: w}}\n  template:\n    metadata: {labels: {app: w}}\n"
           "    spec: {source: {kind: Snapshot, name: s}}\n";
  }
  std::int64_t Replicas() {
    return crd::Json::parse(store_->Get(kForkSet).value()->text)["spec"]["replicas"];
  }
  static inline const store::ObjectKey kForkSet{{"forkplane.dev", "forksets"}, "default", "fs"};
};

TEST_F(DirectorySourceTest, AppliesChangesAndPrunes) {
  Write("a.yaml", ConfigMap("a", "1") + "---\n" + ConfigMap("b", "1"));
  Write("sub/c.yaml", ConfigMap("c", "1"));
  SyncReport report = Pass();
  EXPECT_EQ(report.created, 3);
  EXPECT_THAT(report.problems, IsEmpty());

  report = Pass();
  EXPECT_EQ(report.unchanged, 3);
  EXPECT_EQ(report.created + report.updated + report.pruned, 0);

  Write("a.yaml", ConfigMap("a", "2") + "---\n" + ConfigMap("b", "1"));
  report = Pass();
  EXPECT_EQ(report.updated, 1);
  EXPECT_THAT(Text("a"), HasSubstr(R"("key":"2")"));
  EXPECT_THAT(Told(reason::kReverted), IsEmpty()) << "the file changed, nobody else";

  Write("a.yaml", ConfigMap("a", "2"));
  Remove("sub");
  EXPECT_EQ(Settled().pruned, 2);
  EXPECT_TRUE(Has("a"));
  EXPECT_FALSE(Has("b") || Has("c"));
  EXPECT_THAT(Told(reason::kPruned), ElementsAre("ConfigMap default/b left a.yaml:8",
                                                 "ConfigMap default/c left sub/c.yaml:1"));
}

TEST_F(DirectorySourceTest, WhatOthersSetStaysAndWhatWeSetComesBackAndIsTold) {
  Write("a.yaml", ConfigMap("a", "1"));
  Pass();
  Change(KeyOf("a"), [](crd::Json& object) {
    object["data"]["theirs"] = "x";
    object["data"]["key"] = "drift";
  });
  EXPECT_EQ(Pass().updated, 1);
  EXPECT_EQ(crd::Json::parse(Text("a"))["data"], (crd::Json{{"key", "1"}, {"theirs", "x"}}));
  EXPECT_THAT(Told(reason::kReverted),
              ElementsAre("put back as a.yaml:1 says: data.key: drift -> 1; change the file, or "
                          "leave the field out of it, to change the object"));
  EXPECT_EQ(notices_.front().about->meta.name, "a");
  EXPECT_THAT(registry_.Serialize(), HasSubstr("forkplane_manifests_reverted_total 1"));
  Pass();
  EXPECT_EQ(Told(reason::kReverted).size(), 1U) << "once for each change";
}

TEST_F(DirectorySourceTest, AFieldThatLeavesTheFileLeavesTheObject) {
  Write("a.yaml", ConfigMap("a", "1") + "  more: \"2\"\n");
  Pass();
  Write("a.yaml", ConfigMap("a", "1"));
  Pass();
  EXPECT_EQ(crd::Json::parse(Text("a"))["data"], (crd::Json{{"key", "1"}}));
}

TEST_F(DirectorySourceTest, ReplicasInTheFileAreTheFilesAndAScaleIsToldWhenItIsUndone) {
  Write("fs.yaml", ForkSet("3"));
  ASSERT_THAT(Pass().problems, IsEmpty());
  Change(kForkSet, [](crd::Json& object) { object["spec"]["replicas"] = 7; });
  Pass();
  EXPECT_EQ(Replicas(), 3);
  EXPECT_THAT(Told(reason::kReverted), ElementsAre(HasSubstr("spec.replicas: 7 -> 3")));
}

TEST_F(DirectorySourceTest, ReplicasLeftOutBelongToWhoeverScales) {
  Write("fs.yaml", ForkSet(""));
  ASSERT_THAT(Pass().problems, IsEmpty());
  Change(kForkSet, [](crd::Json& object) { object["spec"]["replicas"] = 7; });
  Pass();
  EXPECT_EQ(Replicas(), 7);
  EXPECT_THAT(Told(reason::kReverted), IsEmpty());
}

TEST_F(DirectorySourceTest, ReplicasThatLeaveTheFileStayAsTheyAre) {
  Write("fs.yaml", ForkSet("5"));
  Pass();
  Write("fs.yaml", ForkSet(""));
  Pass();
  EXPECT_EQ(Replicas(), 5) << "not the default of one: that would end four forks";
}

TEST_F(DirectorySourceTest, AnObjectDeletedByOthersComesBack) {
  Write("a.yaml", ConfigMap("a", "1"));
  Pass();
  EXPECT_THAT(Told(reason::kReverted), IsEmpty());
  ASSERT_TRUE(store_->Delete(KeyOf("a")).ok());
  EXPECT_EQ(Pass().created, 1);
  EXPECT_THAT(Told(reason::kReverted), ElementsAre(HasSubstr("made again, as a.yaml:1 says")));
}

TEST_F(DirectorySourceTest, ARestartPrunesWhatVanishedWhileDownOnceItHasSettled) {
  Write("a.yaml", ConfigMap("a", "1"));
  Write("b.yaml", ConfigMap("b", "1"));
  Pass();
  source_.reset();
  Remove("b.yaml");
  NewSource();
  EXPECT_EQ(Pass().pruned, 0);
  clock_.Advance(kSettle);
  EXPECT_EQ(Pass().pruned, 1);
  EXPECT_TRUE(Has("a"));
  EXPECT_FALSE(Has("b"));
}

TEST_F(DirectorySourceTest, EachChangeBeginsTheSettleTimeAnew) {
  Write("a.yaml", ConfigMap("a", "1") + "---\n" + ConfigMap("b", "1"));
  Settled();
  Write("a.yaml", ConfigMap("a", "1"));  // half of it, for all we know
  for (int i = 0; i < 3; ++i) {
    Write("README.yaml", "# " + std::to_string(i) + "\n");
    const SyncReport report = Pass();
    EXPECT_EQ(report.kept.size(), 1U);
    EXPECT_EQ(report.settles_in, kSettle);
    EXPECT_EQ(HeldReason(), "") << "a few seconds are not worth a condition";
    clock_.Advance(kSettle - std::chrono::seconds(1));
  }
  EXPECT_TRUE(Has("b"));
  EXPECT_EQ(Settled().pruned, 1);
}

TEST_F(DirectorySourceTest, ATreeThatNeverSettlesIsTold) {
  Write("a.yaml", ConfigMap("a", "1") + "---\n" + ConfigMap("b", "1"));
  Settled();
  Write("a.yaml", ConfigMap("a", "1"));
  for (int i = 0; i < 15; ++i) {
    Write("log.json", "[" + std::to_string(i) + "]");
    Pass();
    clock_.Advance(std::chrono::seconds(5));
  }
  EXPECT_TRUE(Has("b"));
  EXPECT_EQ(HeldReason(), reason::kSettling);
  EXPECT_THAT(held_->message, HasSubstr("log.json was changed less than 10000 ms ago"));
}

TEST_F(DirectorySourceTest, ABrokenFileIsToldOnceAndTheOthersAreApplied) {
  Write("a.yaml", ConfigMap("a", "1"));
  Write("b.yaml", ConfigMap("b", "1"));
  Settled();
  Write("a.yaml", "a: [broken");
  Write("b.yaml", ConfigMap("b", "2"));
  Settled();
  EXPECT_TRUE(Has("a"));
  EXPECT_THAT(Text("b"), HasSubstr(R"("key":"2")"));
  EXPECT_THAT(Told(reason::kManifestRefused), ElementsAre(HasSubstr("a.yaml: line 1")));
  EXPECT_THAT(registry_.Serialize(), HasSubstr("forkplane_manifests_errors 1"));
  EXPECT_THAT(registry_.Serialize(), HasSubstr("forkplane_manifests_held 1"));
  Write("a.yaml", ConfigMap("a", "1"));
  Pass();
  EXPECT_EQ(held_, std::nullopt);
  EXPECT_THAT(registry_.Serialize(), HasSubstr("forkplane_manifests_errors 0"));
  EXPECT_THAT(registry_.Serialize(), HasSubstr("forkplane_manifests_held 0"));
}

// Goal: a file whose aliases stand for 2 GB is a refused file, found at its line in milliseconds.
// Method: a pass over it in a child process whose memory is measured.
TEST_F(DirectorySourceTest, AnAliasBombIsARefusedFile) {
  std::string bomb = "a: &a " + std::string(100'000, 'x') + "\nb:\n";
  for (int i = 0; i < 20'000; ++i) bomb += "- *a\n";
  Write("bomb.yaml", bomb);
  const testing::MeasuredChild child = testing::RunMeasured(
      [&] {
        const SyncReport report = source_->Sync();
        const bool told = report.problems.size() == 1 && report.problems[0].where == "bomb.yaml" &&
                          report.problems[0].message.starts_with("line 3");
        return told ? 0 : 1;
      },
      {.cpu_seconds = 10});
  EXPECT_TRUE(child.exited_well) << "signal " << child.signal;
  ASSERT_LE(child.growth_bytes, std::size_t{64} * 1024 * 1024);
  Write("good.yaml", ConfigMap("good", "1"));
  source_->Sync();
  EXPECT_TRUE(Has("good")) << "other files are applied";
}

TEST_F(DirectorySourceTest, ARefusedObjectIsToldWithItsFieldAndStays) {
  const std::string good =
      "apiVersion: forkplane.dev/v1alpha1\nkind: Network\nmetadata: {name: net}\n"
      "spec: {cidr: 10.77.0.0/24}\n";
  Write("net.yaml", good);
  Write("a.yaml", ConfigMap("a", "1"));
  SyncReport report = Pass();
  ASSERT_TRUE(report.problems.empty()) << report.problems[0].message;
  Write("net.yaml", "# moved\n" + good + "  \nstatus: {}\n");
  EXPECT_EQ(Pass().unchanged, 2);
  Write("net.yaml",
        "apiVersion: forkplane.dev/v1alpha1\nkind: Network\nmetadata: {name: net}\n"
        "spec: {cidr: nonsense}\n");
  report = Pass();
  ASSERT_EQ(report.problems.size(), 1U);
  EXPECT_EQ(report.problems[0].where, "net.yaml:1");
  EXPECT_EQ(report.problems[0].object, "Network net");
  EXPECT_THAT(report.problems[0].message, HasSubstr("spec.cidr"));
  EXPECT_FALSE(report.retry_soon) << "only a change of the file helps";
  EXPECT_NE(store_->Get({{"forkplane.dev", "networks"}, "", "net"}).value(), nullptr);
}

TEST_F(DirectorySourceTest, AnObjectMayMoveToAnotherFile) {
  Write("a.yaml", ConfigMap("a", "1"));
  Settled();
  const std::string uid = store_->Get(KeyOf("a")).value()->meta.uid;
  fs::rename(root_ + "/a.yaml", root_ + "/b.yaml");
  EXPECT_EQ(Settled().pruned, 0);
  EXPECT_EQ(store_->Get(KeyOf("a")).value()->meta.uid, uid);
  EXPECT_THAT(Text("a"), HasSubstr(R"("manifests.forkplane.dev/source":"b.yaml")"));
  EXPECT_THAT(Told(reason::kReverted), IsEmpty());
}

TEST_F(DirectorySourceTest, ATerminatingObjectIsMadeAnewWhenItIsGone) {
  Write("a.yaml", ConfigMap("a", "1"));
  Pass();
  Change(KeyOf("a"),
         [](crd::Json& object) { object["metadata"]["finalizers"] = {"example.com/hold"}; });
  ASSERT_TRUE(store_->Delete(KeyOf("a")).ok());
  const SyncReport report = Pass();
  EXPECT_TRUE(report.retry_soon);
  EXPECT_EQ(report.problems.size(), 1U);
  Change(KeyOf("a"), [](crd::Json& object) { object["metadata"].erase("finalizers"); });
  EXPECT_EQ(Pass().created, 1);
}

// What `kubectl get -o yaml` saved is applied as what a person wrote: with the finalizers and
// owners of the saved object, and its annotations that grow by a copy of themselves each time, a
// file that is removed could take more with it than its object, or never go.
TEST_F(DirectorySourceTest, AnObjectSavedBackIntoTheDirectoryChangesNothing) {
  Write("a.yaml", ConfigMap("a", "1"));
  Pass();
  const std::string first = Text("a");
  for (int i = 0; i < 4; ++i) {
    crd::Json saved = crd::Json::parse(Text("a"));
    saved["metadata"]["finalizers"] = {"customresourcecleanup.apiextensions.k8s.io"};
    saved["metadata"]["ownerReferences"] = {
        {{"apiVersion", "v1"}, {"kind", "ConfigMap"}, {"name", "x"}, {"uid", "u"}}};
    saved["metadata"]["annotations"]["manifests.forkplane.dev/prune"] = "word";
    saved["metadata"]["annotations"]["manifests.forkplane.dev/last-applied"] = saved.dump();
    saved["status"] = {{"x", 1}};
    Write("a.yaml", saved.dump(2));
    const SyncReport report = Pass();
    EXPECT_THAT(report.problems, IsEmpty());
    EXPECT_EQ(report.passed_over.size(), 2U) << "what is not applied is said";
    EXPECT_EQ(report.unchanged, 1);
  }
  EXPECT_EQ(Text("a"), first);
}

TEST_F(DirectorySourceTest, ADefinitionOf300KilobytesIsAppliedAndItsKindBesideIt) {
  const std::string definition =
      "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\n"
      "metadata: {name: widgets.example.com}\nspec:\n  group: example.com\n  scope: Namespaced\n"
      "  names: {plural: widgets, singular: widget, kind: Widget, listKind: WidgetList}\n"
      "  versions:\n  - name: v1\n    served: true\n    storage: true\n    schema:\n"
      "      openAPIV3Schema:\n        type: object\n        description: ";
  Write("crd.yaml", definition + std::string(300'000, 'x') + "\n");
  Write("w.yaml", "apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: w}\n");
  const SyncReport report = Pass();
  EXPECT_EQ(report.created, 1);
  EXPECT_THAT(report.problems, IsEmpty()) << "its definition is on its way";
  EXPECT_TRUE(report.retry_soon);
  EXPECT_EQ(report.pass_hold->reason, reason::kNotApplied);
  Write("crd.yaml", definition + std::string(300'000, 'y') + "\n");
  EXPECT_EQ(Pass().updated, 1);
}

TEST_F(DirectorySourceTest, ADefinitionThatIsNeverServedIsToldAtLast) {
  Write("crd.yaml",
        "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\n"
        "metadata: {name: widgets.example.com}\nspec:\n  group: example.com\n"
        "  scope: Namespaced\n  names: {plural: widgets, kind: Widget}\n"
        "  versions:\n  - {name: v1, served: true, storage: true, schema: "
        "{openAPIV3Schema: {type: object}}}\n");
  Write("w.yaml", "apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: w}\n");
  EXPECT_THAT(Pass().problems, IsEmpty()) << "it takes a moment";
  clock_.Advance(std::chrono::minutes(2));
  const SyncReport report = Pass();
  ASSERT_EQ(report.problems.size(), 1U);
  EXPECT_EQ(report.problems[0].where, "w.yaml:1");
}

TEST_F(DirectorySourceTest, WhatAFileNameSaysIsShownClean) {
  Write("a\n\x1b[31m\xff.yaml", "a: [");
  Pass();
  EXPECT_THAT(Told(reason::kManifestRefused), ElementsAre(HasSubstr("a  [31m?.yaml: line 2: ")));
  EXPECT_THAT(held_->message, HasSubstr("a  [31m?.yaml"));
}

TEST_F(DirectorySourceTest, DefinitionsOfOurOwnKindsArePassedOver) {
  Write("crd.yaml",
        "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\n"
        "metadata:\n  name: virtualmachines.forkplane.dev\n"
        "  finalizers: [customresourcecleanup.apiextensions.k8s.io]\n");
  const SyncReport report = Pass();
  EXPECT_EQ(report.created + report.updated + report.unchanged, 0);
  EXPECT_THAT(report.problems, IsEmpty());
  EXPECT_THAT(report.passed_over.back().message, HasSubstr("built in"));
  Remove("crd.yaml");
  EXPECT_EQ(Settled().pruned, 0);
}

}  // namespace
}  // namespace forkplane::manifests
