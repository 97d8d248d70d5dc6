// Request bodies: bytes to JSON, with what strict field validation needs to know.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "controller/apiserver/http/http.h"
#include "controller/apiserver/patch/patch.h"
#include "controller/apiserver/rest/api_status.h"
#include "controller/apiserver/rest/options.h"
#include "crd/json.h"
#include "crd/resource_type.h"

namespace forkplane::apiserver {

struct DecodedBody {
  std::shared_ptr<crd::Json> json;
  std::vector<std::string> duplicates;  // paths of keys that came twice
};

// JSON or YAML by Content-Type, or protobuf where `protobuf` says that it is read; 415 for others,
// 400 for what cannot be parsed.
ApiResult<DecodedBody> DecodeBody(const HttpRequest& request, bool protobuf = false);

// The body of a POST or PUT, an object of this type: DecodeBody and CheckTypeMeta. Built-in kinds
// may come as protobuf, and without kind and apiVersion (typed clients leave them out: the URL says
// them); custom ones may not.
ApiResult<DecodedBody> DecodeObject(const HttpRequest& request, const crd::ResourceType& type);

// The body of a PATCH of an object of this type. 415 for a form that is not taken (custom resources
// have no strategic merge), 413 for a JSON patch of too many operations, 400 for what cannot be
// parsed, or for duplicate keys when strict.
ApiResult<Patch> DecodePatch(const HttpRequest& request, const crd::ResourceType& type,
                             FieldValidation validation);

// 422 for a JSON patch that does not fit the object, 400 for a strategic one.
ApiResult<bool> ApplyPatch(const Patch& patch, const crd::ResourceType& type, crd::Json& object);

// An object sent to a resource: apiVersion and kind must be there and fit. What the URL says
// (namespace, name) is checked by the caller, who knows the verb.
ApiResult<bool> CheckTypeMeta(const crd::Json& object, const crd::ResourceType& type);

// Drops unknown fields. Strict: any, or a duplicate key, is a 400; Warn: each is a warning; Ignore:
// silence.
ApiResult<std::vector<std::string>> PruneBody(const crd::ResourceType& type, DecodedBody& body,
                                              FieldValidation validation);

// The value of a Warning header: `299 - "text"`, quoted, controls removed, at most 256 characters.
std::string WarningHeader(std::string_view text);
void AddWarnings(const std::vector<std::string>& warnings, HttpResponse& response);

}  // namespace forkplane::apiserver
