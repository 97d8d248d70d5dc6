// How a plan is printed: one form for logs, /debug/plan and tests.
//
// An action is a plain struct with a name, `static constexpr std::string_view kName = "claim"`, or,
// where its fields matter, a `std::string Text() const`.
#pragma once

#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace forkplane::runtime {

template <typename... Actions>
std::string ActionText(const std::variant<Actions...>& action) {
  return std::visit(
      [](const auto& one) {
        if constexpr (requires { one.Text(); }) {
          return one.Text();
        } else {
          return std::string(one.kName);
        }
      },
      action);
}

// For Explain. ToString(action) is the room's own.
template <typename Action>
std::vector<std::string> ActionTexts(const std::vector<Action>& actions) {
  std::vector<std::string> texts;
  texts.reserve(actions.size());
  for (const Action& action : actions) texts.push_back(ToString(action));
  return texts;
}

// "claim; launch; wait: network". `waiting` empty: the plan waits for nothing.
template <typename Action>
std::string PlanText(const std::vector<Action>& actions, std::string_view waiting) {
  std::string text;
  const auto append = [&text](std::string_view part) {
    if (!text.empty()) text += "; ";
    text += part;
  };
  for (const Action& action : actions) append(ActionText(action));
  if (!waiting.empty()) append("wait: " + std::string(waiting));
  return text;
}

}  // namespace forkplane::runtime
