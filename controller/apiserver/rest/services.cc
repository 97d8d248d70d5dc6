#include "controller/apiserver/rest/services.h"

#include "controller/apiserver/rest/render.h"

namespace forkplane::apiserver {
namespace {

crd::ResourceTypePtr ServiceType() {
  static const crd::ResourceTypePtr type = [] {
    auto service = std::make_shared<crd::ResourceType>();
    service->version = "v1";
    service->kind = "Service";
    service->list_kind = "ServiceList";
    service->plural = "services";
    service->singular = "service";
    return service;
  }();
  return type;
}

}  // namespace

bool IsServices(const RequestInfo& info) {
  return info.group.empty() && info.version == "v1" && info.resource == "services" &&
         info.subresource.empty();
}

HttpResponse HandleServices(const HttpRequest& request, const RequestInfo& info,
                            store::ObjectStore& store, Clock& clock) {
  const ObjectRef ref{.group = {}, .resource = "services", .kind = "Service", .name = info.name};
  if (info.verb == "get") return ToResponse(NotFoundStatus(ref));
  if (info.verb != "list") return ToResponse(MethodNotAllowed(ref, info.verb));
  ApiResult<Renderer> renderer = Renderer::Make(request, ServiceType(), clock);
  if (!renderer.ok()) return ToResponse(renderer.error());
  Result<store::Revision> revision = store.CurrentRevision();
  if (!revision.ok()) return ToResponse(FromError(revision.error(), ref));
  store::ListResult empty;
  empty.revision = *revision;
  return renderer->List(empty);
}

}  // namespace forkplane::apiserver
