// Goal: selectors mean what `kubectl -l` and `--field-selector` mean. Method: tables of (selector,
// labels, answer), and of texts that must be refused.
#include "controller/store/selector.h"

#include <gtest/gtest.h>

#include "controller/store/errors.h"

namespace forkplane::store {
namespace {

struct LabelCase {
  const char* selector;
  Labels labels;
  bool matches;
};

TEST(LabelSelectorTest, MatchesAsUpstreamDoes) {
  const Labels a = {{"app", "a"}, {"tier", "web"}, {"n", "5"}, {"x.dev/y", "z"}};
  const LabelCase cases[] = {
      {"", a, true},
      {"  ", a, true},
      {"app=a", a, true},
      {"app==a", a, true},
      {"app = a", a, true},
      {"app=b", a, false},
      {"app!=b", a, true},
      {"app!=a", a, false},
      {"none!=a", a, true},
      {"none=a", a, false},
      {"none=", a, false},
      {"app", a, true},
      {"none", a, false},
      {"!none", a, true},
      {"! app", a, false},
      {"app in (a,b)", a, true},
      {"app in (b, c)", a, false},
      {"app notin (b)", a, true},
      {"none notin (b)", a, true},
      {"app notin (a)", a, false},
      {"n>4", a, true},
      {"n > 5", a, false},
      {"n<6", a, true},
      {"app<6", a, false},
      {"none>1", a, false},
      {"app=a,tier=web", a, true},
      {"app=a,tier=db", a, false},
      {"app in (a),!none,n", a, true},
      {"x.dev/y=z", a, true},
      {"in in (in)", {{"in", "in"}}, true},
      {"empty=", {{"empty", ""}}, true},
      {"empty in ()", {{"empty", ""}}, true},
  };
  for (const LabelCase& one : cases) {
    const auto selector = ParseLabelSelector(one.selector);
    ASSERT_TRUE(selector.ok()) << one.selector;
    EXPECT_EQ(selector->Matches(one.labels), one.matches) << one.selector;
  }
}

TEST(LabelSelectorTest, RefusesWhatItCannotRead) {
  for (const char* text : {"=a",   "a=b=c", "a in",  "a in (", "a in (b", "a in b",    "a,",
                           ",a",   "!",     "!!a",   "a b",    "a>x",     "a<",        "a!b",
                           "-a=b", "/a",    "a/b/c", "a=b/c",  "a;b",     "a in (b))", "a=\x01"}) {
    const auto selector = ParseLabelSelector(text);
    ASSERT_FALSE(selector.ok()) << text;
    EXPECT_EQ(StatusReason(selector.error()), "BadRequest") << text;
  }
  EXPECT_FALSE(ParseLabelSelector(std::string(kSelectorBytesMax + 1, 'a')).ok());
  EXPECT_FALSE(ParseLabelSelector("k=" + std::string(64, 'v')).ok());
}

Object Sample() {
  Object object;
  object.meta.name = "a";
  object.meta.ns = "default";
  object.fields = {{"status.phase", "Running"}};
  object.text = R"({"spec":{"host":"h1","n":3,"odd":"x,y=z"}})";
  return object;
}

TEST(FieldSelectorTest, Matches) {
  const std::pair<const char*, bool> cases[] = {
      {"", true},
      {"metadata.name=a", true},
      {"metadata.name==a", true},
      {"metadata.name!=a", false},
      {"metadata.name=b", false},
      {"metadata.namespace=default,metadata.name=a", true},
      {"metadata.namespace=other,metadata.name=a", false},
      {"status.phase=Running", true},
      {"status.phase!=Running", false},
      {"status.missing=", true},
      {"spec.host=h1", true},  // not extracted: looked up
      {"spec.n=3", true},
      {"spec.odd=x\\,y\\=z", true},
      {",metadata.name=a,", true},
  };
  for (const auto& [text, matches] : cases) {
    const auto selector = ParseFieldSelector(text);
    ASSERT_TRUE(selector.ok()) << text;
    EXPECT_EQ(selector->Matches(Sample()), matches) << text;
  }
}

TEST(FieldSelectorTest, RefusesWhatItCannotRead) {
  for (const char* text : {"metadata.name", "=a", "a=b=c", "a=b\\", "a\\x=b", "!=a"}) {
    const auto selector = ParseFieldSelector(text);
    ASSERT_FALSE(selector.ok()) << text;
    EXPECT_EQ(StatusReason(selector.error()), "BadRequest") << text;
  }
}

}  // namespace
}  // namespace forkplane::store
