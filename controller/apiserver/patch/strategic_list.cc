#include "controller/apiserver/patch/strategic_list.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

namespace forkplane::apiserver {

using crd::Json;

namespace {

using Positions = std::map<std::string, std::size_t, std::less<>>;

Positions PositionsOf(const std::vector<std::string>& ids) {
  Positions positions;
  for (std::size_t i = 0; i < ids.size(); ++i) positions.try_emplace(ids[i], i);
  return positions;
}

// Indices of elements, in an order given by positions of their identities; what has no position
// keeps its place behind those that have one.
void SortBy(const Positions& positions, const std::vector<std::string>& ids,
            std::vector<std::size_t>& indices) {
  const auto position = [&](std::size_t index) {
    const auto found = positions.find(ids[index]);
    return found == positions.end() ? positions.size() : found->second;
  };
  std::stable_sort(indices.begin(), indices.end(),
                   [&](std::size_t a, std::size_t b) { return position(a) < position(b); });
}

// Whether the first stood before the second; false when one of them was not there.
bool StoodBefore(const Positions& stored, const std::string& first, const std::string& second) {
  const auto a = stored.find(first);
  const auto b = stored.find(second);
  return a != stored.end() && b != stored.end() && a->second < b->second;
}

}  // namespace

Result<std::string> IdentityOf(const Json& element, const std::string& merge_key) {
  if (merge_key.empty()) {
    if (element.is_structured()) return Invalid("an element of a set of scalars is none");
    return crd::DumpJson(element);
  }
  if (!element.is_object()) return Invalid("an element of a list that is merged is no object");
  const auto key = element.find(merge_key);
  if (key == element.end()) {
    return Invalid(fmt::format("an element does not have the merge key {:?}", merge_key));
  }
  return crd::DumpJson(*key);
}

Result<std::vector<std::string>> IdentitiesOf(const Json& elements, const std::string& merge_key) {
  std::vector<std::string> ids;
  ids.reserve(elements.size());
  for (const Json& element : elements) {
    ASSIGN_OR_RETURN(std::string id, IdentityOf(element, merge_key));
    ids.push_back(std::move(id));
  }
  return ids;
}

void Arrange(const std::vector<std::string>& wanted, const std::vector<std::string>& stored,
             std::vector<std::string> ids, Json& elements) {
  const Positions by_wish = PositionsOf(wanted);
  const Positions by_store = PositionsOf(stored);
  std::vector<std::size_t> named;
  std::vector<std::size_t> others;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    (by_wish.contains(ids[i]) ? named : others).push_back(i);
  }
  SortBy(by_wish, ids, named);
  SortBy(by_store, ids, others);
  Json arranged = Json::array();
  auto next = others.begin();
  for (const std::size_t index : named) {
    while (next != others.end() && StoodBefore(by_store, ids[*next], ids[index])) {
      arranged.push_back(std::move(elements[*next++]));
    }
    arranged.push_back(std::move(elements[index]));
  }
  while (next != others.end()) arranged.push_back(std::move(elements[*next++]));
  elements = std::move(arranged);
}

bool KeepsOrder(const std::vector<std::string>& some, const std::vector<std::string>& all) {
  auto at = all.begin();
  return std::all_of(some.begin(), some.end(), [&](const std::string& id) {
    at = std::find(at, all.end(), id);
    return at != all.end();
  });
}

}  // namespace forkplane::apiserver
