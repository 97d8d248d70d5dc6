#include "controller/store/object_index.h"

namespace forkplane::store {

struct ObjectIndex::Node {
  std::shared_ptr<const std::string> key;
  ObjectPtr object;
  // The parent's is never lower. It follows from the key, so equal contents make equal trees.
  std::uint64_t priority = 0;
  std::size_t size = 1;  // of the subtree
  NodePtr left = nullptr;
  NodePtr right = nullptr;
};

namespace {

// Keys come in order (vm-1, vm-2, ...), which would make a list of an unbalanced tree; their hashes
// have no order.
std::uint64_t PriorityOf(std::string_view key) {
  std::uint64_t x = std::hash<std::string_view>()(key);
  x ^= x >> 33;
  x *= 0xff51afd7ed558ccdULL;
  x ^= x >> 33;
  return x;
}

}  // namespace

std::size_t ObjectIndex::size() const { return root_ == nullptr ? 0 : root_->size; }

ObjectIndex::NodePtr ObjectIndex::Make(const Node& entry, NodePtr left, NodePtr right) {
  auto node = std::make_shared<Node>();
  node->key = entry.key;
  node->object = entry.object;
  node->priority = entry.priority;
  node->size = 1 + (left ? left->size : 0) + (right ? right->size : 0);
  node->left = std::move(left);
  node->right = std::move(right);
  return node;
}

const ObjectIndex::Node* ObjectIndex::Descend(const Node* node, std::string_view key) {
  while (node != nullptr) {
    const int order = key.compare(*node->key);
    if (order == 0) return node;
    node = order < 0 ? node->left.get() : node->right.get();
  }
  return nullptr;
}

ObjectPtr ObjectIndex::Find(std::string_view key) const {
  const Node* node = Descend(root_.get(), key);
  return node == nullptr ? nullptr : node->object;
}

ObjectIndex::NodePtr ObjectIndex::Insert(const NodePtr& node, const Node& entry) {
  if (node == nullptr) return Make(entry, nullptr, nullptr);
  const int order = entry.key->compare(*node->key);
  if (order == 0) return Make(entry, node->left, node->right);
  if (order < 0) {
    NodePtr left = Insert(node->left, entry);
    if (left->priority <= node->priority) return Make(*node, std::move(left), node->right);
    return Make(*left, left->left, Make(*node, left->right, node->right));
  }
  NodePtr right = Insert(node->right, entry);
  if (right->priority <= node->priority) return Make(*node, node->left, std::move(right));
  return Make(*right, Make(*node, node->left, right->left), right->right);
}

void ObjectIndex::Put(const std::string& key, ObjectPtr object) {
  root_ = Insert(root_, Node{.key = std::make_shared<const std::string>(key),
                             .object = std::move(object),
                             .priority = PriorityOf(key)});
}

// All keys of `left` are below those of `right`.
ObjectIndex::NodePtr ObjectIndex::Join(const NodePtr& left, const NodePtr& right) {
  if (left == nullptr) return right;
  if (right == nullptr) return left;
  if (left->priority >= right->priority) return Make(*left, left->left, Join(left->right, right));
  return Make(*right, Join(left, right->left), right->right);
}

ObjectIndex::NodePtr ObjectIndex::Remove(const NodePtr& node, std::string_view key) {
  const int order = key.compare(*node->key);
  if (order == 0) return Join(node->left, node->right);
  if (order < 0) return Make(*node, Remove(node->left, key), node->right);
  return Make(*node, node->left, Remove(node->right, key));
}

bool ObjectIndex::Erase(std::string_view key) {
  if (Descend(root_.get(), key) == nullptr) return false;
  root_ = Remove(root_, key);
  return true;
}

std::size_t ObjectIndex::Rank(std::string_view key) const {
  std::size_t below = 0;
  for (const Node* node = root_.get(); node != nullptr;) {
    if (key.compare(*node->key) <= 0) {
      node = node->left.get();
    } else {
      below += 1 + (node->left ? node->left->size : 0);
      node = node->right.get();
    }
  }
  return below;
}

bool ObjectIndex::Visit(const Node* node, std::string_view first, const Visitor& visit) {
  if (node == nullptr) return true;
  if (first.compare(*node->key) <= 0) {
    if (!Visit(node->left.get(), first, visit) || !visit(*node->key, node->object)) return false;
  }
  return Visit(node->right.get(), first, visit);
}

void ObjectIndex::VisitFrom(std::string_view first, const Visitor& visit) const {
  Visit(root_.get(), first, visit);
}

}  // namespace forkplane::store
