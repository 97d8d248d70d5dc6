// Goal: whatever is done to a tree, only what was certainly meant to go is pruned, and what is held
// is told with its reason. Method: a real directory with seven objects, one change to it, then a
// pass that sees it and one when it has settled; the store says what lives.
#include <fcntl.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <unistd.h>

#include <set>

#include "tests/unit/manifests/fixture.h"

namespace forkplane::manifests {
namespace {

namespace fs = std::filesystem;

class Tree;

// One way to change a tree. What is not in `lost` must live.
struct Way {
  const char* name;
  std::function<void(Tree&)> change;
  std::set<std::string> lost = {};
  const char* held = "";  // the reason that the Host's condition gives; "": none
};

void PrintTo(const Way& way, std::ostream* out) { *out << way.name; }

class Tree : public ManifestsTest, public ::testing::WithParamInterface<Way> {
 public:
  static constexpr const char* kNames[] = {"a1", "a2", "b", "c", "d", "one", "old"};

  void SetUp() override {
    ManifestsTest::SetUp();
    // As git-sync lays it out: the root is a link to one commit's tree.
    fs::permissions(directory_.path(), fs::perms(0755));
    fs::remove(root_);
    fs::create_directories(directory_.path() / "trees/first");
    fs::create_directory_symlink("trees/first", root_);
    Fill(root_);
    ASSERT_EQ(Settled().created, 7);
    ASSERT_EQ(HeldReason(), "");
  }
  void TearDown() override { ::setfsuid(0); }

  static void Put(const fs::path& path, const std::string& text) {
    fs::create_directories(path.parent_path());
    std::ofstream(path) << text;
  }
  static void Fill(const fs::path& root) {
    Put(root / "a.yaml", ConfigMap("a1", "1") + "---\n" + ConfigMap("a2", "1"));
    Put(root / "b.yaml", ConfigMap("b", "1"));
    Put(root / "sub/c.yaml", ConfigMap("c", "1"));
    Put(root / "sub/d.json",
        R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"d"},"data":{"key":"1"}})");
    Put(root / "one.yaml", Vm("one"));
    Put(root / "old.yaml", Vm("old"));
  }
  // Another commit of the repository, put in place as git-sync does.
  void Swap(const std::string& commit, const std::function<void(const fs::path&)>& edit) {
    const fs::path tree = directory_.path() / "trees" / commit;
    fs::create_directories(tree);
    edit(tree);
    fs::create_directory_symlink("trees/" + commit, directory_.path() / "next");
    fs::rename(directory_.path() / "next", root_);
  }
  void Git(const std::string& mark) { Put(fs::path(root_) / ".git" / mark, "x"); }
  void Edit(const std::string& name, const std::string& from, const std::string& to) {
    std::ifstream file(fs::path(root_) / name);
    std::string text{std::istreambuf_iterator<char>(file), {}};
    const auto at = text.find(from);
    ASSERT_NE(at, std::string::npos) << name << ": " << from;
    Write(name, text.replace(at, from.size(), to));
  }
  fs::path Path(const std::string& name) const { return fs::path(root_) / name; }
  fs::path Beside(const std::string& name) const { return directory_.path() / name; }
  void Restart(const std::string& path) {
    root_ = path;
    NewSource();
  }
  using ManifestsTest::Remove;
  using ManifestsTest::Write;

  std::set<std::string> Lost() {
    std::set<std::string> lost;
    for (const std::string name : kNames) {
      const bool is_vm = name == "one" || name == "old";
      if (!Has(is_vm ? VmKey(name) : KeyOf(name))) lost.insert(name);
    }
    return lost;
  }
};

TEST_P(Tree, OnlyWhatWasMeantGoes) {
  GetParam().change(*this);
  Pass();
  EXPECT_EQ(Lost(), std::set<std::string>{}) << "nothing goes before the tree has settled";
  clock_.Advance(kSettle);
  Pass();
  EXPECT_EQ(Lost(), GetParam().lost);
  // What passes by itself is told only when it lasts.
  clock_.Advance(std::chrono::minutes(2));
  Pass();
  EXPECT_EQ(Lost(), GetParam().lost);
  EXPECT_EQ(HeldReason(), GetParam().held) << (held_ ? held_->message : "");
}

constexpr const char* kKustomization =
    "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [a.yaml]\n";
constexpr const char* kCompose = "services:\n  web: {image: nginx}\n";

const Way kMeant[] = {
    {"FileRemoved", [](Tree& t) { t.Remove("b.yaml"); }, {"b"}},
    {"DocumentTakenOut", [](Tree& t) { t.Write("a.yaml", ConfigMap("a1", "1")); }, {"a2"}},
    {"FolderRemoved", [](Tree& t) { t.Remove("sub"); }, {"c", "d"}},
    {"CommentedOut", [](Tree& t) { t.Write("b.yaml", "# " + std::string("not now\n")); }, {"b"}},
    {"RenamedToBackup", [](Tree& t) { fs::rename(t.Path("b.yaml"), t.Path("b.yaml.bak")); }, {"b"}},
    {"RenamedToHidden", [](Tree& t) { fs::rename(t.Path("b.yaml"), t.Path(".b.yaml")); }, {"b"}},
    {"RenamedObject", [](Tree& t) { t.Edit("b.yaml", "name: b", "name: b-new"); }, {"b"}},
    {"ValuesBesideIt",
     [](Tree& t) {
       t.Write("values.yaml", "replicas: 3\nimage: {tag: x}\n");
       t.Remove("b.yaml");
     },
     {"b"}},
    {"KustomizationBesideIt",
     [](Tree& t) {
       t.Write("kustomization.yaml", kKustomization);
       t.Write("sub/kustomization.yml", "resources: [c.yaml]\n");
       t.Remove("b.yaml");
     },
     {"b"}},
    {"ComposeAndChartBesideIt",
     [](Tree& t) {
       t.Write("docker-compose.yml", kCompose);
       t.Write("Chart.yaml", "apiVersion: v2\nname: chart\nversion: 1.0.0\n");
       t.Write("package.json", R"({"name":"x","version":"1"})");
       t.Write("playbook.yml", "- hosts: all\n");
       t.Remove("b.yaml");
     },
     {"b"}},
    {"GitSyncToACommitWithoutIt",
     [](Tree& t) {
       t.Swap("second", [](const fs::path& tree) {
         Tree::Fill(tree);
         fs::remove(tree / "b.yaml");
       });
     },
     {"b"}},
    {"VolumeSwapped",
     [](Tree& t) {
       Tree::Put(t.Path("..1/e.yaml"), ConfigMap("a1", "1"));
       t.Write("a.yaml", ConfigMap("a2", "1"));
       fs::create_directory_symlink("..1", t.Path("..data"));
       fs::create_symlink("..data/e.yaml", t.Path("e.yaml"));
       t.Remove("b.yaml");
     },
     {"b"}},
    {"ResetToAnOlderCommit",
     [](Tree& t) {
       t.Git("HEAD");
       t.Git("ORIG_HEAD");
       t.Remove("b.yaml");
       t.Edit("a.yaml", "key: \"1\"", "key: \"0\"");
     },
     {"b"}},
};

const Way kHarmless[] = {
    {"FileRenamed", [](Tree& t) { fs::rename(t.Path("b.yaml"), t.Path("sub/e.yaml")); }},
    {"SavedByAnEditor",
     [](Tree& t) {
       t.Write("b.yaml~", ConfigMap("b", "2"));
       fs::rename(t.Path("b.yaml~"), t.Path("b.yaml"));
     }},
    {"LinesEndAsOnWindows",
     [](Tree& t) { t.Edit("b.yaml", "kind: ConfigMap\n", "kind: ConfigMap\r\n"); }},
    {"RootReplacedByAnEqualOne",
     [](Tree& t) {
       fs::remove_all(t.Beside("trees/first"));
       Tree::Fill(t.Beside("trees/first"));
     }},
    {"CheckedOutAgain",
     [](Tree& t) {
       for (const auto& entry : fs::directory_iterator(t.Path("."))) fs::remove_all(entry.path());
       Tree::Fill(t.Path("."));
     }},
    {"RestartedWithAnotherPathToTheSame",
     [](Tree& t) { t.Restart(t.Beside("trees/first").string()); }},
};

const Way kNotUnderstood[] = {
    {"VersionMistyped",
     [](Tree& t) { t.Edit("one.yaml", "v1alpha1", "v1alpha2"); },
     {},
     reason::kDocumentRefused},
    {"KindMistyped",
     [](Tree& t) { t.Edit("one.yaml", "VirtualMachine", "VirtualMachin"); },
     {},
     reason::kDocumentRefused},
    {"RenamedWithAMistake",
     [](Tree& t) {
       t.Write("old.yaml",
               "apiVersion: forkplane.dev/v1alpha1\nkind: VirtualMachine\n"
               "metadata: {name: new}\nspec: {cpus: many}\n");
     },
     {},
     reason::kDocumentRefused},
    {"NameLost",
     [](Tree& t) { t.Edit("one.yaml", "name: one", "nam: one"); },
     {},
     reason::kDocumentRefused},
    {"KindLost",
     [](Tree& t) { t.Edit("one.yaml", "kind: VirtualMachine\n", ""); },
     {},
     reason::kDocumentRefused},
    {"BrokenBesideARemoval",
     [](Tree& t) {
       t.Write("a.yaml", "a: [broken");
       t.Remove("b.yaml");
     },
     {},
     reason::kDocumentRefused},
    {"ConflictMarkersLeft",
     [](Tree& t) { t.Edit("b.yaml", "data:\n", "<<<<<<< HEAD\ndata:\n=======\n>>>>>>> theirs\n"); },
     {},
     reason::kDocumentRefused},
    {"GivenTwice",
     [](Tree& t) {
       t.Write("e.yaml", ConfigMap("a1", "1"));
       t.Remove("b.yaml");
     },
     {},
     reason::kDocumentRefused},
    {"KindOfNobodyHere",
     [](Tree& t) {
       t.Write("e.yaml", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\n");
       t.Remove("b.yaml");
     },
     {},
     reason::kDocumentRefused},
    {"NamespaceUnquoted",
     [](Tree& t) { t.Edit("b.yaml", "name: b", "name: b\n  namespace: n"); },
     {},
     reason::kDocumentRefused},
    {"Binary",
     [](Tree& t) { t.Write("b.yaml", std::string("\0\1\2\xff\xfe", 5)); },
     {},
     reason::kDocumentRefused},
    {"TooLarge",
     [](Tree& t) { t.Write("b.yaml", "#" + std::string(kFileBytesMax, '#')); },
     {},
     reason::kDocumentRefused},
    {"BrokenLink",
     [](Tree& t) {
       t.Remove("b.yaml");
       fs::create_symlink("gone.yaml", t.Path("b.yaml"));
     },
     {},
     reason::kDocumentRefused},
    {"LinkOutOfTheTree",
     [](Tree& t) {
       fs::rename(t.Path("b.yaml"), t.Beside("b.yaml"));
       fs::create_symlink("../../b.yaml", t.Path("b.yaml"));
     },
     {},
     reason::kDocumentRefused},
    {"RootGone", [](Tree& t) { fs::remove_all(t.Beside("trees")); }, {}, reason::kDocumentRefused},
    {"PermissionOfAFolderLost",
     [](Tree& t) {
       fs::permissions(t.Path("sub"), fs::perms::none);
       ::setfsuid(65534);
     },
     {},
     reason::kDocumentRefused},
    {"PermissionOfAFileLost",
     [](Tree& t) {
       fs::permissions(t.Path("b.yaml"), fs::perms::none);
       ::setfsuid(65534);
     },
     {},
     reason::kDocumentRefused},
    {"DiskFullInTheMiddleOfADocument",
     [](Tree& t) { t.Write("one.yaml", Vm("one").substr(0, 60)); },
     {},
     reason::kDocumentRefused},
};

const Way kNotCertain[] = {
    {"DiskFullAtOnce", [](Tree& t) { t.Write("b.yaml", ""); }, {}, reason::kFileWithoutObjects},
    {"DiskFullBehindADocument",
     [](Tree& t) { t.Write("a.yaml", ConfigMap("a1", "1") + "---"); },
     {},
     reason::kFileCut},
    {"ListThatBecameEmpty",
     [](Tree& t) { t.Write("b.yaml", "apiVersion: v1\nkind: List\nitems: []\n"); },
     {},
     reason::kFileWithoutObjects},
    {"SomethingElseInItsFile",
     [](Tree& t) { t.Write("b.yaml", kCompose); },
     {},
     reason::kFileWithoutObjects},
    {"AllRemoved",
     [](Tree& t) {
       for (const auto& entry : fs::directory_iterator(t.Path("."))) fs::remove_all(entry.path());
     },
     {},
     reason::kDirectoryEmptied},
    {"MoreThanHalfRemoved",
     [](Tree& t) {
       for (const char* name : {"a.yaml", "b.yaml", "one.yaml"}) t.Remove(name);
     },
     {},
     reason::kTooManyToPrune},
    {"RootMadeAnewAndHalfFilled",
     [](Tree& t) {
       fs::remove_all(t.Beside("trees/first"));
       Tree::Fill(t.Beside("trees/first"));
       t.Remove("b.yaml");
     },
     {},
     reason::kRootReplaced},
    {"RootMovedAway",
     [](Tree& t) {
       fs::rename(t.Beside("trees/first"), t.Beside("trees/away"));
       Tree::Put(t.Beside("trees/first/e.yaml"), ConfigMap("a1", "1"));
     },
     {},
     reason::kRootReplaced},
    {"GitSyncToAnEmptyTree",
     [](Tree& t) { t.Swap("second", [](const fs::path&) {}); },
     {},
     reason::kDirectoryEmptied},
    {"RestartedWithAnotherDirectory",
     [](Tree& t) {
       const fs::path other = t.Beside("other");
       Tree::Put(other / "a.yaml", ConfigMap("a1", "1"));
       t.Restart(other.string());
     },
     {},
     reason::kOtherDirectory},
};

void TakeOutAndMark(Tree& t, const char* mark) {
  t.Git(mark);
  t.Remove("b.yaml");
}

const Way kGit[] = {
    {"GitCheckout", [](Tree& t) { TakeOutAndMark(t, "index.lock"); }, {}, reason::kGitOperation},
    {"GitRebase", [](Tree& t) { TakeOutAndMark(t, "rebase-merge/x"); }, {}, reason::kGitOperation},
    {"GitAm", [](Tree& t) { TakeOutAndMark(t, "rebase-apply/x"); }, {}, reason::kGitOperation},
    {"GitMerge", [](Tree& t) { TakeOutAndMark(t, "MERGE_HEAD"); }, {}, reason::kGitOperation},
    {"GitBisect", [](Tree& t) { TakeOutAndMark(t, "BISECT_LOG"); }, {}, reason::kGitOperation},
    {"GitRevert", [](Tree& t) { TakeOutAndMark(t, "REVERT_HEAD"); }, {}, reason::kGitOperation},
    {"GitRebaseOfAWorktree",
     [](Tree& t) {
       Tree::Put(t.Beside("repository/worktrees/first/rebase-merge/onto"), "x");
       t.Write(".git", "gitdir: ../../repository/worktrees/first\n");
       t.Remove("b.yaml");
     },
     {},
     reason::kGitOperation},
    {"GitAboveTheDirectory",
     [](Tree& t) {
       Tree::Put(t.Beside(".git/index.lock"), "x");
       t.Remove("b.yaml");
     },
     {},
     reason::kGitOperation},
};

std::string NameOf(const ::testing::TestParamInfo<Way>& way) { return way.param.name; }
INSTANTIATE_TEST_SUITE_P(Meant, Tree, ::testing::ValuesIn(kMeant), NameOf);
INSTANTIATE_TEST_SUITE_P(Harmless, Tree, ::testing::ValuesIn(kHarmless), NameOf);
INSTANTIATE_TEST_SUITE_P(NotUnderstood, Tree, ::testing::ValuesIn(kNotUnderstood), NameOf);
INSTANTIATE_TEST_SUITE_P(NotCertain, Tree, ::testing::ValuesIn(kNotCertain), NameOf);
INSTANTIATE_TEST_SUITE_P(Git, Tree, ::testing::ValuesIn(kGit), NameOf);

}  // namespace
}  // namespace forkplane::manifests
