// What the numbers of a protobuf message mean: a table for each kind that is served here and that
// clients send in this form.
//
// The source of every number, name and type: generated.proto of k8s.io/api and k8s.io/apimachinery,
// v0.32.4. What a table does not list is skipped when it is read, as upstream does with fields of
// a newer client.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace forkplane::apiserver {

enum class FieldKind : std::uint8_t {
  kText,       // UTF-8
  kInteger,    // a varint; negative numbers have 64 bits
  kBool,       // a varint
  kTime,       // Time: JSON has whole seconds; the zero time is null
  kMicroTime,  // MicroTime: JSON has six digits of a second
  kMessage,    // `message` says which
  kTextMap,    // map<string, string>
  kBytesMap,   // map<string, bytes>: base64 in JSON
  kRawJson,    // a message whose field 1 is JSON text (FieldsV1)
};

struct MessageTable;

struct FieldRow {
  // How Go writes an empty value: a plain field always stands on the wire, so an empty one means
  // nothing and JSON leaves it out; a pointer or a list stands there only when it was set.
  enum class Form : std::uint8_t { kPlain, kPointer, kList };

  std::uint32_t number;
  const char* name;
  FieldKind kind;
  Form form = Form::kPlain;
  const MessageTable* message = nullptr;  // of kMessage
};

struct MessageTable {
  std::span<const FieldRow> fields;  // by number, ascending

  // Null: a field that is not known here.
  const FieldRow* Find(std::uint32_t number) const;
};

// Null: objects of this kind are not read in this form.
const MessageTable* FindMessageTable(std::string_view api_version, std::string_view kind);

}  // namespace forkplane::apiserver
