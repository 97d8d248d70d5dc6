#include "controller/apiserver/metrics_handler.h"

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

HttpResponse MetricsHandler::Handle(const HttpRequest& request) {
  if (request.path != "/metrics" && request.path != "/healthz") return Text(404, "not found\n");
  if (request.method != "GET" && request.method != "HEAD") {
    HttpResponse response = Text(405, "only GET and HEAD\n");
    response.headers.emplace_back("Allow", "GET, HEAD");
    return response;
  }
  if (request.path == "/healthz") return Text(200, "ok");
  if (before_scrape_) before_scrape_();
  HttpResponse response = Text(200, registry_.Serialize());
  response.content_type = "text/plain; version=0.0.4; charset=utf-8";
  return response;
}

}  // namespace forkplane::apiserver
