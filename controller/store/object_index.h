// The objects of one resource in the order of their keys, as a value: a copy costs one pointer and
// never changes, whatever is written afterwards. So a list takes its snapshot under a lock in no
// time and reads it without one.
//
// A balanced tree (a treap) of shared, immutable nodes: Put and Erase copy the nodes on the way to
// the key, about twice the binary logarithm of the size, and share all others.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "controller/store/object.h"

namespace forkplane::store {

// Keys are NamespacedName ("ns/name"), bytewise.
// NOTE Threading: like a shared_ptr: one copy belongs to one thread at a time, copies are
// independent.
class ObjectIndex {
 public:
  std::size_t size() const;
  bool empty() const { return root_ == nullptr; }

  ObjectPtr Find(std::string_view key) const;  // null: absent
  void Put(const std::string& key, ObjectPtr object);
  bool Erase(std::string_view key);  // false: it was not there

  // How many keys are below `key`.
  std::size_t Rank(std::string_view key) const;
  // From the first key that is not below `first` on, while the visitor returns true.
  using Visitor = std::function<bool(const std::string& key, const ObjectPtr& object)>;
  void VisitFrom(std::string_view first, const Visitor& visit) const;

 private:
  struct Node;
  using NodePtr = std::shared_ptr<const Node>;

  static NodePtr Make(const Node& entry, NodePtr left, NodePtr right);
  static NodePtr Insert(const NodePtr& node, const Node& entry);
  static NodePtr Remove(const NodePtr& node, std::string_view key);
  static NodePtr Join(const NodePtr& left, const NodePtr& right);
  static bool Visit(const Node* node, std::string_view first, const Visitor& visit);
  static const Node* Descend(const Node* node, std::string_view key);

  NodePtr root_;
};

}  // namespace forkplane::store
