// Goal: metadata is judged with upstream's texts.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "crd/condition.h"
#include "crd/object_meta.h"
#include "crd/yaml.h"

namespace forkplane::crd {
namespace {

std::vector<std::string> Check(const Json& metadata, bool namespaced = true) {
  std::vector<std::string> texts;
  for (const Cause& cause : ValidateMetadata(metadata, namespaced, NameRule::kSubdomain)) {
    texts.push_back(cause.field + ": " + cause.message);
  }
  return texts;
}

Json Meta() { return {{"name", "a"}, {"namespace", "default"}}; }
using Strings = std::vector<std::string>;

TEST(MetadataTest, NamesAreRequiredAndBounded) {
  EXPECT_EQ(Check(Meta()), Strings{});
  EXPECT_EQ(Check({{"namespace", "default"}}),
            Strings{"metadata.name: Required value: name or generateName is required"});
  Json metadata = Meta();
  metadata["name"] = std::string(254, 'a');
  EXPECT_EQ(Check(metadata), Strings{"metadata.name: Invalid value: \"" + std::string(254, 'a') +
                                     "\": must be no more than 253 characters"});
  for (const char* good : {"a", "a.b", "a-1", "1"}) EXPECT_EQ(CheckDnsSubdomain(good), "") << good;
  for (const char* bad : {"A", "-a", "a-", "a..b", ".a", "a_b", ""}) {
    EXPECT_NE(CheckDnsSubdomain(bad), "") << bad;
  }
  EXPECT_EQ(Check({{"generateName", "web-"}, {"namespace", "default"}}), Strings{});
  EXPECT_EQ(Check({{"generateName", "Web-"}, {"namespace", "default"}}).size(), 1U);
}

TEST(MetadataTest, NamespaceFollowsScope) {
  EXPECT_EQ(Check({{"name", "a"}}), Strings{"metadata.namespace: Required value"});
  EXPECT_EQ(Check(Meta(), false),
            Strings{"metadata.namespace: Forbidden: not allowed on this type"});
}

TEST(MetadataTest, LabelsAndAnnotations) {
  for (const char* good : {"a", "a.b/c", "A_b.c-d", "example.com/MyName"}) {
    EXPECT_TRUE(CheckQualifiedName(good).empty()) << good;
  }
  for (const char* bad : {"", "a b", "/a", "a/", "a/b/c", "-a", "A.b/c", "ä"}) {
    EXPECT_FALSE(CheckQualifiedName(bad).empty()) << bad;
  }
  EXPECT_FALSE(CheckQualifiedName(std::string(64, 'a')).empty());
  EXPECT_EQ(CheckLabelValue(std::string(64, 'a')), "must be no more than 63 characters");
  Json metadata = Meta();
  metadata["annotations"] = {{"a", std::string(std::size_t{256} * 1024, 'x')}};
  EXPECT_EQ(Check(metadata),
            Strings{"metadata.annotations: Too long: may not be more than 262144 bytes"});
}

TEST(MetadataTest, OnlyOneController) {
  Json metadata = Meta();
  const Json owner = {
      {"apiVersion", "v1"}, {"kind", "K"}, {"name", "o"}, {"uid", "u"}, {"controller", true}};
  metadata["ownerReferences"] = {owner};
  EXPECT_EQ(Check(metadata), Strings{});
  metadata["ownerReferences"] = {owner, owner};
  ASSERT_EQ(Check(metadata).size(), 1U);
  EXPECT_NE(Check(metadata)[0].find("Only one reference can have Controller set to true"),
            std::string::npos);
}

TEST(MetadataTest, WhatMayNotChange) {
  const Json old = {{"name", "a"},
                    {"uid", "u"},
                    {"deletionTimestamp", "2026-01-01T00:00:00Z"},
                    {"finalizers", {"x/y"}}};
  Json now = old;
  EXPECT_TRUE(ValidateMetadataUpdate(now, old).empty());
  now["finalizers"] = Json::array();
  EXPECT_TRUE(ValidateMetadataUpdate(now, old).empty());
  now["finalizers"] = {"x/y", "h2.example.com/g"};
  now["uid"] = "zz";
  const auto causes = ValidateMetadataUpdate(now, old);
  ASSERT_EQ(causes.size(), 2U);
  EXPECT_EQ(causes[0].message, "Invalid value: \"zz\": field is immutable");
  EXPECT_EQ(causes[1].message,
            "Forbidden: no new finalizers can be added if the object is being deleted, found new "
            "finalizers []string{\"h2.example.com/g\"}");
}

TEST(ConditionTest, TheTransitionTimeMovesOnlyWhenTheStatusFlips) {
  const WallTime start{};
  Conditions conditions;
  EXPECT_TRUE(
      SetCondition(conditions, {"Ready", ConditionStatus::kFalse, "Waiting", "", 1, ""}, start));
  const WallTime later = start + std::chrono::seconds(5);
  EXPECT_FALSE(
      SetCondition(conditions, {"Ready", ConditionStatus::kFalse, "Waiting", "", 1, ""}, later));
  EXPECT_TRUE(
      SetCondition(conditions, {"Ready", ConditionStatus::kFalse, "Other", "", 2, ""}, later));
  EXPECT_EQ(conditions[0].last_transition_time, "1970-01-01T00:00:00Z");
  EXPECT_EQ(conditions[0].observed_generation, 2);
  EXPECT_TRUE(SetCondition(conditions, {"Ready", ConditionStatus::kTrue, "Ok", "", 2, ""}, later));
  EXPECT_EQ(conditions[0].last_transition_time, "1970-01-01T00:00:05Z");
  EXPECT_TRUE(IsTrue(conditions, condition::kReady));
  EXPECT_TRUE(RemoveCondition(conditions, condition::kReady));
  EXPECT_FALSE(RemoveCondition(conditions, condition::kReady));
}

TEST(ConditionTest, LongMessagesAreCutBetweenCharacters) {
  Conditions conditions;
  std::string message(32767, 'a');
  message += "\xc3\xa4\xc3\xa4";
  SetCondition(conditions, {"Ready", ConditionStatus::kFalse, "Long", message, 1, ""}, WallTime{});
  EXPECT_EQ(conditions[0].message.size(), 32767U);
}

TEST(LabelSelectorTest, MatchesAndPrints) {
  LabelSelector selector;
  selector.match_labels = {{"app", "web"}};
  selector.match_expressions = {{"tier", "In", {"a", "b"}}, {"old", "DoesNotExist", {}}};
  EXPECT_EQ(selector.ToString(), "app=web,tier in (a,b),!old");
  EXPECT_TRUE(selector.Matches({{"app", "web"}, {"tier", "b"}}));
  EXPECT_FALSE(selector.Matches({{"app", "web"}, {"tier", "c"}}));
  EXPECT_FALSE(selector.Matches({{"app", "web"}, {"tier", "a"}, {"old", ""}}));
}

}  // namespace
}  // namespace forkplane::crd
