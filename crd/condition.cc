#include "crd/condition.h"

#include <algorithm>
#include <utility>

namespace forkplane::crd {
namespace {

constexpr std::size_t kConditionMessageMax = 32768;  // metav1.Condition's schema

// Never inside a UTF-8 sequence.
void Cut(std::string& text, std::size_t size) {
  if (text.size() <= size) return;
  while (size > 0 && (static_cast<unsigned char>(text[size]) & 0xc0) == 0x80) --size;
  text.resize(size);
}

template <typename Range>
auto Find(Range& conditions, std::string_view type) {
  return std::find_if(conditions.begin(), conditions.end(),
                      [type](const Condition& condition) { return condition.type == type; });
}

}  // namespace

Condition MakeCondition(std::string_view type, bool yes, std::string reason, std::string message) {
  return {std::string(type),
          yes ? ConditionStatus::kTrue : ConditionStatus::kFalse,
          std::move(reason),
          std::move(message),
          0,
          ""};
}

const Condition* FindCondition(const Conditions& conditions, std::string_view type) {
  const auto found = Find(conditions, type);
  return found == conditions.end() ? nullptr : &*found;
}

bool IsTrue(const Conditions& conditions, std::string_view type) {
  const Condition* found = FindCondition(conditions, type);
  return found != nullptr && found->status == ConditionStatus::kTrue;
}

bool SetCondition(Conditions& conditions, Condition wanted, WallTime now) {
  Cut(wanted.message, kConditionMessageMax);
  const auto found = Find(conditions, wanted.type);
  if (found == conditions.end()) {
    wanted.last_transition_time = FormatTime(now);
    conditions.push_back(std::move(wanted));
    return true;
  }
  wanted.last_transition_time =
      found->status == wanted.status ? found->last_transition_time : FormatTime(now);
  if (*found == wanted) return false;
  *found = std::move(wanted);
  return true;
}

bool RemoveCondition(Conditions& conditions, std::string_view type) {
  return std::erase_if(conditions, [type](const Condition& c) { return c.type == type; }) > 0;
}

}  // namespace forkplane::crd
