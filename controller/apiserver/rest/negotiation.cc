#include "controller/apiserver/rest/negotiation.h"

#include "controller/apiserver/rest/text.h"

namespace forkplane::apiserver {
namespace {

constexpr std::string_view kYamlType = "application/yaml";
constexpr std::string_view kProtobufType = "application/vnd.kubernetes.protobuf";

MediaType ParseMediaType(std::string_view clause) {
  MediaType media;
  bool first = true;
  for (const std::string_view part : Split(clause, ';')) {
    const std::string_view item = Trim(part);
    if (first) {
      media.type = Lower(item);
      first = false;
      continue;
    }
    const std::size_t equals = item.find('=');
    if (equals == std::string_view::npos) continue;
    std::string_view value = Trim(item.substr(equals + 1));
    if (value.size() >= 2 && value.front() == '"' && value.back() == '"') {
      value = value.substr(1, value.size() - 2);
    }
    media.params[Lower(Trim(item.substr(0, equals)))] = value;
  }
  return media;
}

bool IsJson(const MediaType& media) {
  return media.type == "application/json" || media.type == "application/*" || media.type == "*/*";
}

std::string Param(const MediaType& media, const std::string& name) {
  const auto it = media.params.find(name);
  return it == media.params.end() ? std::string() : it->second;
}

// None: this clause cannot be served.
std::optional<Negotiated> Serve(const MediaType& media, const Offer& offer) {
  Negotiated served;
  if (offer.yaml && media.type == kYamlType) {
    served.format = BodyFormat::kYaml;
  } else if (!IsJson(media)) {
    return std::nullopt;
  }
  const std::string as = Param(media, "as");
  if (as.empty()) return served;
  const std::string version = Param(media, "v");
  if (Param(media, "g") != "meta.k8s.io" || (version != "v1" && version != "v1beta1")) {
    return std::nullopt;
  }
  served.meta_version = version;
  const bool partial = as == "PartialObjectMetadata" || as == "PartialObjectMetadataList";
  if (offer.table && as == "Table") {
    served.transform = Transform::kTable;
  } else if (offer.partial && partial) {
    served.transform = Transform::kPartialMetadata;
  } else {
    return std::nullopt;
  }
  return served;
}

}  // namespace

std::vector<MediaType> ParseAccept(std::string_view header) {
  std::vector<MediaType> clauses;
  for (const std::string_view clause : Split(header, ',')) {
    if (!Trim(clause).empty()) clauses.push_back(ParseMediaType(clause));
  }
  return clauses;
}

ApiResult<Negotiated> NegotiateResponse(std::string_view accept, const Offer& offer) {
  const std::vector<MediaType> clauses = ParseAccept(accept);
  if (clauses.empty()) return Negotiated{};
  for (const MediaType& clause : clauses) {
    if (std::optional<Negotiated> served = Serve(clause, offer)) return *std::move(served);
  }
  return NotAcceptable();
}

ApiResult<BodyFormat> NegotiateBody(std::string_view content_type, bool protobuf) {
  const MediaType media = ParseMediaType(content_type);
  if (media.type.empty() || media.type == "application/json") return BodyFormat::kJson;
  if (media.type == kYamlType) return BodyFormat::kYaml;
  if (protobuf && media.type == kProtobufType) return BodyFormat::kProtobuf;
  return UnsupportedMediaType(fmt::format("application/json, application/yaml{}{}",
                                          protobuf ? ", " : "",
                                          protobuf ? kProtobufType : std::string_view()));
}

}  // namespace forkplane::apiserver
