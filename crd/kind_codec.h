// FromJson and ToJson of a whole kind, once for all. Internal to the room.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "crd/codec.h"
#include "crd/types.h"

namespace forkplane::crd {

template <typename K>
requires requires { K::kPlural; }
void VisitKind(auto& v, auto& kind) {
  v("metadata", kind.metadata);
  v("spec", kind.spec);
  v("status", kind.status);
}

template <typename K>
Result<K> DecodeKind(const Json& json) {
  K kind;
  std::optional<Error> error;
  const FieldPath root("");
  Decoder decoder(json, root, error);
  if (decoder.CheckObject(json, root)) VisitKind<K>(decoder, kind);
  if (error) return *std::move(error);
  return kind;
}

template <typename K>
Result<K> DecodeKindText(std::string_view text) {
  ASSIGN_OR_RETURN(const Json json, ParseJson(text));
  return DecodeKind<K>(json);
}

template <typename K>
Json EncodeKind(const K& kind) {
  Json json = {{"apiVersion", kApiVersion}, {"kind", K::kKind}};
  Encoder encoder(json);
  VisitKind<K>(encoder, kind);
  return json;
}

#define FORKPLANE_KIND(K)                                                          \
  Result<K> K::FromJson(const Json& json) { return DecodeKind<K>(json); }          \
  Result<K> K::FromText(std::string_view text) { return DecodeKindText<K>(text); } \
  Json K::ToJson() const { return EncodeKind(*this); }                             \
  std::string K::ToText() const { return DumpJson(ToJson()); }                     \
  static_assert(true)

}  // namespace forkplane::crd
