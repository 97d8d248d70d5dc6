#include "controller/base/log.h"

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <atomic>

#include "controller/base/clock.h"
#include "controller/base/foreign_text.h"

namespace forkplane::log {
namespace {

std::atomic<Format> g_format{Format::kText};

// spdlog does levels, sinks and locking; the line is ours, because its JSON patterns do not escape
// (1.10.0).
spdlog::logger& Logger() {
  static const std::shared_ptr<spdlog::logger> logger = [] {
    auto sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
    auto made = std::make_shared<spdlog::logger>("forkplane", std::move(sink));
    made->set_pattern("%v");
    made->flush_on(spdlog::level::info);
    return made;
  }();
  return *logger;
}

spdlog::level::level_enum ToSpdlog(Level level) {
  switch (level) {
    case Level::kDebug:
      return spdlog::level::debug;
    case Level::kInfo:
      return spdlog::level::info;
    case Level::kWarn:
      return spdlog::level::warn;
    case Level::kError:
      return spdlog::level::err;
  }
  return spdlog::level::info;
}

std::string_view Name(Level level) {
  switch (level) {
    case Level::kDebug:
      return "debug";
    case Level::kInfo:
      return "info";
    case Level::kWarn:
      return "warn";
    case Level::kError:
      return "error";
  }
  return "info";
}

// Inside double quotes, for JSON and for text alike: quotes, backslashes and control characters
// escaped. Bytes that are not UTF-8 become U+FFFD, so that a log shipper never meets an invalid
// line.
void AppendQuoted(std::string& out, std::string_view text) {
  out += '"';
  for (std::size_t i = 0; i < text.size();) {
    const char c = text[i];
    const std::size_t length = Utf8Length(text, i);
    if (length == 0) {
      out += "\xef\xbf\xbd";
      ++i;
      continue;
    }
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    } else {
      out.append(text, i, length);
    }
    i += length;
  }
  out += '"';
}

bool IsPlain(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return c > ' ' && c < 0x7f && c != '"' && c != '=' && c != '\\';
  });
}

void Write(Level level, std::string_view message, Fields fields) {
  if (!Logger().should_log(ToSpdlog(level))) return;
  const std::string line =
      Render(g_format, level, FormatMicroTime(RealClock().WallNow()), message, fields);
  Logger().log(ToSpdlog(level), spdlog::string_view_t(line.data(), line.size()));
}

}  // namespace

Result<Level> ParseLevel(std::string_view text) {
  for (const Level level : {Level::kDebug, Level::kInfo, Level::kWarn, Level::kError}) {
    if (text == Name(level)) return level;
  }
  return Invalid(fmt::format("log level \"{}\": must be debug, info, warn or error", text));
}

Result<Format> ParseFormat(std::string_view text) {
  if (text == "text") return Format::kText;
  if (text == "json") return Format::kJson;
  return Invalid(fmt::format("log format \"{}\": must be text or json", text));
}

bool Writes(Level level) { return Logger().should_log(ToSpdlog(level)); }

void SetUp(Format format, Level level) {
  g_format = format;
  SetLevel(level);
}

void SetLevel(Level level) { Logger().set_level(ToSpdlog(level)); }

std::string Render(Format format, Level level, std::string_view time, std::string_view message,
                   Fields fields) {
  std::string line;
  if (format == Format::kJson) {
    line = fmt::format(R"({{"ts":"{}","level":"{}","msg":)", time, Name(level));
    AppendQuoted(line, message);
    for (const Field& field : fields) {
      line += ',';
      AppendQuoted(line, field.key);
      line += ':';
      AppendQuoted(line, field.value);
    }
    line += '}';
    return line;
  }
  line = fmt::format("{} {:5} ", time, Name(level));
  AppendQuoted(line, message);
  for (const Field& field : fields) {
    line += fmt::format(" {}=", field.key);
    if (IsPlain(field.value)) {
      line += field.value;
    } else {
      AppendQuoted(line, field.value);
    }
  }
  return line;
}

void Debug(std::string_view message, Fields fields) { Write(Level::kDebug, message, fields); }
void Info(std::string_view message, Fields fields) { Write(Level::kInfo, message, fields); }
void Warn(std::string_view message, Fields fields) { Write(Level::kWarn, message, fields); }
void Err(std::string_view message, Fields fields) { Write(Level::kError, message, fields); }

}  // namespace forkplane::log
