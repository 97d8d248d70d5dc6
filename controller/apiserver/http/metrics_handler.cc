#include "controller/apiserver/http/metrics_handler.h"

namespace forkplane::apiserver {
namespace {

HttpResponse Text(int status, std::string body) {
  HttpResponse response;
  response.status = status;
  response.content_type = "text/plain; charset=utf-8";
  response.body = std::move(body);
  return response;
}

}  // namespace

std::optional<HttpResponse> MetricsHandler::Refuse(const HttpRequest& request) {
  HttpResponse response;
  if (request.path != "/metrics" && request.path != "/healthz") {
    response.status = 404;
    response.body = FailureStatusJson(404, "NotFound", "there are /metrics and /healthz");
    return response;
  }
  if (request.method != "GET" && request.method != "HEAD") {
    response.status = 405;
    response.body = FailureStatusJson(405, "MethodNotAllowed", "there are GET and HEAD");
    response.headers.emplace_back("Allow", "GET, HEAD");
    return response;
  }
  return std::nullopt;
}

HttpResponse MetricsHandler::Handle(const HttpRequest& request) {
  if (std::optional<HttpResponse> refusal = Refuse(request)) return *std::move(refusal);
  if (request.path == "/healthz") return Text(200, "ok");
  if (before_scrape_) before_scrape_();
  HttpResponse response = Text(200, registry_.Serialize());
  response.content_type = "text/plain; version=0.0.4; charset=utf-8";
  return response;
}

}  // namespace forkplane::apiserver
