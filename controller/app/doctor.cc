#include "controller/app/doctor.h"

#include <fmt/ranges.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "controller/app/doctor_probes.h"

namespace forkplane::app {

std::string_view ToString(Level level) {
  switch (level) {
    case Level::kOk:
      return "ok";
    case Level::kDegraded:
      return "degraded";
    case Level::kMissing:
      return "missing";
  }
  return "missing";
}

Finding Ok(std::string what, std::string detail) {
  return {Level::kOk, std::move(what), std::move(detail), {}};
}

Finding Degraded(std::string what, std::string detail, std::string remedy) {
  return {Level::kDegraded, std::move(what), std::move(detail), std::move(remedy)};
}

Finding Missing(std::string what, std::string detail, std::string remedy) {
  return {Level::kMissing, std::move(what), std::move(detail), std::move(remedy)};
}

std::string RenderText(const std::vector<Finding>& findings) {
  std::size_t width = 0;
  for (const Finding& finding : findings) width = std::max(width, finding.what.size());
  std::string text;
  for (const Finding& finding : findings) {
    text += fmt::format("{:<8}  {:<{}}  {}", ToString(finding.level), finding.what, width,
                        finding.detail);
    if (!finding.remedy.empty()) text += " -- get it: " + finding.remedy;
    text += '\n';
  }
  return text;
}

std::string RenderJson(const std::vector<Finding>& findings) {
  using Json = nlohmann::ordered_json;
  Json list = Json::array();
  for (const Finding& finding : findings) {
    list.push_back({{"level", ToString(finding.level)},
                    {"what", finding.what},
                    {"detail", finding.detail},
                    {"remedy", finding.remedy}});
  }
  // Paths and the kernel's words may be any bytes.
  return list.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

Status Verdict(const std::vector<Finding>& findings) {
  std::vector<std::string_view> missing;
  for (const Finding& finding : findings) {
    if (finding.level == Level::kMissing) missing.push_back(finding.what);
  }
  if (missing.empty()) return OkStatus();
  return Unavailable(fmt::format("missing on this host: {}", fmt::join(missing, ", ")));
}

Status Doctor(const Options& options, bool json) {
  const std::vector<Finding> findings = ProbeAll(options);
  fmt::print("{}", json ? RenderJson(findings) : RenderText(findings));
  return Verdict(findings);
}

}  // namespace forkplane::app
