#include "crd/json.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "controller/base/foreign_text.h"
#include "crd/field_path.h"

namespace forkplane::crd {
namespace {

constexpr std::size_t kDuplicatesMax = 100;
constexpr std::size_t kMessageBytesMax = 256;  // it repeats the token, which may have any length

// Builds the value while counting depth and watching for repeated keys, which nlohmann's own
// builder does neither of. Pointers into the tree stay valid: objects are std::map, and an array
// does not grow while one of its elements is still open.
class Builder final : public nlohmann::json_sax<Json> {
 public:
  Builder(std::size_t depth_max, std::vector<std::string>* duplicates)
      : depth_max_(depth_max), duplicates_(duplicates) {}

  bool null() override { return Put(nullptr); }
  bool boolean(bool value) override { return Put(value); }
  bool number_integer(number_integer_t value) override { return Put(value); }
  bool number_unsigned(number_unsigned_t value) override { return Put(value); }
  bool number_float(number_float_t value, const string_t&) override { return Put(value); }
  bool string(string_t& value) override { return Put(std::move(value)); }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return Open(Json::object()); }
  bool start_array(std::size_t) override { return Open(Json::array()); }
  bool end_object() override { return Close(); }
  bool end_array() override { return Close(); }

  bool key(string_t& key) override {
    Frame& frame = open_.back();
    frame.key = std::move(key);
    if (duplicates_ != nullptr && duplicates_->size() < kDuplicatesMax &&
        frame.value->contains(frame.key)) {
      duplicates_->push_back(Path());
    }
    return true;
  }

  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::detail::exception& e) override {
    // "[json.exception.parse_error.101] parse error at line 1, column 5: syntax error ..."
    const std::string_view what = e.what();
    const auto text = what.find("] ");
    error_ = text == std::string_view::npos
                 ? fmt::format("syntax error at byte {}", position)
                 : CleanForeignText(what.substr(text + 2), kMessageBytesMax);
    return false;
  }

  Result<Json> Take() && {
    if (!error_.empty()) return Invalid(std::move(error_));
    return std::move(root_);
  }

 private:
  struct Frame {
    Json* value;
    std::string key;  // of an object: the member being read
  };

  Json* Place(Json value) {
    if (open_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    Frame& frame = open_.back();
    if (frame.value->is_array()) {
      frame.value->push_back(std::move(value));
      return &frame.value->back();
    }
    Json& member = (*frame.value)[frame.key];
    member = std::move(value);
    return &member;
  }

  template <typename T>
  bool Put(T&& value) {
    Place(Json(std::forward<T>(value)));
    return true;
  }

  bool Open(Json empty) {
    if (open_.size() >= depth_max_) {
      error_ = fmt::format("nested deeper than {} levels", depth_max_);
      return false;
    }
    open_.push_back({Place(std::move(empty)), {}});
    return true;
  }

  bool Close() {
    open_.pop_back();
    return true;
  }

  std::string Path() const {
    PathText path;
    for (const Frame& frame : open_) {
      if (frame.value->is_array()) {
        path.AddItem(frame.value->size() - 1);
      } else {
        path.AddName(frame.key);
      }
    }
    return std::move(path).Take();
  }

  const std::size_t depth_max_;
  std::vector<std::string>* duplicates_;
  Json root_;
  std::vector<Frame> open_;
  std::string error_;
};

}  // namespace

Result<Json> ParseJson(std::string_view text, const JsonLimits& limits,
                       std::vector<std::string>* duplicates) {
  if (text.size() > limits.bytes_max) {
    return Invalid(fmt::format("{} bytes: the limit is {}", text.size(), limits.bytes_max));
  }
  try {
    Builder builder(limits.depth_max, duplicates);
    if (!Json::sax_parse(text.begin(), text.end(), &builder)) {
      auto result = std::move(builder).Take();
      return result.ok() ? Invalid("not JSON") : std::move(result).error();
    }
    return std::move(builder).Take();
  } catch (const std::bad_alloc&) {
    return NoMemoryLeft();
  }
}

Error NoMemoryLeft() { return Exhausted("no memory is left to read this text: try again later"); }

std::string DumpJson(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string DumpPrettyJson(const Json& value) {
  return value.dump(2, ' ', false, Json::error_handler_t::replace);
}

void MergePatch(Json& target, const Json& patch) { target.merge_patch(patch); }

std::size_t DepthOf(const Json& value) {
  if (!value.is_structured()) return 0;
  std::size_t below = 0;
  for (const Json& item : value) below = std::max(below, DepthOf(item));
  return below + 1;
}

const Json* FindPath(const Json& value, std::string_view path) {
  if (path.starts_with('.')) path.remove_prefix(1);
  const Json* at = &value;
  while (!path.empty()) {
    const auto dot = path.find('.');
    if (!at->is_object()) return nullptr;
    const auto member = at->find(std::string(path.substr(0, dot)));
    if (member == at->end()) return nullptr;
    at = &*member;
    path = dot == std::string_view::npos ? std::string_view() : path.substr(dot + 1);
  }
  return at;
}

}  // namespace forkplane::crd
