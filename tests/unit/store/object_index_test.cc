// Goal: the index is a sorted map whose copies never change. Method: the same random writes on it
// and on a std::map, copies of both taken on the way and compared at the end.
#include "controller/store/object_index.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <map>

#include "controller/base/rng.h"

namespace forkplane::store {
namespace {

using Model = std::map<std::string, ObjectPtr>;

ObjectPtr Named(const std::string& name) {
  auto object = std::make_shared<Object>();
  object->meta.name = name;
  return object;
}

Model From(const ObjectIndex& index, const std::string& first) {
  Model seen;
  std::string last;
  index.VisitFrom(first, [&](const std::string& key, const ObjectPtr& object) {
    EXPECT_LT(last, key);
    last = key;
    seen.emplace(key, object);
    return true;
  });
  return seen;
}

TEST(ObjectIndexTest, IsASortedMapWhoseCopiesNeverChange) {
  SeededRng rng(1);
  ObjectIndex index;
  Model model;
  std::vector<std::pair<ObjectIndex, Model>> copies;
  for (int i = 0; i < 4000; ++i) {
    const std::string key = fmt::format("ns-{}/vm-{}", rng.Below(3), rng.Below(500));
    if (rng.Below(3) == 0) {
      EXPECT_EQ(index.Erase(key), model.erase(key) == 1);
    } else {
      const ObjectPtr object = Named(key);
      index.Put(key, object);
      model[key] = object;
    }
    ASSERT_EQ(index.size(), model.size());
    EXPECT_EQ(index.Find(key), model.contains(key) ? model.at(key) : nullptr);
    if (i % 400 == 0) copies.emplace_back(index, model);
  }
  for (const auto& [copy, then] : copies) EXPECT_EQ(From(copy, ""), then);
  for (const std::string first : {"", "ns-1/", "ns-1/vm-250", "ns-2", "zz"}) {
    EXPECT_EQ(From(index, first), Model(model.lower_bound(first), model.end())) << first;
    EXPECT_EQ(index.Rank(first),
              static_cast<std::size_t>(std::distance(model.begin(), model.lower_bound(first))));
  }
}

TEST(ObjectIndexTest, AVisitEndsWhenTheVisitorHasEnough) {
  ObjectIndex index;
  for (int i = 0; i < 100; ++i) index.Put(fmt::format("{:03}", i), Named("x"));
  std::vector<std::string> seen;
  index.VisitFrom("050", [&seen](const std::string& key, const ObjectPtr&) {
    seen.push_back(key);
    return seen.size() < 3;
  });
  EXPECT_EQ(seen, (std::vector<std::string>{"050", "051", "052"}));
}

// Names in order would make a list of a tree that is not balanced, and this overrun the stack.
TEST(ObjectIndexTest, NamesInOrderStayShallow) {
  ObjectIndex index;
  for (int i = 0; i < 200'000; ++i) index.Put(fmt::format("vm-{:08}", i), nullptr);
  EXPECT_EQ(index.size(), 200'000U);
  EXPECT_EQ(index.Rank("vm-00100000"), 100'000U);
}

}  // namespace
}  // namespace forkplane::store
