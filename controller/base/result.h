// Errors as values. Every call that can fail returns Result<T> or Status; exceptions never cross
// our functions.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "controller/base/check.h"

namespace forkplane {

// Eight codes, for ever: they are metric labels and retry policy.
//   NotFound, Exists, Conflict from a driver: the world moved since we looked; observe again.
//   Invalid: terminal until the object's generation changes.
//   Exhausted: a budget is used up; wait for a release.
//   Unavailable, Internal: back off and try again.  Cancelled: we were asked to stop.
enum class Code : std::uint8_t {
  kNotFound,
  kExists,
  kInvalid,
  kConflict,
  kExhausted,
  kUnavailable,
  kCancelled,
  kInternal,
};

std::string_view ToString(Code code);

// One field's share in a refusal; becomes details.causes[] of a Kubernetes Status.
// `reason` is a Kubernetes cause type ("FieldValueInvalid"), `field` a path
// ("spec.interfaces[0].ip").
struct Cause {
  std::string reason;
  std::string field;
  std::string message;
  bool operator==(const Cause&) const = default;
};

// What failed, on which object, why; lower case, no period: "add class 1:23 on br0: No such
// device".
struct Error {
  Code code = Code::kInternal;
  std::string message;
  int sys_errno = 0;  // 0: not from a system call
  std::vector<Cause> causes = {};

  // The same error with one more layer of context in front: "context: message".
  Error WithContext(std::string_view context) &&;
};

Error NotFound(std::string message);
Error Exists(std::string message);
Error Invalid(std::string message, std::vector<Cause> causes = {});
Error Conflict(std::string message);
Error Exhausted(std::string message);
Error Unavailable(std::string message);
Error Cancelled(std::string message);
Error Internal(std::string message);

// "context: strerror(errno_value)", the code chosen by errno (ENOENT, ENODEV, ESRCH: NotFound;
// EEXIST: Exists; EBUSY: Conflict; EINVAL, EOPNOTSUPP: Invalid; ENOSPC, EMFILE, ENFILE, ENOMEM:
// Exhausted; EINTR, EAGAIN, ETIMEDOUT, ECONNREFUSED, ECONNRESET, EPIPE, ENOBUFS: Unavailable; the
// rest: Internal).
Error FromErrno(int errno_value, std::string_view context);

// A value or an Error. Reading the wrong one is a bug of ours and aborts.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}      // NOLINT(*-explicit-*)
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT(*-explicit-*)

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }

  T& value() & {
    CheckOk();
    return *std::get_if<0>(&state_);
  }
  const T& value() const& {
    CheckOk();
    return *std::get_if<0>(&state_);
  }
  T&& value() && {
    CheckOk();
    return std::move(*std::get_if<0>(&state_));
  }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  const Error& error() const& {
    CHECK(!ok());
    return *std::get_if<1>(&state_);
  }
  Error&& error() && {
    CHECK(!ok());
    return std::move(*std::get_if<1>(&state_));
  }

 private:
  void CheckOk() const {
    if (!ok()) CheckFailed("result holds a value", error().message);
  }
  std::variant<T, Error> state_;
};

using Status = Result<std::monostate>;
inline Status OkStatus() { return std::monostate{}; }

// Absent is not an error.
template <typename T>
using Lookup = Result<std::optional<T>>;

}  // namespace forkplane

// Both leave the function with the error; context is added once per layer, by the caller that knows
// it.
#define RETURN_IF_ERROR(expr)                   \
  do {                                          \
    if (auto status_ = (expr); !status_.ok()) { \
      return std::move(status_).error();        \
    }                                           \
  } while (false)

#define FORKPLANE_CONCAT_INNER(a, b) a##b
#define FORKPLANE_CONCAT(a, b) FORKPLANE_CONCAT_INNER(a, b)
#define ASSIGN_OR_RETURN(lhs, expr) \
  FORKPLANE_ASSIGN_OR_RETURN(FORKPLANE_CONCAT(result_, __LINE__), lhs, expr)
#define FORKPLANE_ASSIGN_OR_RETURN(result, lhs, expr) \
  auto result = (expr);                               \
  if (!result.ok()) return std::move(result).error(); \
  lhs = std::move(result).value()
