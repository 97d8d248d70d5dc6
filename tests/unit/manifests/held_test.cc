// Goal: an operator reads what is held, why, and what to do; his word counts once, for exactly the
// objects it was given for; and what is not the directory's is never pruned, whatever it carries.
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>

#include <nlohmann/json.hpp>
#include <thread>

#include "controller/manifests/apply_plan.h"
#include "tests/unit/manifests/fixture.h"

namespace forkplane::manifests {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class HeldTest : public ManifestsTest {
 protected:
  // n ConfigMaps, one file each.
  void Fill(int n) {
    for (int i = 0; i < n; ++i) {
      const std::string name = "c" + std::to_string(i);
      Write(name + ".yaml", ConfigMap(name, "1"));
    }
    Settled();
    ASSERT_EQ(Living(n), n);
  }
  int Living(int n) {
    int living = 0;
    for (int i = 0; i < n; ++i) living += Has("c" + std::to_string(i)) ? 1 : 0;
    return living;
  }
  // Removes c0, c1, ...
  void RemoveFirst(int n) {
    for (int i = 0; i < n; ++i) Remove("c" + std::to_string(i) + ".yaml");
  }
};

TEST_F(HeldTest, TheConditionNamesFileLineAndRemedy) {
  Write("vms/one.yaml", "# the machine\n---\n" + Vm("one"));
  Settled();
  std::string typo = Vm("one");
  typo.replace(typo.find("v1alpha1"), 8, "v1alpha2");
  Write("vms/one.yaml", "# the machine\n---\n" + typo);
  Settled();
  EXPECT_TRUE(Has(VmKey("one")));
  ASSERT_EQ(HeldReason(), reason::kDocumentRefused);
  for (const char* part :
       {"vms/one.yaml:3: VirtualMachine one: forkplane.dev/v1alpha2 has no kind VirtualMachine",
        "did you mean VirtualMachine of forkplane.dev/v1alpha1", "Remedy: mend it",
        "waiting (1): VirtualMachine default/one (vms/one.yaml:3)"}) {
    EXPECT_THAT(held_->message, HasSubstr(part));
  }
  EXPECT_EQ(Told(reason::kPruningHeld).size(), 1U);
}

TEST_F(HeldTest, MoreThanTheBoundWaitForAWord) {
  Fill(8);
  RemoveFirst(4);
  EXPECT_EQ(Settled().pruned, 4) << "half is not more than half";
  NewSource();
  Fill(8);
  RemoveFirst(5);
  const SyncReport report = Settled();
  EXPECT_EQ(report.pruned, 0);
  ASSERT_EQ(HeldReason(), reason::kTooManyToPrune);
  for (const std::string& part :
       {std::string("5 of 8 objects left at once; at most 4 are pruned unasked"),
        std::string("ConfigMap default/c0 (c0.yaml:1)"),
        "kubectl annotate --overwrite host h manifests.forkplane.dev/prune=" + report.token}) {
    EXPECT_THAT(held_->message, HasSubstr(part));
  }
  EXPECT_THAT(registry_.Serialize(), HasSubstr("forkplane_manifests_held_objects 5"));
  Annotate(kPruneAnnotation, report.token);
  EXPECT_EQ(Pass().pruned, 5);
  EXPECT_EQ(Living(8), 3);
  EXPECT_EQ(held_, std::nullopt);
}

TEST_F(HeldTest, TheBoundIsAnOption) {
  DirectorySourceOptions options = Options();
  options.prune_max = 0;
  NewSource(options, clock_);
  Fill(8);
  Remove("c0.yaml");
  EXPECT_EQ(Settled().pruned, 0);
  EXPECT_EQ(HeldReason(), reason::kTooManyToPrune);
  options.prune_max = 8;
  NewSource(options, clock_);
  RemoveFirst(7);
  EXPECT_EQ(Settled().pruned, 7);
}

TEST_F(HeldTest, AWordIsForOneSetOnly) {
  Fill(8);
  RemoveFirst(5);
  const std::string word = Settled().token;
  Remove("c5.yaml");  // the set grows while the operator types
  Annotate(kPruneAnnotation, word);
  SyncReport report = Settled();
  EXPECT_EQ(report.pruned, 0);
  EXPECT_NE(report.token, word);
  EXPECT_THAT(held_->message, HasSubstr("\"" + word + "\" was given for another set"));
  Write("c5.yaml", ConfigMap("c5", "1"));  // and is the first one again
  report = Settled();
  EXPECT_EQ(report.pruned, 0) << "held anew: asked anew";
  EXPECT_NE(report.token, word);
}

TEST_F(HeldTest, AWordThatCameTooLateDoesNotConfirmTheNextAccident) {
  Fill(8);
  RemoveFirst(5);
  const std::string word = Settled().token;
  Fill(8);
  EXPECT_EQ(held_, std::nullopt);
  Annotate(kPruneAnnotation, word);
  RemoveFirst(5);  // the same objects
  EXPECT_EQ(Settled().pruned, 0);
  EXPECT_EQ(Pass().pruned, 0);
  EXPECT_EQ(Living(8), 8);
}

TEST_F(HeldTest, AWordIsKnownAfterARestart) {
  Fill(8);
  RemoveFirst(5);
  const std::string word = Settled().token;
  NewSource();
  EXPECT_EQ(Settled().token, word);
  Annotate(kPruneAnnotation, word);
  EXPECT_EQ(Pass().pruned, 5);
}

TEST_F(HeldTest, WhatIsKeptIsNobodysAndAsksNoMore) {
  Fill(8);
  RemoveFirst(5);
  Annotate(kKeepAnnotation, Settled().token);
  EXPECT_EQ(Pass().pruned, 0);
  EXPECT_EQ(held_, std::nullopt);
  EXPECT_EQ(Settled().kept.size(), 0U);
  EXPECT_EQ(Living(8), 8);
  EXPECT_EQ(Told(reason::kDisowned).size(), 5U);
}

TEST_F(HeldTest, WhatIsConfirmedIsPrunedWhenARefusedDocumentIsMended) {
  Fill(8);
  RemoveFirst(5);
  const std::string word = Settled().token;
  Write("bad.yaml", "a: [");
  Annotate(kPruneAnnotation, word);
  EXPECT_EQ(Settled().pruned, 0) << "a pass with a refused document prunes nothing";
  Remove("bad.yaml");
  EXPECT_EQ(Settled().pruned, 5);
}

// kubectl get cm one -o yaml | sed s/one/two/ | kubectl create -f -
TEST_F(HeldTest, ACopyIsNotOwnedWhateverItCarries) {
  Write("a.yaml", ConfigMap("one", "1"));
  Write("b.yaml", ConfigMap("b", "1"));
  Settled();
  std::string copy = Text("one");
  for (auto at = copy.find("one"); at != std::string::npos; at = copy.find("one", at)) {
    copy.replace(at, 3, "two");
  }
  crd::Json two = crd::Json::parse(copy);
  for (const char* field : {"uid", "resourceVersion", "creationTimestamp"}) {
    two["metadata"].erase(field);
  }
  two["metadata"]["annotations"][kLastAppliedAnnotation] = two.dump();
  Create({"", "configmaps"}, "default", two.dump());
  Remove("a.yaml");
  EXPECT_EQ(Settled().pruned, 1);
  EXPECT_FALSE(Has("one"));
  EXPECT_TRUE(Has("two"));
  NewSource();
  Settled();
  EXPECT_TRUE(Has("two"));
}

// The name is the recorded one, the object is not.
TEST_F(HeldTest, AnObjectThatSomebodyMadeAnewIsNotOwned) {
  Write("a.yaml", ConfigMap("a", "1"));
  Write("b.yaml", ConfigMap("b", "1"));
  Settled();
  source_.reset();
  Remove("a.yaml");
  ASSERT_TRUE(store_->Delete(KeyOf("a")).ok());
  Create({"", "configmaps"}, "default",
         R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"}})");
  NewSource();
  EXPECT_EQ(Settled().pruned, 0);
  EXPECT_TRUE(Has("a"));
}

TEST_F(HeldTest, ANamespaceWithWhatOthersMadeIsKept) {
  Write("ns.yaml", "apiVersion: v1\nkind: Namespace\nmetadata: {name: team}\n");
  std::string inside = ConfigMap("in", "1");
  inside.replace(inside.find("  name: in"), 10, "  name: in\n  namespace: team");
  Write("in.yaml", inside);
  Write("a.yaml", ConfigMap("a", "1"));
  ASSERT_THAT(Settled().problems, IsEmpty());
  Create({"", "configmaps"}, "team",
         R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"by-hand"}})");
  Remove("ns.yaml");
  EXPECT_EQ(Settled().pruned, 0);
  EXPECT_EQ(HeldReason(), reason::kContentOfOthers);
  EXPECT_THAT(held_->message, HasSubstr("ConfigMap team/by-hand"));
  EXPECT_THAT(held_->message, HasSubstr("ConfigMap team/in")) << "the directory still holds it";
  Remove("in.yaml");
  ASSERT_TRUE(store_->Delete({{"", "configmaps"}, "team", "by-hand"}).ok());
  EXPECT_EQ(Settled().pruned, 2);
}

TEST_F(HeldTest, TheHostItselfAndTheDefaultNamespaceOutliveTheirFiles) {
  Write("a.yaml", ConfigMap("a", "1"));
  Write("host.yaml",
        "apiVersion: forkplane.dev/v1alpha1\nkind: Host\nmetadata: {name: h}\n"
        "spec: {uplinks: [{interface: eth0}]}\n---\n"
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: default}\n");
  ASSERT_THAT(Settled().problems, IsEmpty());
  Remove("host.yaml");
  const SyncReport report = Settled();
  EXPECT_EQ(report.pruned, 0);
  EXPECT_THAT(report.problems, IsEmpty());
  EXPECT_TRUE(Has({kHosts, "", "h"}));
  EXPECT_EQ(held_, std::nullopt);
}

// Of a version that had the document in an annotation, with what people saved into files then.
TEST_F(HeldTest, ObjectsOfAnEarlierVersionAreTakenOver) {
  const auto former = [&](const std::string& name) {
    crd::Json last = {{"apiVersion", "v1"},
                      {"kind", "ConfigMap"},
                      {"metadata", {{"name", name}, {"finalizers", {"example.com/theirs"}}}},
                      {"data", {{"key", "0"}, {"dropped", "x"}}}};
    crd::Json object = last;
    object["data"]["theirs"] = "y";
    object["metadata"]["labels"][kManagedByLabel] = kManagedByValue;
    object["metadata"]["annotations"] = {{kSourceAnnotation, name + ".yaml"},
                                         {kLastAppliedAnnotation, last.dump()}};
    Create({"", "configmaps"}, "default", object.dump());
  };
  former("a");
  former("gone");
  Write("a.yaml", ConfigMap("a", "1"));
  Settled();
  const crd::Json a = crd::Json::parse(Text("a"));
  EXPECT_EQ(a["data"], (crd::Json{{"key", "1"}, {"theirs", "y"}}))
      << "merged with what was applied";
  EXPECT_FALSE(a["metadata"]["annotations"].contains(kLastAppliedAnnotation));
  EXPECT_EQ(a["metadata"]["finalizers"], crd::Json({"example.com/theirs"}));
  EXPECT_TRUE(Has("gone")) << "a copy carries the annotation too";
  EXPECT_EQ(HeldReason(), reason::kOtherDirectory);
  Annotate(kPruneAnnotation, Pass().token);
  EXPECT_EQ(Pass().pruned, 1);
}

TEST_F(HeldTest, ARecordThatCannotBeReadHoldsEverything) {
  Write("a.yaml", ConfigMap("a", "1"));
  Settled();
  source_.reset();
  std::ofstream(directory_.File("manifests.db")) << "this is no database, and long enough to tell";
  Write("b.yaml", ConfigMap("b", "1"));
  NewSource();
  Settled();
  EXPECT_EQ(HeldReason(), reason::kRecordUnreadable);
  EXPECT_THAT(held_->message, HasSubstr("manifests.db"));
  EXPECT_FALSE(Has("b")) << "nothing is written whose owner could not be told";
  fs::remove(directory_.File("manifests.db"));
  fs::remove(directory_.File("manifests.db-wal"));
  Remove("a.yaml");
  EXPECT_EQ(Settled().pruned, 0) << "without a record nothing is owned";
  EXPECT_TRUE(Has("a") && Has("b"));
  EXPECT_EQ(held_, std::nullopt);
}

// Goal: the mount goes, and the folder below it is what the path means then. Method: bind mounts in
// a mount namespace of this thread.
class MountTest : public HeldTest {
 protected:
  void Inside(const std::function<void()>& body) {
    std::jthread([&body] {
      if (::unshare(CLONE_NEWNS) != 0 ||
          ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
        GTEST_SKIP() << "needs CAP_SYS_ADMIN";
      }
      body();
    }).join();
  }
  void Bind(const std::string& at) {
    fs::create_directories(directory_.File("real"));
    ASSERT_EQ(::mount(directory_.File("real").c_str(), at.c_str(), nullptr, MS_BIND, nullptr), 0);
  }
};

TEST_F(MountTest, ABindMountThatGoesAwayPrunesNothing) {
  Inside([this] {
    Bind(root_);
    Fill(3);
    ASSERT_EQ(::umount(root_.c_str()), 0);
    Settled();
    EXPECT_EQ(Living(3), 3);
    EXPECT_EQ(HeldReason(), reason::kRootReplaced);
    Bind(root_);
    Settled();
    EXPECT_EQ(held_, std::nullopt);
    Remove("c0.yaml");
    EXPECT_EQ(Settled().pruned, 1) << "back in its root";
    EXPECT_EQ(::umount(root_.c_str()), 0);
  });
}

TEST_F(MountTest, AMountBelowTheDirectoryThatGoesAwayPrunesNothing) {
  Inside([this] {
    Fill(3);
    const std::string team = root_ + "/team";
    fs::create_directory(team);
    Bind(team);
    Write("team/a.yaml", ConfigMap("a", "1"));
    Write("team/b.yaml", ConfigMap("b", "1"));
    Settled();
    ASSERT_EQ(::umount(team.c_str()), 0);
    Settled();
    EXPECT_TRUE(Has("a") && Has("b"));
    EXPECT_EQ(HeldReason(), reason::kRootReplaced);
    EXPECT_THAT(held_->message, HasSubstr("team was a mount below it, and is none now"));
    Remove("c0.yaml");
    EXPECT_EQ(Settled().pruned, 1) << "what left the directory itself goes";
    Bind(team);
    Remove("team/b.yaml");
    EXPECT_EQ(Settled().pruned, 1);
    EXPECT_TRUE(Has("a") && !Has("b"));
    EXPECT_EQ(held_, std::nullopt);
    EXPECT_EQ(::umount(team.c_str()), 0);
  });
}

// A real disk that is full: the checkout writes what it can, and leaves the rest empty.
TEST_F(MountTest, ACheckoutOntoAFullDiskPrunesNothing) {
  Inside([this] {
    ASSERT_EQ(::mount("none", root_.c_str(), "tmpfs", 0, "size=64k"), 0);
    Fill(6);
    // Each file anew, as git does, while something else takes the room.
    std::ofstream(root_ + "/filler") << std::string(std::size_t{128} * 1024, 'x');
    int empty = 0;
    for (int i = 0; i < 2; ++i) {
      const std::string name = "c" + std::to_string(i);
      Remove(name + ".yaml");
      std::ofstream(root_ + "/filler", std::ios::app) << std::string(std::size_t{64} * 1024, 'x');
      Write(name + ".yaml", ConfigMap(name, "2"));
      empty += fs::file_size(root_ + "/" + name + ".yaml") == 0 ? 1 : 0;
    }
    ASSERT_GT(empty, 0) << "the disk was not full";
    Settled();
    EXPECT_EQ(Living(6), 6);
    EXPECT_EQ(HeldReason(), reason::kFileWithoutObjects);
    source_.reset();
    EXPECT_EQ(::umount(root_.c_str()), 0);
  });
}

// Goal: a crash between the record's intent and the object leaves nothing that is nobody's, and
// makes nothing ours that others made. Method: the record as the crash leaves it.
TEST_F(HeldTest, WhatACrashLeftOfACreationIsOwnedAndAnObjectOfOthersIsNot) {
  Write("z.yaml", ConfigMap("z", "1"));
  Settled();
  source_.reset();
  const auto stored = [&](const std::string& name, const std::string& annotations) {
    Create({"", "configmaps"}, "default",
           R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":")" + name +
               R"(","annotations":{)" + annotations + "}}}");
  };
  stored("ours", R"("manifests.forkplane.dev/source":"ours.yaml")");
  stored("theirs", R"("manifests.forkplane.dev/source":"other.yaml")");
  {
    RecordStore records = RecordStore::Open(directory_.File("manifests.db")).value();
    RecordBatch batch;
    for (const std::string name : {"ours", "theirs"}) {
      Record intent = *records.Find(KeyOf("z"));
      intent.key = KeyOf(name);
      intent.path = name + ".yaml";
      intent.uid.clear();
      batch.put.push_back(intent);
    }
    ASSERT_TRUE(records.Commit(batch).ok());
  }
  NewSource();
  EXPECT_EQ(Settled().pruned, 1);
  EXPECT_FALSE(Has("ours"));
  EXPECT_TRUE(Has("theirs"));
}

}  // namespace
}  // namespace forkplane::manifests
