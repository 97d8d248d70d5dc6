// Goal: one document and one object give the write that makes the object as the document says, and
// tell whether somebody else had changed it.
#include "controller/manifests/apply_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace forkplane::manifests {
namespace {

using crd::Json;

Wanted Want(const Json& document, const std::string& replicas_path = "") {
  Wanted wanted{{{"", "things"}, "default", "a"}, {}, replicas_path};
  wanted.manifest.path = "a.yaml";
  wanted.manifest.object = std::make_shared<const Json>(document);
  return wanted;
}

// As the store holds it.
Json Marked(Json object, const std::string& uid = "u") {
  object["metadata"]["uid"] = uid;
  object["metadata"]["namespace"] = "default";
  object["metadata"]["labels"][kManagedByLabel] = kManagedByValue;
  object["metadata"]["annotations"][kSourceAnnotation] = "a.yaml";
  return object;
}

Record Applied(const Json& document, const std::string& uid) {
  Record record;
  record.uid = uid;
  record.path = "a.yaml";
  record.last_applied = document.dump();
  return record;
}

const Json kDocument = {{"metadata", {{"name", "a"}}}, {"spec", {{"x", 1}}}};
const Json kNow = Marked(kDocument);

TEST(ApplyPlanTest, AnAbsentObjectIsMadeWithOurMarks) {
  const ApplyAction action = PlanApply(Want(kDocument), nullptr, nullptr);
  ASSERT_TRUE(std::holds_alternative<CreateObject>(action));
  Json made = Json::parse(std::get<CreateObject>(action).text);
  made["metadata"]["uid"] = "u";
  EXPECT_EQ(made, Marked(kDocument));
}

TEST(ApplyPlanTest, AnEqualObjectIsLeft) {
  const Record record = Applied(kDocument, "u");
  EXPECT_TRUE(std::holds_alternative<LeaveObject>(PlanApply(Want(kDocument), &kNow, &record)));
}

TEST(ApplyPlanTest, OnlyAChangeOfOthersIsAReversion) {
  Json changed = Marked(kDocument);
  changed["spec"]["x"] = 2;
  const auto reverts = [&](const Record& record) {
    return std::get<UpdateObject>(PlanApply(Want(kDocument), &changed, &record)).reverts;
  };
  EXPECT_TRUE(reverts(Applied(kDocument, "u")));
  EXPECT_FALSE(reverts(Applied({{"spec", {{"x", 0}}}}, "u"))) << "the file changed";
  EXPECT_FALSE(reverts(Applied(kDocument, "v"))) << "another object of the name";
  EXPECT_FALSE(reverts(Record{})) << "nothing was applied yet";
}

TEST(ApplyPlanTest, FieldsAreTakenAwayOnlyFromTheObjectThatGotThem) {
  Json now = Marked(kDocument);
  now["spec"]["dropped"] = 1;
  Json before = kDocument;
  before["spec"]["dropped"] = 1;
  const Record ours = Applied(before, "u");
  const Record another = Applied(before, "v");
  EXPECT_TRUE(std::holds_alternative<UpdateObject>(PlanApply(Want(kDocument), &now, &ours)));
  EXPECT_TRUE(std::holds_alternative<LeaveObject>(PlanApply(Want(kDocument), &now, &another)));
}

TEST(ApplyPlanTest, ReplicasThatTheFileNamesNoMoreStay) {
  Json before = kDocument;
  before["spec"]["replicas"] = 5;
  const Record record = Applied(before, "u");
  const Json stored = Marked(before);
  EXPECT_TRUE(std::holds_alternative<LeaveObject>(
      PlanApply(Want(kDocument, ".spec.replicas"), &stored, &record)));
  EXPECT_TRUE(std::holds_alternative<UpdateObject>(PlanApply(Want(kDocument), &stored, &record)))
      << "a field like any other where nobody scales";
}

TEST(ApplyPlanTest, AnObjectThatIsBeingDeletedIsAwaited) {
  Json leaving = kNow;
  leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z";
  EXPECT_TRUE(std::holds_alternative<AwaitDeletion>(PlanApply(Want(kDocument), &leaving, nullptr)));
}

}  // namespace
}  // namespace forkplane::manifests
