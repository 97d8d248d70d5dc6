#include "controller/apiserver/proto/decoder.h"

#include <fmt/format.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <utility>

#include "controller/apiserver/proto/message_tables.h"
#include "controller/apiserver/proto/wire_reader.h"
#include "controller/base/base64.h"
#include "controller/base/foreign_text.h"

namespace forkplane::apiserver {

using crd::Json;

namespace {

constexpr std::string_view kMagic("k8s\0", 4);
constexpr std::int64_t kZeroTime = -62'135'596'800;    // 0001-01-01, Go's time.Time{}
constexpr std::int64_t kLastSecond = 253'402'300'799;  // of the year 9999

Error Wrong(const FieldRow& row, std::string_view why) {
  return Invalid(fmt::format("protobuf: {}: {}", row.name, why));
}

Result<Json> TextOf(const FieldRow& row, std::string_view bytes) {
  if (!IsUtf8(bytes)) return Wrong(row, "not UTF-8");
  return Json(std::string(bytes));
}

// {1 seconds, 2 nanos}; an empty message and Go's zero time are null.
Result<Json> TimeOf(const FieldRow& row, std::string_view bytes) {
  std::int64_t seconds = 0;
  std::int64_t nanos = 0;
  if (bytes.empty()) return Json(nullptr);
  WireReader reader(bytes);
  while (true) {
    ASSIGN_OR_RETURN(const std::optional<WireField> field, reader.Next());
    if (!field) break;
    if (field->type != WireType::kVarint) continue;
    if (field->number == 1) seconds = static_cast<std::int64_t>(field->varint);
    if (field->number == 2) nanos = static_cast<std::int64_t>(field->varint);
  }
  if (seconds == kZeroTime && nanos == 0) return Json(nullptr);
  if (seconds < kZeroTime || seconds > kLastSecond || nanos < 0 || nanos > 999'999'999) {
    return Wrong(row, "a time out of range");
  }
  const std::chrono::sys_seconds time{std::chrono::seconds(seconds)};
  const auto days = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date(days);
  const std::chrono::hh_mm_ss clock(time - days);
  std::string text =
      fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}", static_cast<int>(date.year()),
                  static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                  clock.hours().count(), clock.minutes().count(), clock.seconds().count());
  if (row.kind == FieldKind::kMicroTime) text += fmt::format(".{:06}", nanos / 1000);
  return Json(text + "Z");
}

// FieldsV1: the JSON text in field 1.
Result<Json> RawJsonOf(const FieldRow& row, std::string_view bytes) {
  WireReader reader(bytes);
  std::string_view text = "{}";
  while (true) {
    ASSIGN_OR_RETURN(const std::optional<WireField> field, reader.Next());
    if (!field) break;
    if (field->number == 1 && field->type == WireType::kBytes) text = field->bytes;
  }
  Result<Json> json = crd::ParseJson(text);
  if (!json.ok()) return Wrong(row, json.error().message);
  return json;
}

// Whether an empty value of a plain field means that it was not set.
bool IsEmptyValue(const Json& value) {
  if (value.is_string()) return value.get_ref<const std::string&>().empty();
  if (value.is_boolean()) return !value.get<bool>();
  return value == 0;
}

class Decoder {
 public:
  // Fills `object`, whose fields of an earlier part of the same message stay, as protobuf merges.
  Status Message(const MessageTable& table, std::string_view bytes, Json& object) {
    WireReader reader(bytes);
    while (true) {
      ASSIGN_OR_RETURN(const std::optional<WireField> field, reader.Next());
      if (!field) return OkStatus();
      RETURN_IF_ERROR(Count());
      const FieldRow* row = table.Find(field->number);
      if (row != nullptr) RETURN_IF_ERROR(Put(*row, *field, object));
    }
  }

 private:
  Status Count() {
    if (++values_ <= kProtoValuesMax) return OkStatus();
    return Invalid(fmt::format("protobuf: more than {} values", kProtoValuesMax));
  }

  static bool IsVarint(const FieldRow& row) {
    return row.kind == FieldKind::kInteger || row.kind == FieldKind::kBool;
  }

  Status Put(const FieldRow& row, const WireField& field, Json& object) {
    if (field.type != (IsVarint(row) ? WireType::kVarint : WireType::kBytes)) {
      return Wrong(row, "another type than expected");
    }
    if (row.kind == FieldKind::kTextMap || row.kind == FieldKind::kBytesMap) {
      return PutEntry(row, field.bytes, object);
    }
    if (row.form == FieldRow::Form::kList) {
      ASSIGN_OR_RETURN(Json value, Value(row, field, Json()));
      Json& list = object[row.name];
      if (!list.is_array()) list = Json::array();
      list.push_back(std::move(value));
      return OkStatus();
    }
    const auto before = object.find(row.name);
    ASSIGN_OR_RETURN(Json value,
                     Value(row, field, before == object.end() ? Json() : std::move(*before)));
    const bool unset = row.form == FieldRow::Form::kPlain && IsEmptyValue(value);
    if (unset) {
      object.erase(row.name);
    } else {
      object[row.name] = std::move(value);
    }
    return OkStatus();
  }

  Result<Json> Value(const FieldRow& row, const WireField& field, Json before) {
    switch (row.kind) {
      case FieldKind::kInteger:
        return Json(static_cast<std::int64_t>(field.varint));
      case FieldKind::kBool:
        return Json(field.varint != 0);
      case FieldKind::kText:
        return TextOf(row, field.bytes);
      case FieldKind::kTime:
      case FieldKind::kMicroTime:
        return TimeOf(row, field.bytes);
      case FieldKind::kRawJson:
        return RawJsonOf(row, field.bytes);
      case FieldKind::kMessage: {
        if (!before.is_object()) before = Json::object();
        RETURN_IF_ERROR(Message(*row.message, field.bytes, before));
        return before;
      }
      case FieldKind::kTextMap:
      case FieldKind::kBytesMap:
        break;  // entry by entry
    }
    return Internal("protobuf: a map is no value");
  }

  // {1 key, 2 value}; either may be missing and is then empty.
  static Status PutEntry(const FieldRow& row, std::string_view bytes, Json& object) {
    std::string_view key;
    std::string_view value;
    WireReader reader(bytes);
    while (true) {
      ASSIGN_OR_RETURN(const std::optional<WireField> field, reader.Next());
      if (!field) break;
      if (field->type != WireType::kBytes) continue;
      if (field->number == 1) key = field->bytes;
      if (field->number == 2) value = field->bytes;
    }
    ASSIGN_OR_RETURN(const Json name, TextOf(row, key));
    Json entry;
    if (row.kind == FieldKind::kBytesMap) {
      entry = EncodeBase64(value);
    } else {
      ASSIGN_OR_RETURN(entry, TextOf(row, value));
    }
    object[row.name][name.get_ref<const std::string&>()] = std::move(entry);
    return OkStatus();
  }

  std::size_t values_ = 0;
};

// runtime.Unknown and the TypeMeta in it.
struct Envelope {
  std::string_view type_meta;
  std::string_view raw;
  std::string_view content_encoding;
  std::string_view content_type;
};

Result<Envelope> OpenEnvelope(std::string_view body) {
  if (!body.starts_with(kMagic)) {
    return Invalid("protobuf: the body does not begin with the four bytes k8s\\0");
  }
  Envelope envelope;
  WireReader reader(body.substr(kMagic.size()));
  while (true) {
    ASSIGN_OR_RETURN(const std::optional<WireField> field, reader.Next());
    if (!field) break;
    if (field->type != WireType::kBytes) continue;
    if (field->number == 1) envelope.type_meta = field->bytes;
    if (field->number == 2) envelope.raw = field->bytes;
    if (field->number == 3) envelope.content_encoding = field->bytes;
    if (field->number == 4) envelope.content_type = field->bytes;
  }
  if (!envelope.content_encoding.empty() || !envelope.content_type.empty()) {
    return Invalid("protobuf: an object in another encoding is not read");
  }
  return envelope;
}

constexpr std::array kTypeMetaRows =
    std::to_array<FieldRow>({{1, "apiVersion", FieldKind::kText}, {2, "kind", FieldKind::kText}});
constexpr MessageTable kTypeMeta{kTypeMetaRows};

}  // namespace

Result<Json> DecodeProtobuf(std::string_view body) {
  ASSIGN_OR_RETURN(const Envelope envelope, OpenEnvelope(body));
  Decoder decoder;
  Json object = Json::object();
  RETURN_IF_ERROR(decoder.Message(kTypeMeta, envelope.type_meta, object));
  const std::string api_version = object.value("apiVersion", "");
  const std::string kind = object.value("kind", "");
  const MessageTable* table = FindMessageTable(api_version, kind);
  if (table == nullptr) {
    return Invalid(fmt::format("no kind {:?} is registered for version {:?} in protobuf; send JSON",
                               kind, api_version));
  }
  RETURN_IF_ERROR(decoder.Message(*table, envelope.raw, object));
  return object;
}

}  // namespace forkplane::apiserver
