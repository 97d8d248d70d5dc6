// Log set-up, and the calls everything logs with. One line is one event: a message that never
// changes, then key=value fields, as in Kubernetes' structured logs. Values may hold anything
// (guest output, file names): both formats escape.
#pragma once

#include <fmt/format.h>

#include <initializer_list>
#include <string>
#include <string_view>

#include "controller/base/result.h"

namespace forkplane::log {

enum class Level : std::uint8_t { kDebug, kInfo, kWarn, kError };
enum class Format : std::uint8_t { kText, kJson };

// "debug", "info", "warn", "error"; "text", "json".
Result<Level> ParseLevel(std::string_view text);
Result<Format> ParseFormat(std::string_view text);

// Where lines go: stderr. Call once at start; before that, Info and above go to stderr as text.
// Level may be set again at any time.
void SetUp(Format format, Level level);
void SetLevel(Level level);

struct Field {
  std::string_view key;
  std::string value;

  template <typename T>
  Field(std::string_view k, const T& v) : key(k), value(fmt::format("{}", v)) {}
  Field(std::string_view k, const Error& error)
      : key(k), value(fmt::format("{}: {}", ToString(error.code), error.message)) {}
};
using Fields = std::initializer_list<Field>;

// Whether a line of this level would be written: to be asked where making its fields costs.
bool Writes(Level level);

void Debug(std::string_view message, Fields fields = {});
void Info(std::string_view message, Fields fields = {});
void Warn(std::string_view message, Fields fields = {});
void Err(std::string_view message, Fields fields = {});

// One line in the given format, without the newline; `time` is RFC 3339 with microseconds. Exposed
// for its test.
std::string Render(Format format, Level level, std::string_view time, std::string_view message,
                   Fields fields);

}  // namespace forkplane::log
