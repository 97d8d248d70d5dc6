#include "controller/manifests/three_way_merge.h"

#include <nlohmann/json.hpp>

namespace forkplane::manifests {
namespace {

using crd::Json;

// Takes away what was applied and is not wanted any more. Recursion is bounded by the depth that
// parsing allows.
void RemoveForgotten(Json& current, const Json& last_applied, const Json& desired) {
  for (const auto& [key, last] : last_applied.items()) {
    const auto now = current.find(key);
    if (now == current.end()) continue;
    const auto wanted = desired.find(key);
    if (wanted == desired.end()) {
      current.erase(now);
    } else if (now->is_object() && last.is_object() && wanted->is_object()) {
      RemoveForgotten(*now, last, *wanted);
    }
  }
}

std::string Shown(const Json* value) {
  constexpr std::size_t kShownBytesMax = 40;
  if (value == nullptr) return "none";
  std::string text = value->is_string() ? value->get<std::string>() : crd::DumpJson(*value);
  return text.size() <= kShownBytesMax ? text : "";
}

class DifferenceFinder {
 public:
  explicit DifferenceFinder(std::size_t most) : most_(most) {}

  void Compare(const std::string& path, const Json* before, const Json* after) {
    if (found_.size() > most_ || (before != nullptr && after != nullptr && *before == *after)) {
      return;
    }
    const bool descend =
        before != nullptr && after != nullptr && before->is_object() && after->is_object();
    if (!descend) return Add(path, before, after);
    for (const auto& [key, value] : before->items()) {
      const auto other = after->find(key);
      Compare(Below(path, key), &value, other == after->end() ? nullptr : &*other);
    }
    for (const auto& [key, value] : after->items()) {
      if (!before->contains(key)) Compare(Below(path, key), nullptr, &value);
    }
  }

  std::vector<std::string> Take() {
    if (found_.size() > most_) found_.back() = "and more";
    return std::move(found_);
  }

 private:
  static std::string Below(const std::string& path, const std::string& key) {
    return path.empty() ? key : path + "." + key;
  }
  void Add(const std::string& path, const Json* before, const Json* after) {
    const std::string from = Shown(before);
    const std::string to = Shown(after);
    found_.push_back(from.empty() || to.empty() ? path + " changed"
                                                : fmt::format("{}: {} -> {}", path, from, to));
  }

  std::size_t most_;
  std::vector<std::string> found_;
};

}  // namespace

Json MergeThreeWays(const Json& current, const Json& last_applied, const Json& desired) {
  Json merged = current;
  if (merged.is_object() && last_applied.is_object() && desired.is_object()) {
    RemoveForgotten(merged, last_applied, desired);
  }
  crd::MergePatch(merged, desired);
  return merged;
}

std::vector<std::string> Differences(const Json& before, const Json& after, std::size_t most) {
  DifferenceFinder finder(most);
  finder.Compare("", &before, &after);
  return finder.Take();
}

}  // namespace forkplane::manifests
