// Goal: after each pass the store holds what the directory says, and nothing is ever pruned on
// partial knowledge. Passes are called by hand here; follow_test.cc lets inotify call them.
#include "controller/manifests/directory_source.h"

#include <nlohmann/json.hpp>

#include "tests/unit/manifests/fixture.h"

namespace forkplane::manifests {
namespace {

namespace fs = std::filesystem;

class DirectorySourceTest : public ManifestsTest {};

TEST_F(DirectorySourceTest, AppliesChangesAndPrunes) {
  Write("a.yaml", ConfigMap("a", "1") + "---\n" + ConfigMap("b", "1"));
  Write("sub/c.yaml", ConfigMap("c", "1"));
  SyncReport report = source_->Sync();
  EXPECT_EQ(report.created, 3);
  EXPECT_TRUE(report.problems.empty());

  report = source_->Sync();
  EXPECT_EQ(report.unchanged, 3);
  EXPECT_EQ(report.created + report.updated + report.pruned, 0);

  Write("a.yaml", ConfigMap("a", "2") + "---\n" + ConfigMap("b", "1"));
  report = source_->Sync();
  EXPECT_EQ(report.updated, 1);
  EXPECT_NE(Text("a").find(R"("key":"2")"), std::string::npos);

  Write("a.yaml", ConfigMap("a", "2"));
  Remove("sub");
  report = source_->Sync();
  EXPECT_EQ(report.pruned, 2);
  EXPECT_TRUE(Has("a"));
  EXPECT_FALSE(Has("b") || Has("c"));
}

TEST_F(DirectorySourceTest, WhatOthersSetStaysAndWhatWeSetComesBack) {
  Write("a.yaml", ConfigMap("a", "1"));
  source_->Sync();
  crd::Json object = crd::Json::parse(Text("a"));
  object["data"]["theirs"] = "x";
  object["data"]["key"] = "drift";
  ASSERT_TRUE(store_->Update(KeyOf("a"), object.dump()).ok());
  EXPECT_EQ(source_->Sync().updated, 1);
  object = crd::Json::parse(Text("a"));
  EXPECT_EQ(object["data"], (crd::Json{{"key", "1"}, {"theirs", "x"}}));
}

TEST_F(DirectorySourceTest, AFieldThatLeavesTheFileLeavesTheObject) {
  Write("a.yaml", ConfigMap("a", "1") + "  more: \"2\"\n");
  source_->Sync();
  Write("a.yaml", ConfigMap("a", "1"));
  source_->Sync();
  EXPECT_EQ(crd::Json::parse(Text("a"))["data"], (crd::Json{{"key", "1"}}));
}

TEST_F(DirectorySourceTest, AnObjectDeletedByOthersComesBack) {
  Write("a.yaml", ConfigMap("a", "1"));
  source_->Sync();
  ASSERT_TRUE(store_->Delete(KeyOf("a")).ok());
  EXPECT_EQ(source_->Sync().created, 1);
}

TEST_F(DirectorySourceTest, ObjectsOfOthersAreNeverPruned) {
  ASSERT_TRUE(store_
                  ->Create({"", "configmaps"}, "default",
                           R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"theirs"}})")
                  .ok());
  // A label alone does not make it ours: children may inherit labels.
  ASSERT_TRUE(store_
                  ->Create({"", "configmaps"}, "default",
                           R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"child",)"
                           R"("labels":{"app.kubernetes.io/managed-by":"forkplane-manifests"}}})")
                  .ok());
  Write("a.yaml", ConfigMap("a", "1"));
  EXPECT_TRUE(source_->Sync().prune_held.empty());
  EXPECT_TRUE(Has("theirs") && Has("child"));
}

TEST_F(DirectorySourceTest, ARestartPrunesWhatVanishedWhileDown) {
  Write("a.yaml", ConfigMap("a", "1"));
  Write("b.yaml", ConfigMap("b", "1"));
  source_->Sync();
  Remove("b.yaml");
  NewSource();
  EXPECT_EQ(source_->Sync().pruned, 1);
  EXPECT_TRUE(Has("a"));
  EXPECT_FALSE(Has("b"));
}

TEST_F(DirectorySourceTest, ABrokenFileKeepsItsObjects) {
  Write("a.yaml", ConfigMap("a", "1"));
  Write("b.yaml", ConfigMap("b", "1"));
  source_->Sync();
  Write("a.yaml", "a: [broken");
  Write("b.yaml", ConfigMap("b", "2"));
  const SyncReport report = source_->Sync();
  EXPECT_FALSE(report.prune_held.empty());
  EXPECT_TRUE(Has("a"));
  EXPECT_NE(Text("b").find(R"("key":"2")"), std::string::npos) << "others are applied";
  ASSERT_EQ(announced_.size(), 1U);
  EXPECT_EQ(announced_[0].where, "a.yaml");
  EXPECT_NE(announced_[0].message.find("line 1"), std::string::npos) << announced_[0].message;
  EXPECT_NE(registry_.Serialize().find("forkplane_manifests_errors 1"), std::string::npos);
  source_->Sync();
  EXPECT_EQ(announced_.size(), 1U) << "once is enough";
  Remove("a.yaml");
  EXPECT_EQ(source_->Sync().pruned, 1) << "gone is not broken";
  EXPECT_NE(registry_.Serialize().find("forkplane_manifests_errors 0"), std::string::npos);
}

TEST_F(DirectorySourceTest, ARefusedObjectIsToldWithItsFieldAndStays) {
  const std::string good =
      "apiVersion: forkplane.dev/v1alpha1\nkind: Network\nmetadata: {name: net}\n"
      "spec: {cidr: 10.77.0.0/24}\n";
  Write("net.yaml", good);
  Write("a.yaml", ConfigMap("a", "1"));
  SyncReport report = source_->Sync();
  ASSERT_TRUE(report.problems.empty()) << report.problems[0].message;
  Write("net.yaml", "# moved\n" + good + "  \nstatus: {}\n");
  EXPECT_EQ(source_->Sync().unchanged, 2);
  Write("net.yaml",
        "apiVersion: forkplane.dev/v1alpha1\nkind: Network\nmetadata: {name: net}\n"
        "spec: {cidr: nonsense}\n");
  report = source_->Sync();
  ASSERT_EQ(report.problems.size(), 1U);
  EXPECT_EQ(report.problems[0].where, "net.yaml:1");
  EXPECT_EQ(report.problems[0].object, "Network net");
  EXPECT_NE(report.problems[0].message.find("spec.cidr"), std::string::npos);
  EXPECT_FALSE(report.retry_soon) << "only a change of the file helps";
  EXPECT_TRUE(report.prune_held.empty()) << "what it means is known";
  EXPECT_NE(store_->Get({{"forkplane.dev", "networks"}, "", "net"}).value(), nullptr);
}

TEST_F(DirectorySourceTest, AKindThatIsNotServedIsTriedAgain) {
  Write("w.yaml", "apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: w}\n");
  Write("a.yaml", ConfigMap("a", "1"));
  const SyncReport report = source_->Sync();
  EXPECT_EQ(report.created, 1);
  ASSERT_EQ(report.problems.size(), 1U);
  EXPECT_TRUE(report.retry_soon);
}

TEST_F(DirectorySourceTest, AMissingDirectoryPrunesNothing) {
  Write("a.yaml", ConfigMap("a", "1"));
  source_->Sync();
  fs::rename(root_, root_ + ".away");
  SyncReport report = source_->Sync();
  EXPECT_FALSE(report.prune_held.empty());
  EXPECT_EQ(report.problems.size(), 1U);
  EXPECT_TRUE(Has("a"));
  fs::rename(root_ + ".away", root_);
  EXPECT_EQ(source_->Sync().unchanged, 1);
}

// An empty directory at start looks like a volume that is not mounted; one that is emptied before
// our eyes does not.
TEST_F(DirectorySourceTest, AnEmptyDirectoryPrunesOnlyWhenItWasSeenFilled) {
  Write("a.yaml", ConfigMap("a", "1"));
  source_->Sync();
  Remove("a.yaml");
  NewSource();
  EXPECT_FALSE(source_->Sync().prune_held.empty());
  EXPECT_TRUE(Has("a"));
  Write("a.yaml", ConfigMap("a", "1"));
  source_->Sync();
  Remove("a.yaml");
  EXPECT_EQ(source_->Sync().pruned, 1);
  EXPECT_FALSE(Has("a"));
}

TEST_F(DirectorySourceTest, AFileThatWasJustWrittenHoldsPruning) {
  Write("a.yaml", ConfigMap("a", "1") + "---\n" + ConfigMap("b", "1"));
  NewSource(std::chrono::seconds(60));
  source_->Sync();
  Write("a.yaml", ConfigMap("a", "1"));  // half of it, for all we know
  const SyncReport report = source_->Sync();
  EXPECT_TRUE(report.retry_soon);
  EXPECT_FALSE(report.prune_held.empty());
  EXPECT_TRUE(Has("b"));
}

TEST_F(DirectorySourceTest, AnObjectMayMoveToAnotherFile) {
  Write("a.yaml", ConfigMap("a", "1"));
  source_->Sync();
  const std::string uid = store_->Get(KeyOf("a")).value()->meta.uid;
  fs::rename(root_ + "/a.yaml", root_ + "/b.yaml");
  const SyncReport report = source_->Sync();
  EXPECT_EQ(report.pruned, 0);
  EXPECT_EQ(store_->Get(KeyOf("a")).value()->meta.uid, uid);
  EXPECT_NE(Text("a").find(R"("manifests.forkplane.dev/source":"b.yaml")"), std::string::npos);
}

TEST_F(DirectorySourceTest, ATerminatingObjectIsMadeAnewWhenItIsGone) {
  Write(
      "a.yaml",
      "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n  finalizers: [example.com/hold]\n");
  source_->Sync();
  ASSERT_TRUE(store_->Delete(KeyOf("a")).ok());
  SyncReport report = source_->Sync();
  EXPECT_TRUE(report.retry_soon);
  EXPECT_EQ(report.problems.size(), 1U);
  crd::Json object = crd::Json::parse(Text("a"));
  object["metadata"].erase("finalizers");
  ASSERT_TRUE(store_->Update(KeyOf("a"), object.dump()).ok());
  EXPECT_EQ(source_->Sync().created, 1);
}

}  // namespace
}  // namespace forkplane::manifests
