// The path to a value while walking a document, as a chain on the stack: text is made only when
// something is to be said about it. Internal to the room.
#pragma once

#include <fmt/format.h>

#include <cstddef>
#include <string>
#include <string_view>

namespace forkplane::crd {

class FieldPath {
 public:
  // `prefix` must outlive the path.
  explicit FieldPath(std::string_view prefix) : name_(prefix) {}

  FieldPath Child(std::string_view name) const { return {this, name, false, 0}; }
  FieldPath Item(std::size_t index) const { return {this, {}, true, index}; }

  std::string ToString() const {
    if (parent_ == nullptr) return std::string(name_);
    std::string text = parent_->ToString();
    if (is_item_) return text + fmt::format("[{}]", index_);
    return text.empty() ? std::string(name_) : text.append(".").append(name_);
  }

 private:
  FieldPath(const FieldPath* parent, std::string_view name, bool is_item, std::size_t index)
      : parent_(parent), name_(name), is_item_(is_item), index_(index) {}

  const FieldPath* parent_ = nullptr;
  std::string_view name_;
  bool is_item_ = false;
  std::size_t index_ = 0;
};

}  // namespace forkplane::crd
