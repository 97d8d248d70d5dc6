// Structs to JSON and back from one list of fields per struct (fields.h), so that reading and
// writing cannot disagree. Internal to the room. Only codec.cc needs nlohmann's full header.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "controller/base/result.h"
#include "crd/enums.h"
#include "crd/field_path.h"
#include "crd/json.h"
#include "crd/quantity.h"

namespace forkplane::crd {

// Fills a struct from a JSON object. Absent and null members keep the struct's default. The first
// wrong type is kept in `error` ("spec.cpus: must be an integer"); the rest is read all the same.
class Decoder {
 public:
  template <typename T>
  using Ref = T;

  Decoder(const Json& object, const FieldPath& path, std::optional<Error>& error)
      : object_(object), path_(path), error_(error) {}

  // False, and an error, when it is none.
  bool CheckObject(const Json& json, const FieldPath& path);

  template <typename T>
  void operator()(std::string_view name, T& field) {
    if (const Json* member = Find(object_, name)) Decode(*member, path_.Child(name), field);
  }
  template <typename T>
  void UnlessAbsent(std::string_view name, T& field, bool& absent) {
    absent = Find(object_, name) == nullptr;
    (*this)(name, field);
  }
  template <typename T>
  void OmitZero(std::string_view name, T& field) {
    (*this)(name, field);
  }

 private:
  void Decode(const Json& json, const FieldPath& path, bool& field);
  void Decode(const Json& json, const FieldPath& path, std::int64_t& field);
  void Decode(const Json& json, const FieldPath& path, double& field);
  void Decode(const Json& json, const FieldPath& path, std::string& field);
  void Decode(const Json& json, const FieldPath& path, Quantity& field);
  void Decode(const Json& json, const FieldPath& path, Duration& field);

  template <ApiEnum E>
  void Decode(const Json& json, const FieldPath& path, E& field) {
    std::string text;
    Decode(json, path, text);
    const std::optional<E> value = FromString<E>(text);
    if (!value) return Fail(path, fmt::format("'{}' is not one of its values", text));
    field = *value;
  }

  template <typename T>
  void Decode(const Json& json, const FieldPath& path, std::optional<T>& field) {
    field.emplace();
    Decode(json, path, *field);
  }

  template <typename T>
  void Decode(const Json& json, const FieldPath& path, std::vector<T>& field) {
    field.clear();
    const std::size_t size = ListSize(json, path);
    for (std::size_t i = 0; i < size; ++i) {
      field.emplace_back();
      Decode(Item(json, i), path.Item(i), field.back());
    }
  }

  template <typename T>
  void Decode(const Json& json, const FieldPath& path, std::map<std::string, T>& field) {
    field.clear();
    for (const std::string& key : Keys(json, path)) {
      Decode(*Find(json, key), path.Child(key), field[key]);
    }
  }

  template <typename T>
  requires requires(Decoder& decoder, T& field) { VisitFields(decoder, field); }
  void Decode(const Json& json, const FieldPath& path, T& field) {
    if (!CheckObject(json, path)) return;
    Decoder inner(json, path, error_);
    VisitFields(inner, field);
  }

  static const Json* Find(const Json& object, std::string_view name);
  static const Json& Item(const Json& list, std::size_t index);
  std::size_t ListSize(const Json& json, const FieldPath& path);
  std::vector<std::string> Keys(const Json& json, const FieldPath& path);
  void Fail(const FieldPath& path, std::string_view why);

  const Json& object_;
  const FieldPath& path_;
  std::optional<Error>& error_;
};

// Writes a struct's members into a JSON object. Empty strings, lists, maps and objects and absent
// optionals are left out; numbers, booleans and enums are written.
class Encoder {
 public:
  template <typename T>
  using Ref = const T;

  explicit Encoder(Json& object) : object_(object) {}

  template <typename T>
  void operator()(std::string_view name, const T& field) {
    Json& member = Add(name);
    if (!Encode(member, field)) Remove(name);
  }
  // Also when empty: an empty list that differs from an absent one.
  template <typename T>
  void UnlessAbsent(std::string_view name, const T& field, bool absent) {
    if (!absent) Encode(Add(name), field);
  }
  template <typename T>
  void OmitZero(std::string_view name, const T& field) {
    if (field != T{}) (*this)(name, field);
  }

 private:
  // Each returns false when there is nothing worth writing.
  static bool Encode(Json& json, bool field);
  static bool Encode(Json& json, std::int64_t field);
  static bool Encode(Json& json, double field);
  static bool Encode(Json& json, const std::string& field);
  static bool Encode(Json& json, const Quantity& field) { return Encode(json, field.Text()); }
  static bool Encode(Json& json, const Duration& field) { return Encode(json, field.Text()); }

  template <ApiEnum E>
  static bool Encode(Json& json, E field) {
    return Encode(json, std::string(ToString(field)));
  }

  template <typename T>
  static bool Encode(Json& json, const std::optional<T>& field) {
    if (!field) return false;
    Encode(json, *field);
    return true;
  }

  template <typename T>
  static bool Encode(Json& json, const std::vector<T>& field) {
    MakeList(json);
    for (const T& item : field) Encode(Append(json), item);
    return !field.empty();
  }

  template <typename T>
  static bool Encode(Json& json, const std::map<std::string, T>& field) {
    MakeObject(json);
    for (const auto& [key, value] : field) Encode(Member(json, key), value);
    return !field.empty();
  }

  template <typename T>
  requires requires(Encoder& encoder, const T& field) { VisitFields(encoder, field); }
  static bool Encode(Json& json, const T& field) {
    MakeObject(json);
    Encoder inner(json);
    VisitFields(inner, field);
    return !IsEmpty(json);
  }

  static void MakeList(Json& json);
  static void MakeObject(Json& json);
  static Json& Append(Json& list);
  static Json& Member(Json& object, std::string_view name);
  static bool IsEmpty(const Json& json);
  Json& Add(std::string_view name) { return Member(object_, name); }
  void Remove(std::string_view name);

  Json& object_;
};

}  // namespace forkplane::crd
