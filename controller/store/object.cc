#include "controller/store/object.h"

#include <charconv>

#include "controller/base/check.h"
#include "controller/base/result.h"

namespace forkplane::store {

bool ParseRevision(std::string_view text, Revision* revision) {
  *revision = 0;
  if (text.empty()) return true;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *revision);
  return error == std::errc() && end == text.data() + text.size();
}

std::string ToString(const GroupResource& resource) {
  if (resource.group.empty()) return resource.plural;
  return fmt::format("{}.{}", resource.plural, resource.group);
}

std::string NamespacedName(std::string_view ns, std::string_view name) {
  if (ns.empty()) return std::string(name);
  return fmt::format("{}/{}", ns, name);
}

std::pair<std::string, std::string> SplitNamespacedName(std::string_view key) {
  const std::size_t slash = key.find('/');
  if (slash == std::string_view::npos) return {{}, std::string(key)};
  return {std::string(key.substr(0, slash)), std::string(key.substr(slash + 1))};
}

ObjectPtr AtRevision(const Object& object, Revision revision) {
  auto copy = std::make_shared<Object>(object);
  const std::string digits = std::to_string(revision);
  CHECK(copy->revision_offset + copy->revision_length <= copy->text.size());
  copy->text.replace(copy->revision_offset, copy->revision_length, digits);
  copy->revision_length = digits.size();
  copy->meta.revision = revision;
  return copy;
}

}  // namespace forkplane::store
