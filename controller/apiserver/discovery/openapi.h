// OpenAPI documents of everything served: v3 (one per group version, for kubectl 1.27 and newer)
// and v2 (one for all, for older kubectls and for Argo CD). Built from the type registry, kept
// until it changes.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "controller/apiserver/http/http.h"
#include "controller/base/mutex.h"
#include "crd/type_registry.h"

namespace forkplane::apiserver {

// NOTE Threading: any number of threads. Building takes milliseconds and happens under the lock, so
// that a crowd after a change builds once.
class OpenApi {
 public:
  explicit OpenApi(const crd::TypeRegistry& registry) : registry_(registry) {}

  // A path below /openapi.
  HttpResponse Handle(const HttpRequest& request);

 private:
  struct Document {
    std::shared_ptr<const std::string> text;
    std::string hash;  // upper-case hex SHA-512
  };
  struct Documents {
    Document v3_index;
    std::map<std::string, Document> v3;  // by "api/v1", "apis/GROUP/VERSION"
    Document v2_json;
    Document v2_proto;
  };
  std::shared_ptr<const Documents> Current();
  static HttpResponse ServeV3(const HttpRequest& request, const Document& document,
                              const std::string& path);
  static HttpResponse ServeV2(const HttpRequest& request, const Documents& documents);

  const crd::TypeRegistry& registry_;
  Mutex mu_;
  std::uint64_t built_for_ GUARDED_BY(mu_) = 0;
  std::shared_ptr<const Documents> documents_ GUARDED_BY(mu_);
};

}  // namespace forkplane::apiserver
