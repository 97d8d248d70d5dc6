// Goal: the direction of includes in ARCHITECTURE.md holds. Method: every #include "room/..." line
// of the tree is looked up in the table below; system headers that must stay inside .cc files are
// looked for in headers.
#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>
#include <string_view>

#include "tests/tidy/rules/tree.h"

namespace forkplane::tidy {
namespace {

// The room of a path: "controller/base", "drivers/netlink", "drivers" (its interfaces),
// "reconcilers/tap", "crd".
std::string RoomOf(std::string_view path) {
  const auto first = path.find('/');
  std::string top(path.substr(0, first));
  if (top == "crd" || top == "tests") return top;
  const auto second = path.find('/', first + 1);
  if (second == std::string_view::npos) return top;
  std::string room(path.substr(0, second));
  // The API server is a house of rooms; what stands in it directly puts them together.
  if (room != "controller/apiserver") return room;
  const auto third = path.find('/', second + 1);
  return std::string(path.substr(0, third == std::string_view::npos ? second : third));
}

const std::set<std::string>* AllowedOf(const std::string& room) {
  static const std::map<std::string, std::set<std::string>> table = {
      {"controller/base", {}},
      {"crd", {"controller/base"}},
      {"controller/store", {"controller/base", "crd"}},
      {"controller/runtime", {"controller/base", "crd", "controller/store"}},
      {"controller/ledger", {"controller/base"}},
      {"controller/apiserver/http", {"controller/base"}},
      {"controller/apiserver/patch", {"controller/base", "crd"}},
      {"controller/apiserver/proto", {"controller/base", "crd"}},
      {"controller/apiserver/rest",
       {"controller/base", "crd", "controller/store", "controller/apiserver/http",
        "controller/apiserver/patch", "controller/apiserver/proto"}},
      {"controller/apiserver/auth",
       {"controller/base", "crd", "controller/apiserver/http", "controller/apiserver/rest"}},
      {"controller/apiserver/discovery",
       {"controller/base", "crd", "controller/apiserver/http", "controller/apiserver/rest"}},
      {"controller/apiserver/loops", {"controller/base", "crd", "controller/store"}},
      {"controller/apiserver",
       {"controller/base", "crd", "controller/store", "controller/apiserver/http",
        "controller/apiserver/rest", "controller/apiserver/auth", "controller/apiserver/discovery",
        "controller/apiserver/loops"}},
      {"controller/manifests", {"controller/base", "crd", "controller/store"}},
      {"drivers", {"controller/base"}},
      // Spawning and durable files are what these three are built from.
      {"drivers/storage", {"controller/base", "drivers", "drivers/process"}},
      {"drivers/guest", {"controller/base", "drivers", "drivers/process"}},
      {"drivers/vmm", {"controller/base", "drivers", "drivers/process", "drivers/storage"}},
      // Filters are rtnetlink messages.
      {"drivers/bpf", {"controller/base", "drivers", "drivers/netlink"}},
  };
  static const std::set<std::string> driver = {"controller/base", "drivers", "drivers/vmm"};
  static const std::set<std::string> reconciler = {"controller/base",   "crd",
                                                   "controller/store",  "controller/runtime",
                                                   "controller/ledger", "drivers"};
  if (const auto found = table.find(room); found != table.end()) return &found->second;
  if (room.starts_with("drivers/")) return &driver;
  if (room.starts_with("reconcilers/")) return &reconciler;
  return nullptr;  // controller/app and tests see everything
}

std::string_view IncludedPath(std::string_view line) {
  constexpr std::string_view kInclude = "#include \"";
  if (!line.starts_with(kInclude)) return {};
  line.remove_prefix(kInclude.size());
  return line.substr(0, line.find('"'));
}

// hypervisor.h is the one interface that lives below drivers/vmm, beside its implementations.
bool IsInterface(std::string_view path) {
  return path == "drivers/vmm/hypervisor.h" || RoomOf(path) == "drivers";
}

TEST(IncludeDirectionTest, EveryRoomIncludesOnlyWhatItMay) {
  for (const File& file : Sources()) {
    const std::string room = RoomOf(file.path);
    const std::set<std::string>* allowed = AllowedOf(room);
    if (allowed == nullptr) continue;
    for (std::size_t i = 0; i < file.lines.size(); ++i) {
      const std::string_view path = IncludedPath(file.lines[i]);
      if (path.empty()) continue;
      const std::string target = IsInterface(path) ? "drivers" : RoomOf(path);
      EXPECT_TRUE(target == room || allowed->contains(target))
          << At(file, i) << ": " << room << " may not include " << path;
    }
  }
}

TEST(IncludeDirectionTest, HypervisorsAreNamedOnlyWhereTheyAreChosen) {
  for (const File& file : Sources()) {
    const std::string room = RoomOf(file.path);
    if (room == "drivers/vmm" || room == "controller/app" || room == "tests") continue;
    for (std::size_t i = 0; i < file.lines.size(); ++i) {
      const std::string code = CodeOf(file.lines[i]);
      for (const char* word : {"firecracker", "Firecracker", "qemu", "Qemu", "QEMU"}) {
        EXPECT_EQ(code.find(word), std::string::npos)
            << At(file, i) << ": capabilities decide, not the name \"" << word << "\"";
      }
    }
  }
}

TEST(IncludeDirectionTest, HeavyHeadersStayOutOfOurHeaders) {
  for (const File& file : Sources()) {
    if (!file.path.ends_with(".h") || file.path.starts_with("tests/")) continue;
    for (std::size_t i = 0; i < file.lines.size(); ++i) {
      for (const char* heavy : {"<nlohmann/json.hpp>", "<httplib.h>", "<yaml-cpp/", "<netlink/",
                                "<spdlog/", "<sqlite3.h>", "<prometheus/", "<openssl/"}) {
        EXPECT_FALSE(file.lines[i].starts_with("#include") &&
                     file.lines[i].find(heavy) != std::string::npos)
            << At(file, i) << ": " << heavy << " belongs into a .cc file";
      }
    }
  }
}

}  // namespace
}  // namespace forkplane::tidy
