#include "controller/app/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <CLI/CLI.hpp>
#include <fstream>

#include "controller/app/host_drivers.h"
#include "drivers/fake/drivers.h"
#include "tests/support/tempdir.h"

namespace forkplane::app {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// What `forkplane x ARGS` makes of its options; nullopt when the command line is refused.
std::optional<Options> Parse(const std::string& arguments, std::string* error = nullptr) {
  CLI::App app;
  Options options;
  AddFlags(app, options);
  app.parse(arguments);
  if (const Status applied = ApplyConfigFile(app, options); !applied.ok()) {
    if (error != nullptr) *error = applied.error().message;
    return std::nullopt;
  }
  return options;
}

TEST(OptionsTest, NestedKeysOfTheFileAreFlags) {
  const auto values = ParseConfig("log: {level: debug}\nimage-roots: [/a, /b]\nmanifests:\n");
  ASSERT_TRUE(values.ok());
  EXPECT_THAT(values->at("log-level"), ElementsAre("debug"));
  EXPECT_THAT(values->at("image-roots"), ElementsAre("/a", "/b"));
  EXPECT_FALSE(values->contains("manifests"));
}

TEST(OptionsTest, ABadFileNamesItsLine) {
  EXPECT_THAT(ParseConfig("a: 1\nb: [").error().message, HasSubstr("line 2"));
  EXPECT_THAT(ParseConfig("log: {level: a}\nlog-level: b").error().message, HasSubstr("set twice"));
  EXPECT_THAT(ParseConfig("- a").error().message, HasSubstr("a map"));
}

TEST(OptionsTest, AFlagOutweighsTheFileAndTheFileTheDefault) {
  const forkplane::testing::TempDir dir;
  std::ofstream(dir.File("c.yaml")) << "listen: 127.0.0.1:1\nlog: {format: json, level: debug}\n";
  const auto options = Parse("--config " + dir.File("c.yaml") + " --listen 127.0.0.1:2");
  ASSERT_TRUE(options.has_value());
  EXPECT_EQ(options->listen, "127.0.0.1:2");
  EXPECT_EQ(options->log_format, "json");
  EXPECT_EQ(options->leaf, "auto");
}

TEST(OptionsTest, AnUnknownKeyIsRefusedByName) {
  const forkplane::testing::TempDir dir;
  std::ofstream(dir.File("c.yaml")) << "listne: x\n";
  std::string error;
  EXPECT_FALSE(Parse("--config " + dir.File("c.yaml"), &error).has_value());
  EXPECT_THAT(error, HasSubstr("listne"));
}

TEST(OptionsTest, WhatIsPrintedCanBeReadAgain) {
  Options options;
  options.log_level = "warn";
  options.interface_metrics = 7;
  ASSERT_TRUE(Complete(options).ok());
  const auto values = ParseConfig(ToYaml(options));
  ASSERT_TRUE(values.ok());
  EXPECT_THAT(values->at("log-level"), ElementsAre("warn"));
  EXPECT_THAT(values->at("interface-metrics"), ElementsAre("7"));
  EXPECT_THAT(values->at("hypervisors-qemu-binary"), ElementsAre("/usr/bin/qemu-system-x86_64"));
  EXPECT_THAT(values->at("image-roots"), ElementsAre("/var/lib/forkplane/images"));
}

TEST(OptionsTest, ABadValueNamesItsFlag) {
  Options options;
  options.redirect = "magic";
  EXPECT_THAT(Complete(options).error().message, HasSubstr("--redirect \"magic\""));
}

TEST(OptionsTest, TheLeafIsTheBestThisKernelHasOrTheOneNamed) {
  fake::FakeKernel kernel;
  fake::FakeQdiscDriver qdiscs(kernel);
  const auto set = [&](bool has) {
    kernel.Change([has](fake::State& state) { return state.has_fq_codel = has; });
  };
  set(true);
  EXPECT_EQ(*drivers::ChooseLeaf("auto", qdiscs), drivers::LeafKind::kFqCodel);
  EXPECT_EQ(*drivers::ChooseLeaf("fq_codel", qdiscs), drivers::LeafKind::kFqCodel);
  EXPECT_EQ(*drivers::ChooseLeaf("bfifo", qdiscs), drivers::LeafKind::kBfifo);
  set(false);
  EXPECT_EQ(*drivers::ChooseLeaf("auto", qdiscs), drivers::LeafKind::kBfifo);
  EXPECT_EQ(*drivers::ChooseLeaf("bfifo", qdiscs), drivers::LeafKind::kBfifo);
  EXPECT_EQ(drivers::ChooseLeaf("fq_codel", qdiscs).error().code, Code::kInvalid);
}

TEST(OptionsTest, TheRedirectIsTheBestThisKernelHasOrTheOneNamed) {
  using drivers::RedirectMode;
  const auto choose = [](std::string_view wanted, bool bpf, bool mirred) {
    return drivers::ChooseRedirect(wanted, [bpf, mirred](RedirectMode mode) -> Result<bool> {
      return mode == RedirectMode::kBpf ? bpf : mirred;
    });
  };
  EXPECT_EQ(*choose("auto", true, true), RedirectMode::kBpf);
  EXPECT_EQ(*choose("auto", false, true), RedirectMode::kMirred);
  EXPECT_EQ(*choose("bpf", true, false), RedirectMode::kBpf);
  EXPECT_EQ(*choose("mirred", true, true), RedirectMode::kMirred);
  for (const char* forced : {"bpf", "mirred", "auto"}) {
    const bool bpf = forced == std::string("mirred");
    const auto refused = choose(forced, bpf, forced == std::string("bpf"));
    EXPECT_EQ(refused.error().code, Code::kInvalid) << forced;
    EXPECT_THAT(refused.error().message, HasSubstr(std::string("--redirect ") + forced));
  }
  const auto broken = drivers::ChooseRedirect(
      "auto", [](RedirectMode) -> Result<bool> { return Unavailable("no namespace"); });
  EXPECT_EQ(broken.error().code, Code::kUnavailable);
}

TEST(OptionsTest, AUidRangeHasAHolderAndRoomForVms) {
  const auto range = ParseUidRange("1000-1010");
  ASSERT_TRUE(range.ok());
  EXPECT_EQ(range->helper, 1000U);
  EXPECT_EQ(range->last, 1010U);
  for (const char* bad :
       {"", "5", "0-9", "9-9", "9-8", "1-4294967295", "1-", "-2", "1-2x", "a-b", "1-99999999999"}) {
    EXPECT_EQ(ParseUidRange(bad).error().code, Code::kInvalid) << bad;
  }
}

TEST(OptionsTest, TheDirectoryIsSpelledInOneWay) {
  for (const char* spelled : {"/srv/m", "/srv/m/", "/srv/./x/../m", "/srv/m/."}) {
    auto options = Parse(std::string("--manifests ") + spelled);
    ASSERT_TRUE(Complete(*options).ok());
    EXPECT_EQ(options->manifests, "/srv/m") << spelled;
  }
}

TEST(OptionsTest, TheBoundsOfPruningAreChecked) {
  const auto refusal = [](const std::string& flag) {
    auto options = Parse(flag);
    const Status complete = Complete(*options);
    return complete.ok() ? "" : complete.error().message;
  };
  EXPECT_EQ(refusal("--manifests-prune-max 0 --manifests-settle 1m30s"), "");
  EXPECT_EQ(refusal("--manifests-prune-max half"), "");
  EXPECT_THAT(refusal("--manifests-prune-max 50%"), HasSubstr("--manifests-prune-max \"50%\""));
  EXPECT_THAT(refusal("--manifests-prune-max -1"), HasSubstr("a number of objects"));
  EXPECT_THAT(refusal("--manifests-settle soon"), HasSubstr("--manifests-settle"));
}

}  // namespace
}  // namespace forkplane::app
