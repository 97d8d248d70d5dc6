// Goal: Run notices each way in which a directory changes, by inotify alone (the resync period is
// ten minutes here), and stops at once.
#include <chrono>
#include <future>
#include <thread>

#include "tests/unit/manifests/fixture.h"

namespace forkplane::manifests {
namespace {

namespace fs = std::filesystem;

class FollowTest : public ManifestsTest {
 protected:
  void Follow() {
    DirectorySourceOptions options = Options();
    options.settle = {};
    NewSource(options, RealClock());
    runner_ = std::jthread([this](const std::stop_token& stop) { source_->Run(stop); });
  }
  template <typename Predicate>
  static bool Eventually(Predicate predicate) {
    for (int i = 0; i < 1000; ++i) {
      if (predicate()) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
  }
  bool Says(const std::string& name, const std::string& value) {
    return Text(name).find(R"("key":")" + value + '"') != std::string::npos;
  }
  void TearDown() override {
    runner_ = {};
    source_.reset();
  }

  std::jthread runner_;
};

TEST_F(FollowTest, FilesThatComeChangeAndGo) {
  Follow();
  Write("a.yaml", ConfigMap("a", "1"));
  EXPECT_TRUE(Eventually([&] { return Says("a", "1"); }));
  Write("a.yaml", ConfigMap("a", "2"));
  EXPECT_TRUE(Eventually([&] { return Says("a", "2"); }));
  Write("new/deep/b.yaml", ConfigMap("b", "1"));
  EXPECT_TRUE(Eventually([&] { return Has("b"); }));
  Write("new/deep/b.yaml", ConfigMap("b", "2"));
  EXPECT_TRUE(Eventually([&] { return Says("b", "2"); }));
  Remove("new");
  EXPECT_TRUE(Eventually([&] { return !Has("b"); }));
  EXPECT_TRUE(Has("a"));
}

// git-sync: the whole worktree is swapped by renaming a link over the old one.
TEST_F(FollowTest, AWorktreeSwappedByALink) {
  fs::remove(root_);
  const fs::path repository = directory_.path();
  for (const char* commit : {"one", "two"}) {
    fs::create_directories(repository / "worktrees" / commit / "manifests");
    std::ofstream(repository / "worktrees" / commit / "manifests/a.yaml") << ConfigMap("a", commit);
    std::ofstream(repository / "worktrees" / commit / "manifests" / (std::string(commit) + ".yaml"))
        << ConfigMap(commit, "1");
  }
  fs::create_directory_symlink("worktrees/one", repository / "current");
  root_ = (repository / "current/manifests").string();
  Follow();
  EXPECT_TRUE(Eventually([&] { return Says("a", "one") && Has("one"); }));
  fs::create_directory_symlink("worktrees/two", repository / "next");
  fs::rename(repository / "next", repository / "current");
  EXPECT_TRUE(Eventually([&] { return Says("a", "two") && Has("two") && !Has("one"); }));
}

// A Kubernetes volume: files are links through "..data", which is swapped.
TEST_F(FollowTest, AVolumeSwappedThroughItsDataLink) {
  const fs::path root = root_;
  Write("..1/a.yaml", ConfigMap("a", "1"));
  Write("..2/a.yaml", ConfigMap("a", "2"));
  fs::create_directory_symlink("..1", root / "..data");
  fs::create_symlink("..data/a.yaml", root / "a.yaml");
  Follow();
  EXPECT_TRUE(Eventually([&] { return Says("a", "1"); }));
  fs::create_directory_symlink("..2", root / "..data_tmp");
  fs::rename(root / "..data_tmp", root / "..data");
  EXPECT_TRUE(Eventually([&] { return Says("a", "2"); }));
}

TEST_F(FollowTest, ADirectoryThatComesLater) {
  fs::remove(root_);
  Follow();
  EXPECT_TRUE(Eventually([&] {
    return registry_.Serialize().find("forkplane_manifests_errors 1") != std::string::npos;
  }));
  Write("a.yaml", ConfigMap("a", "1"));
  EXPECT_TRUE(Eventually([&] { return Has("a"); }));
}

// Nothing but the word of an operator changes, and the resync is ten minutes away.
TEST_F(FollowTest, AWake) {
  std::promise<std::string> told;
  DirectorySourceOptions options = Options();
  options.settle = {};
  options.on_held = [&told](const std::optional<Hold>& hold) {
    if (hold) told.set_value(hold->message);
  };
  Write("a.yaml", ConfigMap("a", "1"));
  NewSource(options, RealClock());
  runner_ = std::jthread([this](const std::stop_token& stop) { source_->Run(stop); });
  EXPECT_TRUE(Eventually([&] { return Has("a"); }));
  Remove("a.yaml");
  const std::string message = told.get_future().get();
  const auto word = message.find("prune=") + 6;
  Annotate(kPruneAnnotation, message.substr(word, message.find(';', word) - word));
  EXPECT_TRUE(Has("a"));
  source_->Wake();
  EXPECT_TRUE(Eventually([&] { return !Has("a"); }));
}

// When the last change was seen before the tree had settled, a pass comes by itself when it has.
TEST_F(FollowTest, ATreeThatSettles) {
  Write("a.yaml", ConfigMap("a", "1"));
  Write("b.yaml", ConfigMap("b", "1"));
  DirectorySourceOptions options = Options();
  options.settle = std::chrono::milliseconds(700);
  NewSource(options, RealClock());
  runner_ = std::jthread([this](const std::stop_token& stop) { source_->Run(stop); });
  EXPECT_TRUE(Eventually([&] { return Has("a") && Has("b"); }));
  Remove("b.yaml");
  EXPECT_TRUE(Eventually([&] { return !Has("b"); }));
}

TEST_F(FollowTest, StopsAtOnce) {
  Follow();
  Write("a.yaml", ConfigMap("a", "1"));
  EXPECT_TRUE(Eventually([&] { return Has("a"); }));
  const auto begin = std::chrono::steady_clock::now();
  runner_ = {};
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(2));
}

}  // namespace
}  // namespace forkplane::manifests
