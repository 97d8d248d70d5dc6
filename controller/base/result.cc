#include "controller/base/result.h"

#include <cerrno>
#include <system_error>

namespace forkplane {

std::string_view ToString(Code code) {
  switch (code) {
    case Code::kNotFound:
      return "NotFound";
    case Code::kExists:
      return "Exists";
    case Code::kInvalid:
      return "Invalid";
    case Code::kConflict:
      return "Conflict";
    case Code::kExhausted:
      return "Exhausted";
    case Code::kUnavailable:
      return "Unavailable";
    case Code::kCancelled:
      return "Cancelled";
    case Code::kInternal:
      return "Internal";
  }
  return "Internal";
}

Error Error::WithContext(std::string_view context) && {
  message = fmt::format("{}: {}", context, message);
  return std::move(*this);
}

Error NotFound(std::string message) { return {Code::kNotFound, std::move(message)}; }
Error Exists(std::string message) { return {Code::kExists, std::move(message)}; }
Error Invalid(std::string message, std::vector<Cause> causes) {
  return {Code::kInvalid, std::move(message), 0, std::move(causes)};
}
Error Conflict(std::string message) { return {Code::kConflict, std::move(message)}; }
Error Exhausted(std::string message) { return {Code::kExhausted, std::move(message)}; }
Error Unavailable(std::string message) { return {Code::kUnavailable, std::move(message)}; }
Error Cancelled(std::string message) { return {Code::kCancelled, std::move(message)}; }
Error Internal(std::string message) { return {Code::kInternal, std::move(message)}; }

namespace {

Code CodeOf(int errno_value) {
  switch (errno_value) {
    case ENOENT:
    case ENODEV:
    case ENXIO:
    case ESRCH:
    case EADDRNOTAVAIL:
      return Code::kNotFound;
    case EEXIST:
      return Code::kExists;
    case EBUSY:
    case ENOTEMPTY:
    case EADDRINUSE:
      return Code::kConflict;
    case EINVAL:
    case EOPNOTSUPP:
    case ENAMETOOLONG:
    case ERANGE:
      return Code::kInvalid;
    case ENOSPC:
    case EMFILE:
    case ENFILE:
    case ENOMEM:
      return Code::kExhausted;
    case EINTR:
    case EAGAIN:
    case ETIMEDOUT:
    case ECONNREFUSED:
    case ECONNRESET:
    case EPIPE:
    case ENOBUFS:
      return Code::kUnavailable;
    default:
      return Code::kInternal;
  }
}

}  // namespace

Error FromErrno(int errno_value, std::string_view context) {
  return {CodeOf(errno_value),
          fmt::format("{}: {}", context, std::generic_category().message(errno_value)),
          errno_value};
}

}  // namespace forkplane
