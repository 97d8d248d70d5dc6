#include "controller/store/errors.h"

namespace forkplane::store {
namespace {

bool IsMark(const Cause& cause) { return cause.field.empty() && cause.message.empty(); }

}  // namespace

Error WithReason(Error error, std::string_view reason) {
  error.causes.push_back(Cause{std::string(reason), {}, {}});
  return error;
}

std::string_view StatusReason(const Error& error) {
  for (const Cause& cause : error.causes) {
    if (IsMark(cause)) return cause.reason;
  }
  switch (error.code) {
    case Code::kNotFound:
      return "NotFound";
    case Code::kExists:
      return "AlreadyExists";
    case Code::kInvalid:
      return "Invalid";
    case Code::kConflict:
      return "Conflict";
    case Code::kExhausted:
      return "InsufficientResources";
    case Code::kUnavailable:
    case Code::kCancelled:
      return "ServiceUnavailable";
    case Code::kInternal:
      return "InternalError";
  }
  return "InternalError";
}

std::vector<Cause> VisibleCauses(const Error& error) {
  std::vector<Cause> causes;
  for (const Cause& cause : error.causes) {
    if (!IsMark(cause)) causes.push_back(cause);
  }
  return causes;
}

bool IsExpired(const Error& error) { return StatusReason(error) == "Expired"; }

Error NotFoundError(const GroupResource& resource, std::string_view name) {
  return NotFound(fmt::format("{} \"{}\" not found", ToString(resource), name));
}

Error ExistsError(const GroupResource& resource, std::string_view name, bool terminating) {
  return Exists(fmt::format("{}{} \"{}\" already exists",
                            terminating ? "object is being deleted: " : "", ToString(resource),
                            name));
}

Error ConflictError(const GroupResource& resource, std::string_view name, std::string_view why) {
  if (why.empty()) {
    why =
        "the object has been modified; please apply your changes to the latest version and try "
        "again";
  }
  return Conflict(
      fmt::format("Operation cannot be fulfilled on {} \"{}\": {}", ToString(resource), name, why));
}

Error InvalidError(std::string_view kind, std::string_view group, std::string_view name,
                   std::vector<Cause> causes) {
  std::string list;
  for (const Cause& cause : causes) {
    if (!list.empty()) list += ", ";
    list += cause.field.empty() ? cause.message : fmt::format("{}: {}", cause.field, cause.message);
  }
  if (causes.size() > 1) list = fmt::format("[{}]", list);
  const std::string subject = group.empty() ? std::string(kind) : fmt::format("{}.{}", kind, group);
  return Invalid(fmt::format("{} \"{}\" is invalid: {}", subject, name, list), std::move(causes));
}

Error BadRequestError(std::string message) {
  return WithReason(Invalid(std::move(message)), "BadRequest");
}

Error ForbiddenError(const GroupResource& resource, std::string_view name, std::string_view why) {
  return WithReason(
      Invalid(fmt::format("{} \"{}\" is forbidden: {}", ToString(resource), name, why)),
      "Forbidden");
}

Error UnreadableError(const ObjectKey& key, const Object& object) {
  return Internal(fmt::format("{} \"{}\" cannot be read: {}", ToString(key.resource), key.name,
                              object.unreadable));
}

Error ExpiredError(Revision asked, Revision oldest) {
  return WithReason(Conflict(fmt::format("too old resource version: {} ({})", asked, oldest)),
                    "Expired");
}

Error FutureRevisionError(Revision asked, Revision current) {
  Error error = Unavailable(
      fmt::format("Timeout: Too large resource version: {}, current: {}", asked, current));
  error.causes.push_back(Cause{"ResourceVersionTooLarge", {}, "Too large resource version"});
  return WithReason(std::move(error), "Timeout");
}

}  // namespace forkplane::store
