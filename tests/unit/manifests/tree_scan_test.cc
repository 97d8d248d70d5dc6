// Goal: a scan reads what is below the directory, nothing else, and says when it does not know all.
#include "controller/manifests/tree_scan.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "tests/support/tempdir.h"

namespace forkplane::manifests {
namespace {

namespace fs = std::filesystem;

class TreeScanTest : public ::testing::Test {
 protected:
  void SetUp() override { fs::create_directory(root_); }
  void Write(const fs::path& path, const std::string& text = "x") {
    fs::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text;
  }
  TreeScan Scan() { return ScanTree(root_.string(), nullptr); }
  static std::string Paths(const TreeScan& scan) {
    std::string paths;
    for (const ScannedFile& file : scan.files) paths += file.path + " ";
    return paths;
  }

  testing::TempDir directory_;
  fs::path root_ = directory_.path() / "root";
};

TEST_F(TreeScanTest, ReadsManifestFilesInOrderAndNothingHidden) {
  Write("b.yml", "bee");
  Write("sub/deep/c.json");
  Write("a.yaml");
  Write("README.md");
  Write(".git/d.yaml");
  Write(".e.yaml.swp");
  const TreeScan scan = Scan();
  EXPECT_EQ(Paths(scan), "a.yaml b.yml sub/deep/c.json ");
  EXPECT_EQ(scan.files[1].text, "bee");
  EXPECT_TRUE(scan.problems.empty());
}

TEST_F(TreeScanTest, LinksMayLeadAroundButNotOut) {
  Write("..2026/a.yaml", "swapped");
  fs::create_directory_symlink("..2026", root_ / "..data");
  fs::create_symlink("..data/a.yaml", root_ / "a.yaml");
  TreeScan scan = Scan();
  EXPECT_EQ(Paths(scan), "a.yaml ");
  EXPECT_TRUE(scan.problems.empty());
  std::ofstream(directory_.path() / "secret.yaml") << "secret";
  fs::create_symlink("../secret.yaml", root_ / "b.yaml");
  fs::create_symlink(directory_.path() / "secret.yaml", root_ / "c.yaml");
  fs::create_directory_symlink("..", root_ / "d");
  scan = Scan();
  EXPECT_EQ(Paths(scan), "a.yaml ");
  EXPECT_EQ(scan.problems.size(), 3U);
}

TEST_F(TreeScanTest, TheRootItselfMayBeALink) {
  Write("a.yaml");
  fs::create_directory_symlink(root_, directory_.path() / "current");
  EXPECT_EQ(Paths(ScanTree(directory_.File("current"), nullptr)), "a.yaml ");
}

TEST_F(TreeScanTest, LoopsOfLinksEnd) {
  Write("sub/a.yaml");
  fs::create_directory_symlink("..", root_ / "sub/up");
  fs::create_symlink("self.yaml", root_ / "self.yaml");
  const TreeScan scan = Scan();
  EXPECT_EQ(Paths(scan), "sub/a.yaml ");
  EXPECT_EQ(scan.problems.size(), 1U) << "self.yaml";
}

TEST_F(TreeScanTest, WhatCannotBeReadIsAProblem) {
  EXPECT_EQ(ScanTree(directory_.File("absent"), nullptr).problems.size(), 1U);
  Write("file");
  EXPECT_EQ(ScanTree((root_ / "file").string(), nullptr).problems.size(), 1U);
  fs::create_symlink("gone.yaml", root_ / "a.yaml");
  EXPECT_EQ(Scan().problems.size(), 1U);
}

TEST_F(TreeScanTest, ThingsThatAreNoFilesAreHarmless) {
  ASSERT_EQ(::mkfifo((root_ / "fifo.yaml").c_str(), 0600), 0);
  fs::create_directory(root_ / "directory.yaml");
  fs::create_symlink("nowhere", root_ / "broken-link");
  const TreeScan scan = Scan();
  EXPECT_TRUE(scan.files.empty());
  EXPECT_TRUE(scan.problems.empty());
}

TEST_F(TreeScanTest, SizesAndDepthsAreBounded) {
  Write("big.yaml", std::string(kFileBytesMax + 1, 'b'));
  Write("small.yaml");
  TreeScan scan = Scan();
  EXPECT_EQ(Paths(scan), "small.yaml ");
  EXPECT_EQ(scan.problems.size(), 1U);
  fs::path deep;
  for (int i = 0; i <= kTreeDepthMax; ++i) deep /= "d";
  Write(deep / "a.yaml");
  EXPECT_EQ(Scan().problems.size(), 2U);
}

TEST_F(TreeScanTest, TheWatchSeesEveryKindOfChange) {
  Write("sub/a.yaml");
  const auto changes_after = [&](const auto& change) {
    TreeWatch watch = TreeWatch::Make().value();
    ScanTree(root_.string(), &watch);
    EXPECT_FALSE(watch.Drain()) << "a scan itself is no change";
    change();
    return watch.Drain();
  };
  EXPECT_TRUE(changes_after([&] { Write("sub/a.yaml", "new"); }));
  EXPECT_TRUE(changes_after([&] { Write("b.yaml"); }));
  EXPECT_TRUE(changes_after([&] { fs::rename(root_ / "b.yaml", root_ / "sub/b.yaml"); }));
  EXPECT_TRUE(changes_after([&] { fs::remove(root_ / "sub/b.yaml"); }));
  EXPECT_TRUE(changes_after([&] { fs::create_directory(root_ / "new"); }));
  EXPECT_TRUE(changes_after([&] { Write("new/c.yaml"); }));
  EXPECT_TRUE(changes_after([&] { fs::rename(root_, directory_.path() / "away"); }));
  EXPECT_TRUE(changes_after([&] { fs::create_directory(root_); })) << "it did not exist";
  EXPECT_FALSE(changes_after([&] { std::ofstream(directory_.path() / "neighbour") << "x"; }));
}

}  // namespace
}  // namespace forkplane::manifests
