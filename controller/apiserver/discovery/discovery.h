// Discovery documents: /api, /apis, /apis/GROUP and the resource list of a group version. Built
// from the type registry and kept until it changes.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "controller/base/mutex.h"
#include "crd/type_registry.h"

namespace forkplane::apiserver {

// NOTE Threading: any number of threads.
class Discovery {
 public:
  explicit Discovery(const crd::TypeRegistry& registry) : registry_(registry) {}

  // The JSON text at a path such as "/apis/forkplane.dev/v1alpha1" (no trailing slash); null: no
  // such group or version.
  std::shared_ptr<const std::string> Find(const std::string& path);
  // Every path there is, for the index at "/".
  std::vector<std::string> Paths();

 private:
  using Documents = std::map<std::string, std::shared_ptr<const std::string>>;
  std::shared_ptr<const Documents> Current();

  const crd::TypeRegistry& registry_;
  Mutex mu_;
  std::uint64_t built_for_ GUARDED_BY(mu_) = 0;
  std::shared_ptr<const Documents> documents_ GUARDED_BY(mu_);
};

// Kubernetes' order of versions: v2 before v1 before v1beta2 before v1alpha1, then anything else by
// name. True: a is preferred.
bool VersionBefore(const std::string& a, const std::string& b);

}  // namespace forkplane::apiserver
