// Content negotiation: what form the client wants (Accept) and what form it sent (Content-Type).
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "controller/apiserver/rest/api_status.h"

namespace forkplane::apiserver {

struct MediaType {
  std::string type;                           // lower case, "application/json"
  std::map<std::string, std::string> params;  // "as" -> "Table"; q is kept and ignored
};

// The clauses of an Accept header in its order.
std::vector<MediaType> ParseAccept(std::string_view header);

enum class Transform : std::uint8_t { kNone, kTable, kPartialMetadata };

struct Negotiated {
  Transform transform = Transform::kNone;
  std::string meta_version = "v1";  // of meta.k8s.io, for Table and PartialObjectMetadata
};

// The first clause that can be served wins, whatever its q, as kube-apiserver does it. Only JSON is
// served (YAML and protobuf answers are not: 406 when nothing else is asked for).
// `allow_table`: false for a watch with sendInitialEvents, where upstream refuses Tables.
ApiResult<Negotiated> NegotiateResponse(std::string_view accept, bool allow_table = true);

enum class BodyFormat : std::uint8_t { kJson, kYaml };

// Of a POST, PUT or DELETE body. None given means JSON.
ApiResult<BodyFormat> NegotiateBody(std::string_view content_type);

}  // namespace forkplane::apiserver
