// What stands between a caller and a driver: sees each call before and after, may replace its
// outcome. Decorators (hooked/) bring calls here; drivers/fault and drivers/trace are the
// hooks.
#pragma once

#include <functional>
#include <optional>
#include <type_traits>
#include <utility>

#include "controller/base/result.h"

namespace forkplane::drivers {

struct CallInfo {
  const char* driver;  // "link"; a metric label
  const char* op;      // "set_master"; a metric label
  bool mutates;        // false: only looks
};

class CallHook {
 public:
  virtual ~CallHook() = default;
  // Before the call. `perform` makes the very same call once and drops its result: what a rival
  // who wants the same would do. An error returned replaces the call, which is then not made.
  virtual std::optional<Error> Before(const CallInfo& call,
                                      const std::function<void()>& perform) = 0;
  // After it; `error` is nullptr when it succeeded. An error returned replaces the outcome.
  virtual std::optional<Error> After(const CallInfo& call, const Error* error) = 0;
};

template <typename Perform>
auto CallThrough(CallHook& hook, const CallInfo& call, const Perform& perform)
    -> std::invoke_result_t<Perform> {
  const auto rival = [&] { static_cast<void>(perform()); };
  if (std::optional<Error> error = hook.Before(call, rival)) return *std::move(error);
  auto result = perform();
  if (std::optional<Error> error = hook.After(call, result.ok() ? nullptr : &result.error())) {
    return *std::move(error);
  }
  return result;
}

}  // namespace forkplane::drivers
