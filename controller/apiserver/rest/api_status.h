// metav1.Status: how every refusal looks on the wire (design: "Error Status body"). The texts are
// those of kube-apiserver 1.32, because kubectl prints them and people search for them.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "controller/apiserver/http/http.h"
#include "controller/base/check.h"
#include "controller/base/result.h"
#include "controller/store/object.h"

namespace forkplane::apiserver {

// Which object an answer is about. `resource` is the plural; `name` may be empty.
struct ObjectRef {
  std::string group;
  std::string resource;
  std::string kind;
  std::string name;

  // "virtualmachines.forkplane.dev", "configmaps" in the core group.
  std::string QualifiedResource() const;
  std::string QualifiedKind() const;
};

// A failure, or (code 200) the success that a deletion answers with.
struct ApiStatus {
  int code = 500;
  std::string reason = {};
  std::string message = {};
  // details; all empty: no details at all.
  std::string name = {};
  std::string group = {};
  std::string kind = {};
  std::string uid = {};
  std::vector<Cause> causes = {};
  int retry_after_seconds = 0;
  std::string continue_token = {};  // metadata.continue of a 410 on a list
};

// The JSON text of kind Status.
std::string ToJsonText(const ApiStatus& status);
HttpResponse ToResponse(const ApiStatus& status);

ApiStatus BadRequestStatus(std::string message);
// One field of what was sent cannot be read: "field: what".
ApiStatus BadFieldStatus(std::string_view field, std::string_view what);
ApiStatus NotFoundStatus(const ObjectRef& ref);
// A path that means nothing here, in the words clients print for one.
ApiStatus NoSuchPath();
ApiStatus MethodNotAllowed(const ObjectRef& ref, std::string_view verb);
ApiStatus NotAcceptable();
// `accepted` as it is printed: "application/json, application/yaml".
ApiStatus UnsupportedMediaType(std::string_view accepted);
// A patch that cannot be applied to the object; upstream's message does not say why, the cause
// does.
ApiStatus PatchRefused(std::string_view why);
ApiStatus TooLarge(std::string message);
ApiStatus Unauthorized();
ApiStatus ForbiddenStatus(const ObjectRef& ref, std::string message,
                          std::vector<Cause> causes = {});
// The list wanted a revision that was compacted away. `token`: continue inconsistently from there.
ApiStatus Expired(std::string message, std::string token = {});
ApiStatus TooLargeResourceVersion(std::uint64_t asked, std::uint64_t current);
// kind: CreateOptions, ListOptions, ...; one cause.
ApiStatus InvalidOptions(std::string_view kind, Cause cause);
// An object refused for its causes: "Kind.group "name" is invalid: ...".
ApiStatus InvalidObject(const ObjectRef& ref, std::vector<Cause> causes);

// What the store or the registry said, as a Status. Where the text of the error already is
// Kubernetes' text it is kept.
ApiStatus FromError(const Error& error, const ObjectRef& ref);

// A value, or the Status to answer with; works with RETURN_IF_ERROR and ASSIGN_OR_RETURN.
template <typename T>
class [[nodiscard]] ApiResult {
 public:
  ApiResult(T value) : state_(std::in_place_index<0>, std::move(value)) {}            // NOLINT
  ApiResult(ApiStatus status) : state_(std::in_place_index<1>, std::move(status)) {}  // NOLINT

  bool ok() const { return state_.index() == 0; }
  T& value() & {
    CHECK(ok());
    return *std::get_if<0>(&state_);
  }
  T&& value() && {
    CHECK(ok());
    return std::move(*std::get_if<0>(&state_));
  }
  const T& value() const& {
    CHECK(ok());
    return *std::get_if<0>(&state_);
  }
  T& operator*() & { return value(); }
  T* operator->() { return &value(); }
  const ApiStatus& error() const& {
    CHECK(!ok());
    return *std::get_if<1>(&state_);
  }
  ApiStatus&& error() && {
    CHECK(!ok());
    return std::move(*std::get_if<1>(&state_));
  }

 private:
  std::variant<T, ApiStatus> state_;
};

template <typename T>
ApiResult<T> Lift(Result<T> result, const ObjectRef& ref) {
  if (!result.ok()) return FromError(result.error(), ref);
  return std::move(result).value();
}

}  // namespace forkplane::apiserver
