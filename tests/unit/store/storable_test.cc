// Goal: what was accepted can be read again, at the next start too. Method: objects at and beyond
// the bounds, made by every kind of write, on a database that is opened again.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "controller/store/errors.h"
#include "controller/store/limits.h"
#include "tests/support/store_world.h"
#include "tests/support/tempdir.h"

namespace forkplane::store {
namespace {

using testing::kThings;
using testing::ThingText;
using testing::With;

// A kind that keeps what it does not know.
constexpr std::string_view kLooseCrd = R"({
  "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
  "metadata": {"name": "looses.test.dev"},
  "spec": {"group": "test.dev", "scope": "Namespaced", "names": {"plural": "looses", "kind": "Loose"},
    "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {
      "type": "object", "x-kubernetes-preserve-unknown-fields": true}}}]}})";

class StorableTest : public ::testing::Test {
 protected:
  StorableTest() { Reopen(); }
  void Reopen() {
    world_.reset();
    SeededRng rng(1);
    auto log = OpenSqliteLog({.path = dir_.File("store.db")}, rng);
    ASSERT_TRUE(log.ok());
    world_ = std::make_unique<testing::StoreWorld>(std::move(log).value());
  }
  static std::string Note(std::size_t bytes) {
    return fmt::format("\"note\":\"{}\"", std::string(bytes, 'x'));
  }
  // The longest spec.note with which the object is still stored.
  std::size_t LongestNote(const std::string& name) {
    const ObjectPtr empty = world_->Create(name, Note(0));
    const std::size_t digits = std::to_string(empty->meta.revision).size();
    return kObjectBytesMax - (empty->text.size() - digits + kRevisionDigitsMax);
  }
  std::string_view ReasonOf(const Result<WriteResult>& written) {
    return written.ok() ? "" : StatusReason(written.error());
  }

  testing::TempDir dir_;
  std::unique_ptr<testing::StoreWorld> world_;
};

TEST_F(StorableTest, TheBoundIsOnTheStoredBytesWhicheverVerbReachesIt) {
  const std::size_t most = LongestNote("same-length-1");
  const auto create = [this](const std::string& name, std::size_t bytes) {
    return world_->store->Create(kThings, "default", ThingText(name, Note(bytes)));
  };
  EXPECT_EQ(ReasonOf(create("same-length-2", most)), "");
  EXPECT_EQ(ReasonOf(create("same-length-3", most + 1)), "RequestEntityTooLarge");
  EXPECT_EQ(
      ReasonOf(world_->store->Create(kThings, "default", ThingText("same-length-3", Note(most + 1)),
                                     WriteOptions{.dry_run = true})),
      "RequestEntityTooLarge");
  const ObjectKey key = world_->Key("same-length-2");
  const std::string text = world_->Get("same-length-2")->text;
  EXPECT_EQ(ReasonOf(world_->store->UpdateStatus(key, With(text, "/status", R"({"phase":"Up"})"))),
            "RequestEntityTooLarge");
  EXPECT_EQ(ReasonOf(world_->store->Update(key, With(text, "/metadata/labels", R"({"a":"b"})"))),
            "RequestEntityTooLarge");
  // A deletion is not refused for what it adds, and what ends it is not either.
  ASSERT_EQ(ReasonOf(world_->store->Update(
                key, With(With(text, "/spec/note", "\"\""), "/metadata/finalizers",
                          R"(["test.dev/one","test.dev/two"])"))),
            "");
  const std::string held = world_->Get("same-length-2")->text;
  const std::size_t room = kObjectBytesMax - kRevisionDigitsMax - held.size();
  const std::string full = With(held, "/spec/note", '"' + std::string(room, 'y') + '"');
  ASSERT_EQ(ReasonOf(world_->store->Update(key, full)), "");
  const auto deleted = world_->store->Delete(key);
  ASSERT_TRUE(deleted.ok()) << deleted.error().message;
  EXPECT_GT(deleted->object->text.size() + kRevisionDigitsMax, kObjectBytesMax);
  Reopen();
  const ObjectPtr after = world_->Get("same-length-2");
  ASSERT_NE(after, nullptr);
  EXPECT_TRUE(after->meta.terminating());
  EXPECT_EQ(ReasonOf(world_->store->Update(
                key, With(after->text, "/metadata/finalizers", R"(["test.dev/two"])"))),
            "");
  const std::string last = world_->Get("same-length-2")->text;
  EXPECT_EQ(ReasonOf(world_->store->Update(key, With(last, "/metadata/finalizers", ""))), "");
  EXPECT_EQ(world_->Get("same-length-2"), nullptr);
  Reopen();
  EXPECT_TRUE(world_->store->Health().ok());
}

TEST_F(StorableTest, DepthIsBoundedWhenItIsWritten) {
  const auto nested = [](std::size_t levels) {
    return std::string(levels, '[') + std::string(levels, ']');
  };
  const std::string map =
      R"({"apiVersion":"test.dev/v1","kind":"Loose","metadata":{"name":"NAME"},"spec":SPEC})";
  const auto create = [&](const std::string& name, std::size_t levels) {
    std::string text = map;
    text.replace(text.find("NAME"), 4, name);
    text.replace(text.find("SPEC"), 4, fmt::format(R"({{"a":{}}})", nested(levels)));
    return world_->store->Create({"test.dev", "looses"}, "default", text);
  };
  ASSERT_TRUE(world_->types->Add(*crd::ParseCrd(*crd::ParseJson(kLooseCrd))).ok());
  EXPECT_EQ(ReasonOf(create("a", kObjectDepthMax - 2)), "");
  EXPECT_EQ(ReasonOf(create("b", kObjectDepthMax - 1)), "BadRequest");
  EXPECT_EQ(ReasonOf(create("c", 500)), "BadRequest");
  Reopen();
  EXPECT_TRUE(world_->store->Health().ok());
}

}  // namespace
}  // namespace forkplane::store
