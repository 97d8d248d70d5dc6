// The base of the decorators that show every call of a driver to a CallHook, and the macros that
// make each wrapped method one line. A decorator is a list:
//
//   class HookedFlowDriver final : public Hooked<FlowDriver> {
//    public:
//     HookedFlowDriver(FlowDriver& inner, CallHook& hook) : Hooked("flow", inner, hook) {}
//     FORKPLANE_HOOKED_CHANGE(1, FlushAddress, "flush_address")
//   };
//   static_assert(!std::is_abstract_v<HookedFlowDriver>);
//
// LOOK or CHANGE says whether the call mutates; then come how many parameters the method has, its
// name, and the op of CallInfo. The types are taken from the interface. A method that the list
// lacks leaves the class abstract, and a wrong number of parameters overrides nothing: neither
// compiles. The inner driver and the hook must outlive the decorator.
#pragma once

#include <cstddef>
#include <tuple>

#include "drivers/call_hook.h"

namespace forkplane::drivers {

template <typename Method>
struct MethodTraits;
template <typename Class, typename R, typename... Parameters>
struct MethodTraits<R (Class::*)(Parameters...)> {
  using Return = R;
  using List = std::tuple<Parameters...>;
};
template <auto kMethod>
using ReturnOf = typename MethodTraits<decltype(kMethod)>::Return;
template <auto kMethod, std::size_t kIndex>
using ParameterOf = std::tuple_element_t<kIndex, typename MethodTraits<decltype(kMethod)>::List>;

template <typename Driver>
class Hooked : public Driver {
 protected:
  using Interface = Driver;

  Hooked(const char* driver, Driver& inner, CallHook& hook)
      : inner_(inner), driver_(driver), hook_(hook) {}

  // Arguments are passed on as they are, not moved: the hook may have the call made twice.
  template <auto kMethod, typename... Arguments>
  ReturnOf<kMethod> Call(const char* op, bool mutates, const Arguments&... arguments) {
    return CallThrough(hook_, {driver_, op, mutates},
                       [&] { return (inner_.*kMethod)(arguments...); });
  }

  Driver& inner_;

 private:
  const char* driver_;
  CallHook& hook_;
};

}  // namespace forkplane::drivers

#define FORKPLANE_HOOKED_LOOK(count, Method, op) FORKPLANE_HOOKED_##count(Method, op, false)
#define FORKPLANE_HOOKED_CHANGE(count, Method, op) FORKPLANE_HOOKED_##count(Method, op, true)

#define FORKPLANE_HOOKED_P(Method, index) ParameterOf<&Interface::Method, index>
#define FORKPLANE_HOOKED_0(Method, op, mutates) \
  ReturnOf<&Interface::Method> Method() override { return Call<&Interface::Method>(op, mutates); }
#define FORKPLANE_HOOKED_1(Method, op, mutates)                                   \
  ReturnOf<&Interface::Method> Method(FORKPLANE_HOOKED_P(Method, 0) a) override { \
    return Call<&Interface::Method>(op, mutates, a);                              \
  }
#define FORKPLANE_HOOKED_2(Method, op, mutates)                                   \
  ReturnOf<&Interface::Method> Method(FORKPLANE_HOOKED_P(Method, 0) a,            \
                                      FORKPLANE_HOOKED_P(Method, 1) b) override { \
    return Call<&Interface::Method>(op, mutates, a, b);                           \
  }
#define FORKPLANE_HOOKED_3(Method, op, mutates)                                   \
  ReturnOf<&Interface::Method> Method(FORKPLANE_HOOKED_P(Method, 0) a,            \
                                      FORKPLANE_HOOKED_P(Method, 1) b,            \
                                      FORKPLANE_HOOKED_P(Method, 2) c) override { \
    return Call<&Interface::Method>(op, mutates, a, b, c);                        \
  }
#define FORKPLANE_HOOKED_5(Method, op, mutates)                         \
  ReturnOf<&Interface::Method> Method(                                  \
      FORKPLANE_HOOKED_P(Method, 0) a, FORKPLANE_HOOKED_P(Method, 1) b, \
      FORKPLANE_HOOKED_P(Method, 2) c, FORKPLANE_HOOKED_P(Method, 3) d, \
      FORKPLANE_HOOKED_P(Method, 4) e) override {                       \
    return Call<&Interface::Method>(op, mutates, a, b, c, d, e);        \
  }
