#include "controller/apiserver/api_server.h"

#include <nlohmann/json.hpp>

#include "controller/apiserver/auth/authorizer.h"
#include "controller/apiserver/auth/reviews.h"
#include "controller/apiserver/discovery/discovery.h"
#include "controller/apiserver/discovery/openapi.h"
#include "controller/apiserver/health.h"
#include "controller/apiserver/request_metrics.h"
#include "controller/apiserver/rest/api_status.h"
#include "controller/apiserver/rest/request_info.h"
#include "controller/apiserver/rest/resource_handler.h"
#include "controller/apiserver/rest/review_types.h"
#include "controller/apiserver/rest/scale_handler.h"
#include "controller/apiserver/rest/services.h"
#include "controller/apiserver/rest/watch_handler.h"

namespace forkplane::apiserver {

using crd::Json;

namespace {

HttpResponse JsonText(std::string text) { return {.body = std::move(text)}; }

std::vector<HealthCheck> AllChecks(const ApiServerOptions& options) {
  std::vector<HealthCheck> checks;
  checks.push_back({.name = "ping", .live = true, .check = [] { return OkStatus(); }});
  store::ObjectStore* store = &options.store;
  // Not a matter of life: a restart makes no room on a full disk.
  checks.push_back({.name = "store", .live = false, .check = [store] { return store->Health(); }});
  checks.insert(checks.end(), options.checks.begin(), options.checks.end());
  return checks;
}

std::string VersionText(const std::string& git_version) {
  return crd::DumpJson({{"major", "1"},
                        {"minor", "32"},
                        {"gitVersion", git_version},
                        {"gitCommit", ""},
                        {"gitTreeState", "clean"},
                        {"buildDate", "1970-01-01T00:00:00Z"},
                        {"goVersion", "none"},
                        {"compiler", "gcc"},
                        {"platform", "linux/amd64"}});
}

std::string JoinPath(const std::vector<std::string>& segments, std::size_t from = 0) {
  std::string path;
  for (std::size_t i = from; i < segments.size(); ++i) path += "/" + segments[i];
  return path;
}

}  // namespace

class ApiServer::Impl {
 public:
  explicit Impl(ApiServerOptions options)
      : options_(std::move(options)),
        metrics_(options_.metrics, options_.clock),
        discovery_(options_.registry),
        openapi_(options_.registry),
        health_(AllChecks(options_)),
        resources_(options_.store, options_.registry, options_.clock),
        scale_(options_.store),
        watch_(options_.store, options_.clock, options_.metrics, options_.watches_max),
        version_text_(VersionText(options_.version)) {}

  std::optional<HttpResponse> Refuse(const HttpRequest& request) {
    const RequestInfo info = ParseRequestInfo(request);
    const std::optional<ApiStatus> refusal = Authorize(request, info);
    if (!refusal) return std::nullopt;
    RequestMetrics::Timer timer = metrics_.Start(info, IsServed(info));
    HttpResponse response = ToResponse(*refusal);
    timer.Finish(response);
    return response;
  }

  HttpResponse Handle(const HttpRequest& request) {
    const RequestInfo info = ParseRequestInfo(request);
    RequestMetrics::Timer timer = metrics_.Start(info, IsServed(info));
    HttpResponse response = Dispatch(request, info);
    timer.Finish(response);
    return response;
  }

 private:
  crd::ResourceTypePtr Find(const RequestInfo& info) const {
    crd::ResourceTypePtr type = options_.registry.Find(info.group, info.version, info.resource);
    return type != nullptr && type->served ? type : nullptr;
  }

  bool IsServed(const RequestInfo& info) const {
    return info.is_resource &&
           (Find(info) != nullptr || FindReview(info) != nullptr || IsServices(info));
  }

  HttpResponse Dispatch(const HttpRequest& request, const RequestInfo& info) {
    if (const std::optional<ApiStatus> refusal = Authorize(request, info)) {
      return ToResponse(*refusal);
    }
    if (!info.is_resource) return Other(request);
    const crd::ResourceTypePtr type = Find(info);
    if (type == nullptr && IsServices(info)) {
      return HandleServices(request, info, options_.store, options_.clock);
    }
    ApiResult<HttpResponse> response =
        type == nullptr ? Review(request, info) : Resource({request, info, type});
    return response.ok() ? std::move(response).value() : ToResponse(response.error());
  }

  ApiResult<HttpResponse> Review(const HttpRequest& request, const RequestInfo& info) {
    const crd::ResourceTypePtr type = FindReview(info);
    if (type == nullptr) return NoSuchPath();
    return AnswerReview({request, info, type});
  }

  // The verb of a resource; 404 where the path does not fit the type, 405 where the verb does not.
  ApiResult<HttpResponse> Resource(const RequestContext& context) {
    const RequestInfo& info = context.info;
    const crd::ResourceType& type = *context.type;
    const bool collection = info.name.empty();
    if (!type.namespaced && !info.namespace_name.empty()) return NoSuchPath();
    if (type.namespaced && info.namespace_name.empty()) {
      if (!collection) return NoSuchPath();
      if (info.verb == "create") {
        return BadRequestStatus("an empty namespace may not be set during creation");
      }
    }
    if (!info.subresource.empty()) return Subresource(context);
    if (info.verb == "get") return resources_.Get(context);
    if (info.verb == "list") return resources_.List(context);
    if (info.verb == "watch") return watch_.Watch(context);
    if (info.verb == "create" && collection) return resources_.Create(context);
    if (info.verb == "update" && !collection) return resources_.Update(context);
    if (info.verb == "patch" && !collection) return resources_.Patch(context);
    if (info.verb == "delete") return resources_.Delete(context);
    if (info.verb == "deletecollection" && type.delete_collection) {
      return resources_.DeleteCollection(context);
    }
    return MethodNotAllowed(context.Ref(""), info.verb);
  }

  ApiResult<HttpResponse> Subresource(const RequestContext& context) {
    const RequestInfo& info = context.info;
    const crd::ResourceType& type = *context.type;
    if (info.subresource == "scale" && type.scale) {
      if (info.verb == "get") return scale_.Get(context);
      if (info.verb == "update") return scale_.Update(context);
      if (info.verb == "patch") return scale_.Patch(context);
      return MethodNotAllowed(context.Ref(""), info.verb);
    }
    const bool finalize =
        info.subresource == "finalize" && type.group.empty() && type.plural == "namespaces";
    if (info.subresource == "status" && type.status_subresource) {
      if (info.verb == "get") return resources_.Get(context);
      if (info.verb == "patch") return resources_.Patch(context);
    } else if (!finalize) {
      return NoSuchPath();
    }
    if (info.verb == "update") return resources_.Update(context);
    return MethodNotAllowed(context.Ref(""), info.verb);
  }

  HttpResponse Other(const HttpRequest& request) {
    if (request.method != "GET" && request.method != "HEAD") {
      return ToResponse(MethodNotAllowed({}, request.method));
    }
    if (request.segments.empty()) return Index();
    const std::string& first = request.segments.front();
    if (first == "version" && request.segments.size() == 1) return JsonText(version_text_);
    if (first == "healthz" || first == "livez" || first == "readyz") {
      return health_.Handle(request);
    }
    if (first == "openapi") return openapi_.Handle(request);
    if (first == "debug") return Debug(request);
    if (std::shared_ptr<const std::string> text = discovery_.Find(JoinPath(request.segments))) {
      HttpResponse response;
      response.shared_body = std::move(text);
      return response;
    }
    return ToResponse(NoSuchPath());
  }

  // The paths there are.
  HttpResponse Index() {
    std::vector<std::string> paths = discovery_.Paths();
    for (const char* path :
         {"/healthz", "/livez", "/openapi/v2", "/openapi/v3", "/readyz", "/version"}) {
      paths.emplace_back(path);
    }
    std::sort(paths.begin(), paths.end());
    return JsonText(crd::DumpJson({{"paths", paths}}));
  }

  HttpResponse Debug(const HttpRequest& request) {
    const std::vector<std::string>& path = request.segments;
    if (options_.debug == nullptr || path.size() < 2) return ToResponse(NoSuchPath());
    Result<std::string> text = NotFound("no such debug page");
    if (path[1] == "ledger" && path.size() == 2) text = options_.debug->Ledger();
    if (path[1] == "plan" && path.size() > 3) {
      text = options_.debug->Plan(path[2], JoinPath(path, 3).substr(1));
    }
    if (text.ok()) return JsonText(std::move(text).value());
    return ToResponse(FromError(text.error(), {}));
  }

  ApiServerOptions options_;
  RequestMetrics metrics_;
  Discovery discovery_;
  OpenApi openapi_;
  Health health_;
  ResourceHandler resources_;
  ScaleHandler scale_;
  WatchHandler watch_;
  std::string version_text_;
};

ApiServer::ApiServer(ApiServerOptions options)
    : impl_(std::make_unique<Impl>(std::move(options))) {}
ApiServer::~ApiServer() = default;

std::optional<HttpResponse> ApiServer::Refuse(const HttpRequest& request) {
  return impl_->Refuse(request);
}
HttpResponse ApiServer::Handle(const HttpRequest& request) { return impl_->Handle(request); }

}  // namespace forkplane::apiserver
