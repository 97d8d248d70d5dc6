// Goal: writes mean what they mean in Kubernetes (kubernetes-api.md 2.5 to 2.8), with its texts.
// Method: one fact per test, through the store, on a memory log.
#include <gtest/gtest.h>

#include "controller/store/errors.h"
#include "tests/support/store_world.h"

namespace forkplane::store {
namespace {

using testing::At;
using testing::kNamespaces;
using testing::kThings;
using testing::ThingText;
using testing::With;

class ObjectSemanticsTest : public ::testing::Test {
 protected:
  Result<WriteResult> Put(const std::string& name, const std::string& text,
                          UpdateOptions options = {}) {
    return world_.store->Update(world_.Key(name), text, options);
  }
  Revision Now() { return world_.store->CurrentRevision().value(); }

  testing::StoreWorld world_;
};

TEST_F(ObjectSemanticsTest, CreateFillsInWhatTheServerOwns) {
  const ObjectPtr a = world_.Create("a", "", R"("uid":"mine","generation":9,"labels":{"k":"v"})");
  EXPECT_EQ(a->meta.uid.size(), 36U);
  EXPECT_EQ(a->meta.generation, 1);
  EXPECT_EQ(a->meta.revision, Now());
  EXPECT_EQ(a->meta.ns, "default");
  EXPECT_EQ(a->meta.labels.at("k"), "v");
  EXPECT_FALSE(a->meta.creation_timestamp.empty());
  EXPECT_EQ(At(a->text, "/metadata/resourceVersion"), '"' + std::to_string(Now()) + '"');
  EXPECT_EQ(At(a->text, "/metadata/uid"), '"' + a->meta.uid + '"');
  EXPECT_EQ(At(a->text, "/spec/size"), "1");  // the default is stored
  EXPECT_EQ(world_.Get("a")->text, a->text);
}

TEST_F(ObjectSemanticsTest, CreatePrunesAndDropsStatus) {
  const std::string text = With(ThingText("a", R"("sizze":3)"), "/status", R"({"phase":"Up"})");
  const auto created = world_.store->Create(kThings, "default", text);
  ASSERT_TRUE(created.ok());
  EXPECT_EQ(At(created->object->text, "/spec/sizze"), "");
  EXPECT_EQ(At(created->object->text, "/status"), "");
}

TEST_F(ObjectSemanticsTest, CreateRefusals) {
  world_.Create("a");
  const struct {
    std::string ns;
    std::string text;
    Code code;
    const char* reason;
    const char* message;
  } cases[] = {
      {"default", ThingText("a"), Code::kExists, "AlreadyExists",
       "things.test.dev \"a\" already exists"},
      {"nons", ThingText("b"), Code::kNotFound, "NotFound", "namespaces \"nons\" not found"},
      {"default", ThingText("b", "", R"("namespace":"other")"), Code::kInvalid, "BadRequest",
       "the namespace of the provided object does not match the namespace sent on the request"},
      {"default", ThingText("b", R"("size":-1)"), Code::kInvalid, "Invalid",
       "Thing.test.dev \"b\" is invalid: spec.size: Invalid value: -1: spec.size in body should be "
       "greater than or equal to 0"},
      {"default", ThingText("b", "", R"("resourceVersion":"1")"), Code::kInvalid, "BadRequest",
       "resourceVersion should not be set on objects to be created"},
      {"default", R"({"apiVersion":"test.dev/v2","kind":"Thing"})", Code::kInvalid, "BadRequest",
       "the API version in the data (test.dev/v2) does not match the expected API version "
       "(test.dev/v1)"},
  };
  const Revision before = Now();
  for (const auto& one : cases) {
    const auto created = world_.store->Create(kThings, one.ns, one.text);
    ASSERT_FALSE(created.ok()) << one.message;
    EXPECT_EQ(created.error().message, one.message);
    EXPECT_EQ(created.error().code, one.code) << one.message;
    EXPECT_EQ(StatusReason(created.error()), one.reason) << one.message;
  }
  EXPECT_FALSE(world_.store->Create(kThings, "default", "{").ok());
  EXPECT_FALSE(world_.store->Create(kThings, "default", "[]").ok());
  EXPECT_FALSE(world_.store->Create({"test.dev", "nothings"}, "default", ThingText("b")).ok());
  EXPECT_EQ(Now(), before);
}

TEST_F(ObjectSemanticsTest, GenerateNameMakesDifferentNames) {
  const std::string text = R"({"apiVersion":"test.dev/v1","kind":"Thing","metadata":)"
                           R"({"generateName":"thing-"}})";
  const auto a = world_.store->Create(kThings, "default", text);
  const auto b = world_.store->Create(kThings, "default", text);
  ASSERT_TRUE(a.ok() && b.ok());
  EXPECT_NE(a->object->meta.name, b->object->meta.name);
  EXPECT_EQ(a->object->meta.name.size(), 11U);
  EXPECT_EQ(a->object->meta.name.substr(0, 6), "thing-");
}

TEST_F(ObjectSemanticsTest, UpdateNeedsTheNewestRevision) {
  const ObjectPtr a = world_.Create("a");
  ASSERT_TRUE(Put("a", With(a->text, "/spec/size", "2")).ok());
  const auto stale = Put("a", With(a->text, "/spec/size", "3"));
  ASSERT_FALSE(stale.ok());
  EXPECT_EQ(stale.error().code, Code::kConflict);
  EXPECT_EQ(stale.error().message,
            "Operation cannot be fulfilled on things.test.dev \"a\": the object has been modified; "
            "please apply your changes to the latest version and try again");
  const auto none = Put("a", With(a->text, "/metadata/resourceVersion", ""));
  ASSERT_FALSE(none.ok());
  EXPECT_EQ(none.error().message,
            "Thing.test.dev \"a\" is invalid: metadata.resourceVersion: Invalid value: 0x0: must "
            "be specified for an update");
  EXPECT_EQ(StatusReason(none.error()), "Invalid");
  EXPECT_EQ(At(world_.Get("a")->text, "/spec/size"), "2");
}

TEST_F(ObjectSemanticsTest, UpdateOfAnotherIdentityIsRefused) {
  const ObjectPtr a = world_.Create("a");
  EXPECT_EQ(Put("a", With(a->text, "/metadata/name", "\"q\"")).error().message,
            "the name of the object (q) does not match the name on the URL (a)");
  EXPECT_EQ(Put("a", With(a->text, "/metadata/uid", "\"x\"")).error().code, Code::kConflict);
  EXPECT_EQ(Put("b", ThingText("b", "", R"("resourceVersion":"1")")).error().message,
            "things.test.dev \"b\" not found");
}

TEST_F(ObjectSemanticsTest, UpdateKeepsSystemMetadataAndStatus) {
  const ObjectPtr a = world_.Create("a");
  std::string text = With(a->text, "/metadata/creationTimestamp", R"("2000-01-01T00:00:00Z")");
  text = With(text, "/metadata/generation", "77");
  text = With(text, "/status", R"({"phase":"Up"})");
  text = With(text, "/spec/size", "2");
  const auto updated = Put("a", text);
  ASSERT_TRUE(updated.ok());
  EXPECT_EQ(updated->object->meta.creation_timestamp, a->meta.creation_timestamp);
  EXPECT_EQ(updated->object->meta.uid, a->meta.uid);
  EXPECT_EQ(updated->object->meta.generation, 2);
  EXPECT_EQ(At(updated->object->text, "/status"), "");
}

TEST_F(ObjectSemanticsTest, AWriteThatChangesNothingHasNoRevision) {
  const ObjectPtr a = world_.Create("a");
  const Revision before = Now();
  auto watch = world_.store->OpenWatch(kThings, {.after = before});
  const auto same = Put("a", a->text);
  ASSERT_TRUE(same.ok());
  EXPECT_FALSE(same->changed);
  EXPECT_EQ(same->object->meta.revision, a->meta.revision);
  EXPECT_EQ(Now(), before);
  EXPECT_EQ((*watch)->TryNext(), std::nullopt);
}

TEST_F(ObjectSemanticsTest, OnlyContentRaisesGeneration) {
  ObjectPtr a = world_.Create("a");
  a = Put("a", With(a->text, "/metadata/labels", R"({"k":"v"})"))->object;
  EXPECT_EQ(a->meta.generation, 1);
  a = Put("a", With(a->text, "/status", R"({"phase":"Up"})"), {.part = Part::kStatus})->object;
  EXPECT_EQ(a->meta.generation, 1);
  a = Put("a", With(a->text, "/spec/note", "\"x\""))->object;
  EXPECT_EQ(a->meta.generation, 2);
}

TEST_F(ObjectSemanticsTest, StatusWritesOnlyStatus) {
  const ObjectPtr a = world_.Create("a");
  std::string text = With(a->text, "/status", R"({"phase":"Up","bogus":1})");
  text = With(text, "/spec/size", "9");
  text = With(text, "/metadata/labels", R"({"k":"v"})");
  const auto updated = world_.store->UpdateStatus(world_.Key("a"), text);
  ASSERT_TRUE(updated.ok());
  EXPECT_EQ(At(updated->object->text, "/status"), R"({"phase":"Up"})");
  EXPECT_EQ(At(updated->object->text, "/spec/size"), "1");
  EXPECT_TRUE(updated->object->meta.labels.empty());
  EXPECT_GT(updated->object->meta.revision, a->meta.revision);
  EXPECT_EQ(world_.store->UpdateStatus(world_.Key("a"), text).error().code, Code::kConflict);
}

TEST_F(ObjectSemanticsTest, DryRunsCheckEverythingAndKeepNothing) {
  const ObjectPtr a = world_.Create("a");
  const Revision before = Now();
  const auto created = world_.store->Create(kThings, "default", ThingText("b"), {.dry_run = true});
  ASSERT_TRUE(created.ok());
  EXPECT_EQ(At(created->object->text, "/metadata/resourceVersion"), "");
  EXPECT_EQ(At(created->object->text, "/spec/size"), "1");
  EXPECT_FALSE(world_.store->Create(kThings, "default", ThingText("a"), {.dry_run = true}).ok());
  EXPECT_FALSE(world_.store->Create(kThings, "nons", ThingText("b"), {.dry_run = true}).ok());
  const auto updated = Put("a", With(a->text, "/spec/size", "2"), {.dry_run = true});
  ASSERT_TRUE(updated.ok());
  EXPECT_EQ(At(updated->object->text, "/spec/size"), "2");
  ASSERT_TRUE(world_.store->Delete(world_.Key("a"), {.dry_run = true})->removed);
  EXPECT_EQ(Now(), before);
  EXPECT_EQ(world_.Get("a")->text, a->text);
  EXPECT_EQ(world_.Get("b"), nullptr);
}

TEST_F(ObjectSemanticsTest, DeleteWithoutFinalizersRemovesAtOnce) {
  world_.Create("a");
  const auto deleted = world_.store->Delete(world_.Key("a"));
  ASSERT_TRUE(deleted.ok());
  EXPECT_TRUE(deleted->removed);
  EXPECT_EQ(deleted->object->meta.revision, Now());
  EXPECT_EQ(world_.Get("a"), nullptr);
  EXPECT_EQ(world_.store->Delete(world_.Key("a")).error().message,
            "things.test.dev \"a\" not found");
}

TEST_F(ObjectSemanticsTest, FinalizersHoldAnObjectUntilTheLastIsGone) {
  world_.Create("a", "", R"("finalizers":["x.dev/one","x.dev/two"])");
  const auto deleted = world_.store->Delete(world_.Key("a"));
  ASSERT_TRUE(deleted.ok());
  EXPECT_FALSE(deleted->removed);
  EXPECT_TRUE(deleted->object->meta.terminating());
  EXPECT_EQ(deleted->object->meta.generation, 2);
  EXPECT_EQ(At(deleted->object->text, "/metadata/deletionGracePeriodSeconds"), "0");

  const Revision before = Now();
  EXPECT_FALSE(world_.store->Delete(world_.Key("a"))->removed);
  EXPECT_EQ(Now(), before);  // a second delete changes nothing

  const auto again = world_.store->Create(kThings, "default", ThingText("a"));
  EXPECT_EQ(again.error().message, "object is being deleted: things.test.dev \"a\" already exists");

  const std::string more = With(world_.Get("a")->text, "/metadata/finalizers/2", "\"x.dev/new\"");
  const auto refused = Put("a", more);
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(
      refused.error().message.find("no new finalizers can be added if the object is being deleted"),
      std::string::npos);

  const auto cleared = Put("a", With(world_.Get("a")->text, "/metadata/deletionTimestamp", ""));
  ASSERT_TRUE(cleared.ok());
  EXPECT_TRUE(cleared->object->meta.terminating());

  ASSERT_TRUE(
      Put("a", With(world_.Get("a")->text, "/metadata/finalizers", R"(["x.dev/two"])")).ok());
  auto watch = world_.store->OpenWatch(kThings, {.after = Now()});
  const auto last = Put("a", With(world_.Get("a")->text, "/metadata/finalizers", "[]"));
  ASSERT_TRUE(last.ok());
  EXPECT_TRUE(last->removed);
  EXPECT_EQ(world_.Get("a"), nullptr);
  const auto event = (*watch)->TryNext();
  ASSERT_TRUE(event.has_value());
  EXPECT_EQ(event->type, EventType::kDeleted);
  EXPECT_EQ(event->object->meta.revision, Now());
  EXPECT_EQ((*watch)->TryNext(), std::nullopt);
}

TEST_F(ObjectSemanticsTest, DeletePreconditions) {
  const ObjectPtr a = world_.Create("a");
  const auto wrong_uid = world_.store->Delete(world_.Key("a"), {.uid = "x"});
  EXPECT_EQ(wrong_uid.error().code, Code::kConflict);
  EXPECT_NE(wrong_uid.error().message.find("the UID in the precondition (x) does not match"),
            std::string::npos);
  EXPECT_EQ(world_.store->Delete(world_.Key("a"), {.revision = a->meta.revision + 1}).error().code,
            Code::kConflict);
  EXPECT_TRUE(
      world_.store->Delete(world_.Key("a"), {.uid = a->meta.uid, .revision = a->meta.revision})
          ->removed);
}

TEST_F(ObjectSemanticsTest, PropagationLeavesItsFinalizer) {
  world_.Create("a");
  world_.Create("b");
  const auto foreground =
      world_.store->Delete(world_.Key("a"), {.propagation = Propagation::kForeground});
  EXPECT_EQ(foreground->object->meta.finalizers, std::vector<std::string>{"foregroundDeletion"});
  const auto orphan = world_.store->Delete(world_.Key("b"), {.propagation = Propagation::kOrphan});
  EXPECT_EQ(orphan->object->meta.finalizers, std::vector<std::string>{"orphan"});
  // Changing one's mind: background lets go.
  EXPECT_TRUE(
      world_.store->Delete(world_.Key("b"), {.propagation = Propagation::kBackground})->removed);
}

TEST_F(ObjectSemanticsTest, ANamespaceGoesThroughTerminating) {
  const ObjectKey key{kNamespaces, "", "other"};
  const auto deleted = world_.store->Delete(key);
  ASSERT_TRUE(deleted.ok());
  EXPECT_FALSE(deleted->removed);
  EXPECT_EQ(At(deleted->object->text, "/status/phase"), "\"Terminating\"");
  EXPECT_EQ(At(deleted->object->text, "/spec/finalizers"), R"(["kubernetes"])");

  const auto created = world_.store->Create(kThings, "other", ThingText("a"));
  ASSERT_FALSE(created.ok());
  EXPECT_EQ(created.error().message,
            "things.test.dev \"a\" is forbidden: unable to create new content in namespace other "
            "because it is being terminated");
  EXPECT_EQ(StatusReason(created.error()), "Forbidden");
  ASSERT_EQ(VisibleCauses(created.error()).size(), 1U);
  EXPECT_EQ(VisibleCauses(created.error())[0].reason, "NamespaceTerminating");

  const std::string emptied = With(deleted->object->text, "/spec/finalizers", "[]");
  // The main endpoint does not write spec.finalizers.
  EXPECT_FALSE(world_.store->Update(key, emptied)->removed);
  const auto finalized = world_.store->Update(key, emptied, {.part = Part::kFinalize});
  ASSERT_TRUE(finalized.ok());
  EXPECT_TRUE(finalized->removed);
  EXPECT_EQ(*world_.store->Get(key), nullptr);
}

TEST_F(ObjectSemanticsTest, TheDefaultNamespaceStays) {
  const auto deleted = world_.store->Delete({kNamespaces, "", "default"});
  ASSERT_FALSE(deleted.ok());
  EXPECT_EQ(deleted.error().message,
            "namespaces \"default\" is forbidden: this namespace may not be deleted");
}

TEST_F(ObjectSemanticsTest, ABuiltInMayBeUpdatedWithoutARevision) {
  const GroupResource maps{"", "configmaps"};
  const std::string text =
      R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c"},"data":{"k":"v"}})";
  ASSERT_TRUE(world_.store->Create(maps, "default", text).ok());
  const auto updated = world_.store->Update({maps, "default", "c"}, With(text, "/data/k", "\"w\""));
  ASSERT_TRUE(updated.ok()) << updated.error().message;
  EXPECT_EQ(At(updated->object->text, "/data/k"), "\"w\"");
}

// Refuses things of size 13; remembers what it was asked.
class Gate final : public AdmissionGate {
 public:
  Status Admit(const AdmissionRequest& request) override {
    ++admitted;
    uid = request.uid;
    if (At(request.proposed, "/spec/size") != "13") return OkStatus();
    Error error = Exhausted("no slot is free");
    error.causes.push_back({"insufficient_resources", "spec.size", "13 of 12"});
    return error;
  }
  void Abandon(const AdmissionRequest&) override { ++abandoned; }
  int admitted = 0;
  int abandoned = 0;
  std::string uid;
};

TEST(AdmissionTest, TheGateSeesMainWritesAndMayRefuseThem) {
  Gate gate;
  testing::StoreWorld world(nullptr, &gate);
  gate.admitted = 0;
  const ObjectPtr a = world.Create("a");
  EXPECT_EQ(gate.admitted, 1);
  EXPECT_EQ(gate.uid, a->meta.uid);
  const auto refused = world.store->Create(kThings, "default", ThingText("b", R"("size":13)"));
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, Code::kExhausted);
  EXPECT_EQ(StatusReason(refused.error()), "InsufficientResources");
  EXPECT_EQ(world.Get("b"), nullptr);
  EXPECT_TRUE(
      world.store->UpdateStatus(world.Key("a"), With(a->text, "/status", R"({"phase":"U"})")).ok());
  EXPECT_EQ(gate.admitted, 2);
  // Admitted, then refused by the namespace: what was leased is given back.
  EXPECT_FALSE(world.store->Create(kThings, "nons", ThingText("c")).ok());
  EXPECT_EQ(gate.abandoned, 1);
}

}  // namespace
}  // namespace forkplane::store
