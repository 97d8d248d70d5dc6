#include "controller/apiserver/health.h"

#include "controller/apiserver/rest/api_status.h"
#include "controller/apiserver/rest/request_info.h"
#include "controller/base/log.h"

namespace forkplane::apiserver {
namespace {

HttpResponse Text(int status, std::string body) {
  return {.status = status, .content_type = "text/plain; charset=utf-8", .body = std::move(body)};
}

// The reason stays in the log: health is open to everybody.
bool Passes(const HealthCheck& check) {
  const Status status = check.check();
  if (!status.ok()) {
    log::Warn("health check failed", {{"check", check.name}, {"error", status.error()}});
  }
  return status.ok();
}

bool Excluded(const HttpRequest& request, const std::string& name) {
  const auto [begin, end] = request.query.equal_range("exclude");
  return std::any_of(begin, end, [&name](const auto& item) { return item.second == name; });
}

}  // namespace

HttpResponse Health::Handle(const HttpRequest& request) const {
  const std::string& endpoint = request.segments.front();
  std::string lines;
  bool healthy = true;
  bool found = request.segments.size() == 1;
  for (const HealthCheck& check : checks_) {
    if (endpoint == "livez" && !check.live) continue;
    if (request.segments.size() > 1) {
      if (request.segments[1] != check.name) continue;
      found = true;
    } else if (Excluded(request, check.name)) {
      lines += fmt::format("[+]{} excluded: ok\n", check.name);
      continue;
    }
    const bool passes = Passes(check);
    healthy = healthy && passes;
    lines += passes ? fmt::format("[+]{} ok\n", check.name)
                    : fmt::format("[-]{} failed: reason withheld\n", check.name);
  }
  if (!found || request.segments.size() > 2) return ToResponse(NoSuchPath());
  if (!healthy) return Text(500, fmt::format("{}{} check failed\n", lines, endpoint));
  if (!QueryBool(request, "verbose")) return Text(200, "ok");
  return Text(200, fmt::format("{}{} check passed\n", lines, endpoint));
}

}  // namespace forkplane::apiserver
