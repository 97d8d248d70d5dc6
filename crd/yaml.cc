#include "crd/yaml.h"

#include <yaml.h>

#include <map>
#include <nlohmann/json.hpp>
#include <optional>

#include "controller/base/foreign_text.h"
#include "crd/field_path.h"
#include "crd/yaml_scalar.h"

namespace forkplane::crd {
namespace {

constexpr std::string_view kStandardTag = "tag:yaml.org,2002:";
constexpr std::size_t kDuplicatesMax = 100;
constexpr std::size_t kShownBytesMax = 64;  // of what a client wrote

// What a value is worth against the limits.
struct Cost {
  std::size_t values = 0;
  std::size_t bytes = 0;   // of keys and strings
  std::size_t height = 0;  // levels below the one that holds it, itself included
};

void Add(const Cost& part, Cost& whole) {
  whole.values += part.values;
  whole.bytes += part.bytes;
  whole.height = std::max(whole.height, part.height + 1);
}

std::string_view TextOf(const yaml_char_t* text) {
  return text == nullptr ? std::string_view() : reinterpret_cast<const char*>(text);
}

Error RefuseAt(int line, std::string_view what) {
  return Invalid(fmt::format("line {}: {}", line, what));
}

Result<Json> ScalarOf(std::string_view tag, const std::string& text, bool is_plain, int line) {
  if (tag == "!" || (tag.empty() && !is_plain)) return Json(text);
  if (!tag.empty() && !tag.starts_with(kStandardTag)) {
    return RefuseAt(line, fmt::format("tag {} is not supported: remove it",
                                      CleanForeignText(tag, kShownBytesMax)));
  }
  const std::string_view type = tag.empty() ? tag : tag.substr(kStandardTag.size());
  if (type == "str") return Json(text);
  auto value = TypePlainScalar(text);
  if (!value.ok()) return RefuseAt(line, value.error().message);
  const bool fits = type.empty() || (type == "int" && value->is_number_integer()) ||
                    (type == "float" && value->is_number()) ||
                    (type == "bool" && value->is_boolean()) || (type == "null" && value->is_null());
  if (fits) return value;
  return RefuseAt(line, fmt::format("'{}' is not a !!{}", CleanForeignText(text, kShownBytesMax),
                                    CleanForeignText(type, kShownBytesMax)));
}

Result<std::string> KeyOf(const Json& value, int line) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_structured()) return RefuseAt(line, "a key must be a scalar");
  if (value.is_null()) return RefuseAt(line, "a key must not be null");
  return DumpJson(value);  // 1: -> "1", yes: -> "true", as kubectl's reader does
}

// Makes JSON out of the parser's events, so that a document is never held in another form, and
// every limit is checked before the memory is used.
class Builder {
 public:
  explicit Builder(const YamlLimits& limits) : limits_(limits) {}

  Status Take(const yaml_event_t& event) {
    const int line = static_cast<int>(event.start_mark.line) + 1;
    switch (event.type) {
      case YAML_DOCUMENT_START_EVENT:
        document_ = {};
        written_ = 0;
        anchors_.clear();
        return OkStatus();
      case YAML_DOCUMENT_END_EVENT:
        if (document_.value) documents_.push_back(std::move(document_));
        return OkStatus();
      case YAML_SCALAR_EVENT:
        return TakeScalar(event.data.scalar, line);
      case YAML_ALIAS_EVENT:
        return TakeAlias(TextOf(event.data.alias.anchor), line);
      case YAML_SEQUENCE_START_EVENT:
        return Open(Json::array(), TextOf(event.data.sequence_start.anchor), line);
      case YAML_MAPPING_START_EVENT:
        return Open(Json::object(), TextOf(event.data.mapping_start.anchor), line);
      case YAML_SEQUENCE_END_EVENT:
      case YAML_MAPPING_END_EVENT:
        return Close();
      case YAML_NO_EVENT:
      case YAML_STREAM_START_EVENT:
      case YAML_STREAM_END_EVENT:
        break;
    }
    return OkStatus();
  }

  std::vector<YamlDocument> Documents() && { return std::move(documents_); }

 private:
  struct Part {
    Json value;
    Cost cost;
    int line = 0;
    std::string anchor;  // empty: none
    bool is_merge_key = false;
  };
  struct Anchored {
    Json value;
    Cost cost;
  };
  struct Frame {
    Part part;
    std::optional<std::string> key;  // of a map: what was read and waits for its value
    bool is_merge = false;           // that key was <<
    std::vector<Json> merged;
  };

  template <typename Scalar>
  Status TakeScalar(const Scalar& scalar, int line) {
    RETURN_IF_ERROR(CountWritten(line));
    const std::string text(reinterpret_cast<const char*>(scalar.value), scalar.length);
    const std::string_view tag = TextOf(scalar.tag);
    const bool is_plain = scalar.style == YAML_PLAIN_SCALAR_STYLE;
    ASSIGN_OR_RETURN(Json value, ScalarOf(tag, text, is_plain, line));
    const bool is_merge_key = is_plain && tag.empty() && text == "<<";
    return Place({std::move(value),
                  {1, text.size(), 1},
                  line,
                  std::string(TextOf(scalar.anchor)),
                  is_merge_key});
  }

  // A copy of what the anchor stands for. An anchor is known once its value is complete, so nothing
  // can hold itself.
  Status TakeAlias(std::string_view anchor, int line) {
    const auto found = anchors_.find(anchor);
    if (found == anchors_.end()) {
      return RefuseAt(line, fmt::format("the alias *{} names no anchor that stands before it",
                                        CleanForeignText(anchor, kShownBytesMax)));
    }
    const Anchored& source = found->second;
    RETURN_IF_ERROR(CountCopy(source.cost, line));
    return Place({source.value, source.cost, line, {}, false});
  }

  Status Open(Json empty, std::string_view anchor, int line) {
    RETURN_IF_ERROR(CountWritten(line));
    if (frames_.size() >= limits_.depth_max) return TooDeep(line);
    frames_.push_back(
        {{std::move(empty), {1, 0, 1}, line, std::string(anchor), false}, {}, false, {}});
    return OkStatus();
  }

  Status Close() {
    Frame frame = std::move(frames_.back());
    frames_.pop_back();
    // What stands in the map itself wins over what is merged in, and earlier sources over later.
    for (Json& source : frame.merged) {
      for (auto& [key, value] : source.items()) {
        if (!frame.part.value.contains(key)) frame.part.value[key] = std::move(value);
      }
    }
    return Place(std::move(frame.part));
  }

  Error TooDeep(int line) const {
    return RefuseAt(line, fmt::format("nested deeper than {} levels", limits_.depth_max));
  }

  Status CountWritten(int line) {
    if (document_.line == 0) document_.line = line;
    if (++written_ <= limits_.nodes_max) return OkStatus();
    return RefuseAt(line,
                    fmt::format("more than {} keys and values in a document", limits_.nodes_max));
  }

  // Copies are counted over all documents: a text of many small documents must not multiply.
  Status CountCopy(const Cost& cost, int line) {
    Add(cost, copied_);
    if (copied_.values > limits_.nodes_max) {
      return RefuseAt(line,
                      fmt::format("more than {} values after aliases are expanded: write them out",
                                  limits_.nodes_max));
    }
    if (copied_.bytes > limits_.bytes_max) {
      return RefuseAt(line,
                      fmt::format("anchors and aliases add more than {} bytes: write them out",
                                  limits_.bytes_max));
    }
    return OkStatus();
  }

  Status Place(Part part) {
    if (frames_.size() + part.cost.height > limits_.depth_max + 1) return TooDeep(part.line);
    if (!part.anchor.empty()) {
      RETURN_IF_ERROR(CountCopy(part.cost, part.line));
      anchors_[part.anchor] = {part.value, part.cost};
    }
    if (frames_.empty()) {
      if (part.value.is_null()) return OkStatus();
      document_.value = std::make_shared<const Json>(std::move(part.value));
      return OkStatus();
    }
    Frame& frame = frames_.back();
    Add(part.cost, frame.part.cost);
    if (frame.part.value.is_array()) {
      frame.part.value.push_back(std::move(part.value));
      return OkStatus();
    }
    if (!frame.key) return PlaceKey(frame, part);
    if (frame.is_merge) return PlaceMerged(frame, std::move(part));
    frame.part.value[*frame.key] = std::move(part.value);
    frame.key.reset();
    return OkStatus();
  }

  Status PlaceKey(Frame& frame, const Part& part) {
    ASSIGN_OR_RETURN(frame.key, KeyOf(part.value, part.line));
    frame.is_merge = part.is_merge_key;
    if (frame.is_merge || duplicates_ == kDuplicatesMax) return OkStatus();
    if (!frame.part.value.contains(*frame.key)) return OkStatus();
    ++duplicates_;
    document_.duplicates.push_back(PathOfKey());
    return OkStatus();
  }

  static Status PlaceMerged(Frame& frame, Part part) {
    std::vector<Json> sources;
    if (part.value.is_array()) {
      for (Json& source : part.value) sources.push_back(std::move(source));
    } else {
      sources.push_back(std::move(part.value));
    }
    for (Json& source : sources) {
      if (!source.is_object()) return RefuseAt(part.line, "<< takes a map or a list of maps");
      frame.merged.push_back(std::move(source));
    }
    frame.key.reset();
    frame.is_merge = false;
    return OkStatus();
  }

  std::string PathOfKey() const {
    PathText path;
    for (const Frame& frame : frames_) {
      if (frame.part.value.is_array()) {
        path.AddItem(frame.part.value.size());
      } else {
        path.AddName(*frame.key);
      }
    }
    return std::move(path).Take();
  }

  const YamlLimits limits_;
  std::vector<YamlDocument> documents_;
  YamlDocument document_;    // the one being read
  std::size_t written_ = 0;  // its values; those that aliases stand for are not among them
  Cost copied_;              // by anchors and aliases of all documents
  std::size_t duplicates_ = 0;
  std::vector<Frame> frames_;  // the open maps and lists, outermost first
  std::map<std::string, Anchored, std::less<>> anchors_;
};

// libyaml reads a document piece by piece: a `[` or `{` that could begin a key is decided after
// 1024 characters, so what waits in the parser does not grow with the text.
class EventParser {
 public:
  explicit EventParser(std::string_view text) : is_ready_(yaml_parser_initialize(&parser_) == 1) {
    if (!is_ready_) return;
    yaml_parser_set_encoding(&parser_, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser_, reinterpret_cast<const unsigned char*>(text.data()),
                                 text.size());
  }
  ~EventParser() {
    if (is_ready_) yaml_parser_delete(&parser_);
  }
  EventParser(const EventParser&) = delete;
  EventParser& operator=(const EventParser&) = delete;

  Status ReadAll(Builder& builder) {
    for (bool at_end = false; !at_end;) {
      yaml_event_t event;
      if (!is_ready_ || yaml_parser_parse(&parser_, &event) == 0) return Problem();
      at_end = event.type == YAML_STREAM_END_EVENT;
      const std::unique_ptr<yaml_event_t, void (*)(yaml_event_t*)> owned(&event, yaml_event_delete);
      RETURN_IF_ERROR(builder.Take(event));
    }
    return OkStatus();
  }

 private:
  Error Problem() const {
    if (!is_ready_ || parser_.error == YAML_MEMORY_ERROR) return NoMemoryLeft();
    const std::string what = parser_.problem == nullptr ? "not YAML" : parser_.problem;
    if (parser_.error == YAML_READER_ERROR) {
      return Invalid(fmt::format("byte {}: {}", parser_.problem_offset, what));
    }
    // What is not closed is told where it begins: its problem is found at the end of the text.
    const bool has_context = parser_.context != nullptr;
    const yaml_mark_t& mark = has_context ? parser_.context_mark : parser_.problem_mark;
    return RefuseAt(static_cast<int>(mark.line) + 1,
                    has_context ? fmt::format("{}: {}", parser_.context, what) : what);
  }

  yaml_parser_t parser_{};
  bool is_ready_;
};

}  // namespace

Result<std::vector<YamlDocument>> ParseYaml(std::string_view text, const YamlLimits& limits) {
  if (text.size() > limits.bytes_max) {
    return Invalid(fmt::format("{} bytes: the limit is {}", text.size(), limits.bytes_max));
  }
  if (!IsUtf8(text)) return Invalid("the text is not UTF-8");
  try {
    Builder builder(limits);
    RETURN_IF_ERROR(EventParser(text).ReadAll(builder));
    return std::move(builder).Documents();
  } catch (const std::bad_alloc&) {
    return NoMemoryLeft();
  }
}

Result<Json> ParseOneYaml(std::string_view text, const YamlLimits& limits) {
  ASSIGN_OR_RETURN(const auto documents, ParseYaml(text, limits));
  if (documents.size() != 1) {
    return Invalid(fmt::format("{} documents where one is expected", documents.size()));
  }
  return Json(*documents.front().value);
}

}  // namespace forkplane::crd
