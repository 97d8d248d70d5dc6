#include "controller/apiserver/rest/review_types.h"

#include "controller/apiserver/rest/text.h"

namespace forkplane::apiserver {
namespace {

crd::ResourceTypePtr Review(const char* group, const char* kind) {
  auto type = std::make_shared<crd::ResourceType>();
  type->group = group;
  type->version = "v1";
  type->kind = kind;
  type->singular = Lower(kind);
  type->plural = type->singular + "s";
  type->namespaced = false;
  type->built_in = true;
  return type;
}

}  // namespace

const std::vector<crd::ResourceTypePtr>& ReviewTypes() {
  static const std::vector<crd::ResourceTypePtr> types = {
      Review("authentication.k8s.io", "SelfSubjectReview"),
      Review("authorization.k8s.io", "SelfSubjectAccessReview"),
      Review("authorization.k8s.io", "SelfSubjectRulesReview")};
  return types;
}

crd::ResourceTypePtr FindReview(const RequestInfo& info) {
  for (const crd::ResourceTypePtr& type : ReviewTypes()) {
    if (type->group == info.group && type->version == info.version &&
        type->plural == info.resource) {
      return type;
    }
  }
  return nullptr;
}

}  // namespace forkplane::apiserver
