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

enum class BodyFormat : std::uint8_t { kJson, kYaml, kProtobuf };

struct Negotiated {
  Transform transform = Transform::kNone;
  std::string meta_version = "v1";        // of meta.k8s.io, for Table and PartialObjectMetadata
  BodyFormat format = BodyFormat::kJson;  // or kYaml
};

// What an endpoint can answer with besides JSON of the object itself.
struct Offer {
  bool table = true;
  bool partial = true;
  bool yaml = true;
};

// The first clause that can be served wins, whatever its q, as kube-apiserver does it. Protobuf is
// read but not answered: 406 when nothing else is asked for.
ApiResult<Negotiated> NegotiateResponse(std::string_view accept, const Offer& offer = {});

// Of a POST, PUT or DELETE body. None given means JSON. `protobuf`: whether it is read here.
ApiResult<BodyFormat> NegotiateBody(std::string_view content_type, bool protobuf = false);

}  // namespace forkplane::apiserver
