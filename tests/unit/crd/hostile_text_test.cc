// Goal: no text that a client or a file can hold costs more than a few times its own size, and what
// is said about it stays short. Method: each text is read in a child process whose CPU time is
// limited and whose peak memory is measured.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "crd/json.h"
#include "crd/resource_type.h"
#include "crd/schema.h"
#include "crd/type_registry.h"
#include "crd/yaml.h"
#include "tests/support/measured_child.h"

namespace forkplane::crd {
namespace {

using testing::ChildLimits;
using testing::MeasuredChild;
using testing::RunMeasured;

#ifdef __SANITIZE_ADDRESS__
constexpr std::size_t kOverhead = 6;         // red zones
constexpr std::size_t kQuarantineMiB = 256;  // of what is freed (quarantine_size_mb)
#else
constexpr std::size_t kOverhead = 1;
constexpr std::size_t kQuarantineMiB = 0;
#endif
constexpr std::size_t kMiB = std::size_t{1024} * 1024;

std::size_t GrowthMax(std::size_t mib) { return (mib * kOverhead + kQuarantineMiB) * kMiB; }

constexpr ChildLimits kLimits{.cpu_seconds = 10};

std::string Repeat(std::string_view text, std::size_t count) {
  std::string repeated;
  for (std::size_t i = 0; i < count; ++i) repeated += text;
  return repeated;
}

std::string AliasesOfALongScalar(std::size_t bytes, std::size_t aliases) {
  return "a: &a " + std::string(bytes, 'x') + "\nb: [" + Repeat("*a,", aliases) + "*a]\n";
}

std::string AliasesAsKeys() {
  std::string text = "a: &a " + std::string(100'000, 'k') + "\nb:\n";
  for (int i = 0; i < 10'000; ++i) text += "- {*a : 1}\n";
  return text;
}

// Each level is anchored: what lies at the bottom would be copied at every one.
std::string AnchorsAroundALongScalar() {
  return "a: " + Repeat("&a [", 90) + std::string(2'000'000, 'x') + std::string(90, ']') + "\n";
}

struct Hostile {
  const char* what;
  std::string text;
  bool refused;
  std::size_t growth_max_mib;
};

std::vector<Hostile> HostileYaml() {
  const std::string long_key(kMiB, 'k');
  return {
      {"100 KB anchored, 20 000 aliases", AliasesOfALongScalar(100'000, 20'000), true, 32},
      {"aliases as keys", AliasesAsKeys(), true, 32},
      {"many documents of aliases",
       Repeat("---\na: &a " + std::string(1'000, 'x') + "\nb: [" + Repeat("*a,", 150) + "*a]\n",
              1'000),
       true, 64},
      {"merge keys that multiply",
       "a: &a {k: " + std::string(100'000, 'x') + "}\nb:\n" + Repeat("- {<<: *a}\n", 10'000), true,
       32},
      {"anchors inside of anchors", AnchorsAroundALongScalar(), true, 64},
      {"an alias of what is around it", "a: &a [*a, *a]\n", true, 8},
      {"3 MB of short values", "[" + Repeat("a,", 1'500'000) + "a]", true, 64},
      {"3 MB of empty maps", "[" + Repeat("{},", 1'000'000) + "a]", true, 64},
      {"one key 300 000 times", Repeat("a: 1\n", 300'000), true, 32},
      {"one key 190 000 times", Repeat("a: 1\n", 190'000), false, 32},
      {"one key twice, below a long one", "? " + long_key + "\n:\n" + Repeat("  a: 1\n", 20'000),
       false, 32},
      {"3 MB of open brackets", Repeat("[", 3'000'000), true, 32},
      {"3 MB of open maps", Repeat("{a: ", 700'000), true, 32},
      {"3 MB of question marks", Repeat("? ", 1'500'000), true, 32},
      {"3 MB of list markers", Repeat("- ", 1'500'000), true, 64},
      {"3 MB of empty documents", Repeat("---\n", 750'000), false, 32},
      {"an unknown anchor with a long name", "a: *" + std::string(kMiB, 'x') + "\n", true, 32},
      {"a long tag", "a: !" + std::string(kMiB, 'x') + " 1\n", true, 32},
      {"a long number", "a: !!int " + std::string(kMiB, '9') + ".5\n", true, 32},
      {"a number that is out of range", "a: " + std::string(kMiB, '9') + "\n", true, 32},
      {"a long plain text", "a: " + std::string(2 * kMiB, 'x') + "\n", false, 32},
      {"a megabyte in quotes that never end", "a: \"" + std::string(kMiB, '\n'), true, 32},
  };
}

// Exit code of a child: 0 when the text is judged as it should be, within the bounds of what is
// told.
int JudgeHostile(const Hostile& hostile) {
  const auto documents = ParseYaml(hostile.text);
  if (documents.ok() == hostile.refused) return 1;
  if (!documents.ok()) return documents.error().message.size() <= 300 ? 0 : 2;
  std::size_t duplicates = 0;
  for (const YamlDocument& document : *documents) {
    duplicates += document.duplicates.size();
    for (const std::string& path : document.duplicates) {
      if (path.size() > 512) return 3;
    }
  }
  return duplicates <= 100 ? 0 : 4;
}

TEST(HostileYamlTest, CostsLittleAndIsToldInALine) {
  for (const Hostile& hostile : HostileYaml()) {
    const MeasuredChild child = RunMeasured([&] { return JudgeHostile(hostile); }, kLimits);
    EXPECT_TRUE(child.exited_well) << hostile.what << ": signal " << child.signal;
    EXPECT_LE(child.growth_bytes, GrowthMax(hostile.growth_max_mib))
        << hostile.what << ": " << child.growth_bytes / kMiB << " MiB";
    std::printf("%4zu KiB  %s\n", child.growth_bytes / 1024, hostile.what);
  }
}

TEST(HostileYamlTest, NoMemoryIsAnErrorNotAnAbort) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "the sanitizer needs its address space";
#endif
  const std::string text = "a: " + std::string(5 * kMiB / 2, 'x') + "\n";
  const MeasuredChild child = RunMeasured(
      [&] {
        const auto documents = ParseYaml(text);
        return !documents.ok() && documents.error().code == Code::kExhausted ? 0 : 1;
      },
      {.cpu_seconds = 10, .address_space_bytes = 2 * kMiB});
  EXPECT_TRUE(child.exited_well) << "signal " << child.signal;
}

TEST(HostileJsonTest, NoMemoryIsAnErrorNotAnAbort) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "the sanitizer needs its address space";
#endif
  const std::string text = "{\"a\": \"" + std::string(5 * kMiB / 2, 'x') + "\"}";
  const MeasuredChild child = RunMeasured(
      [&] {
        const auto json = ParseJson(text);
        return !json.ok() && json.error().code == Code::kExhausted ? 0 : 1;
      },
      {.cpu_seconds = 10, .address_space_bytes = 2 * kMiB});
  EXPECT_TRUE(child.exited_well) << "signal " << child.signal;
}

std::vector<Hostile> HostileJson() {
  const std::string long_key(kMiB, 'k');
  return {
      {"a literal without an end", "{\"a\": \"" + std::string(2 * kMiB, 'x'), true, 32},
      {"a number beyond a double", "{\"a\": " + std::string(2 * kMiB, '9') + "}", true, 32},
      {"a word that is none", "{\"a\": t" + std::string(2 * kMiB, 'x') + "}", true, 32},
      {"one key twice, below a long one",
       "{\"" + long_key + "\":{" + Repeat("\"a\":1,", 200'000) + "\"a\":1}}", false, 32},
      {"3 MB of open brackets", Repeat("[", 3'000'000), true, 8},
      {"3 MB of empty objects", "[" + Repeat("{},", 1'000'000) + "1]", false, 128},
      {"1 500 000 numbers", "[" + Repeat("1,", 1'500'000) + "1]", false, 64},
  };
}

TEST(HostileJsonTest, CostsLittleAndIsToldInALine) {
  for (const Hostile& hostile : HostileJson()) {
    const MeasuredChild child = RunMeasured(
        [&] {
          std::vector<std::string> duplicates;
          const auto json = ParseJson(hostile.text, {}, &duplicates);
          if (json.ok() == hostile.refused) return 1;
          if (!json.ok()) return json.error().message.size() <= 300 ? 0 : 2;
          for (const std::string& path : duplicates) {
            if (path.size() > 512) return 3;
          }
          return duplicates.size() <= 100 ? 0 : 4;
        },
        kLimits);
    EXPECT_TRUE(child.exited_well) << hostile.what << ": signal " << child.signal;
    EXPECT_LE(child.growth_bytes, GrowthMax(hostile.growth_max_mib))
        << hostile.what << ": " << child.growth_bytes / kMiB << " MiB";
  }
}

Json ConfigMapWith(const char* part, Json value) {
  Json object = {{"apiVersion", "v1"},
                 {"kind", "ConfigMap"},
                 {"metadata", {{"name", "one"}, {"namespace", "default"}}}};
  if (std::string_view(part) == "data") {
    object["data"] = std::move(value);
  } else {
    object["metadata"][part] = std::move(value);
  }
  return object;
}

// Keys and values of a megabyte, and many of them: what is said about an object is bounded, too.
TEST(HostileObjectTest, WhatIsSaidAboutItStaysShort) {
  const std::string long_text(kMiB, '/');
  Json many = Json::object();
  for (int i = 0; i < 50'000; ++i) many[fmt::format("//{}", i)] = "/";
  const auto registry = NewTypeRegistry();
  ASSERT_TRUE(registry.ok());
  const auto config_maps = (*registry)->Find("", "v1", "configmaps");
  ASSERT_TRUE(config_maps);
  std::vector<Json> objects;
  for (const char* part : {"labels", "annotations", "data"}) {
    objects.push_back(ConfigMapWith(part, {{long_text, long_text}}));
    objects.push_back(ConfigMapWith(part, many));
  }
  objects.push_back(ConfigMapWith("finalizers", Json::array({long_text, long_text})));
  objects.push_back(ConfigMapWith("name", long_text));
  objects.push_back(ConfigMapWith("namespace", long_text));
  objects.push_back(ConfigMapWith("generateName", long_text));
  for (const Json& object : objects) {
    std::vector<Cause> causes = ValidateObject(*config_maps, object, nullptr);
    ASSERT_FALSE(causes.empty());
    EXPECT_LE(causes.size(), 300U);
    const Error error = InvalidObject("ConfigMap", "one", std::move(causes));
    EXPECT_LE(error.causes.size(), 100U);
    for (const Cause& cause : error.causes) {
      EXPECT_LE(cause.field.size(), 1024U);
      EXPECT_LE(cause.message.size(), 4096U);
    }
    EXPECT_LE(error.message.size(), 300'000U);
  }
}

}  // namespace
}  // namespace forkplane::crd
