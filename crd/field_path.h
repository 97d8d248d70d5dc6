// The path to a value while walking a document, as a chain on the stack: text is made only when
// something is to be said about it. Internal to the room.
#pragma once

#include <fmt/format.h>

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

#include "controller/base/foreign_text.h"

namespace forkplane::crd {

// "spec.disks[0].name" as text, cut at a bound: keys are as long as their writer likes, and
// hundreds of paths may lead through one.
class PathText {
 public:
  void AddName(std::string_view name) {
    if (!text_.empty()) text_ += '.';
    text_ += name.substr(0, kBytesMax + 1);
  }
  void AddItem(std::size_t index) { text_ += fmt::format("[{}]", index); }
  std::string Take() && {
    return text_.size() <= kBytesMax ? std::move(text_) : CleanForeignText(text_, kBytesMax);
  }

 private:
  static constexpr std::size_t kBytesMax = 512;
  std::string text_;
};

class FieldPath {
 public:
  // `prefix` must outlive the path.
  explicit FieldPath(std::string_view prefix) : name_(prefix) {}

  FieldPath Child(std::string_view name) const { return {this, name, false, 0}; }
  FieldPath Item(std::size_t index) const { return {this, {}, true, index}; }

  std::string ToString() const {
    PathText text;
    AddTo(text);
    return std::move(text).Take();
  }

 private:
  FieldPath(const FieldPath* parent, std::string_view name, bool is_item, std::size_t index)
      : parent_(parent), name_(name), is_item_(is_item), index_(index) {}

  void AddTo(PathText& text) const {
    if (parent_ != nullptr) parent_->AddTo(text);
    if (is_item_) {
      text.AddItem(index_);
    } else if (!name_.empty() || parent_ != nullptr) {
      text.AddName(name_);
    }
  }

  const FieldPath* parent_ = nullptr;
  std::string_view name_;
  bool is_item_ = false;
  std::size_t index_ = 0;
};

}  // namespace forkplane::crd
