// `forkplane doctor`: what this host has and lacks, how to get it, and what is used instead.
//
// The list of findings is a plain value; gathering it (doctor_probes.h) and showing it are apart.
// Features are tried for real, with the drivers the daemon uses, because what a kernel says of
// itself and what it does differ (a module that cannot be loaded, a container that forbids it).
// NOTE Effects: nothing is left behind; links, qdiscs, programs and tables are tried in a network
// namespace of the probe's own. Safe beside a running daemon.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "controller/app/options.h"
#include "controller/base/result.h"

namespace forkplane::app {

enum class Level : std::uint8_t {
  kOk,
  kDegraded,  // the daemon works; `detail` says what is used instead
  kMissing,   // required
};
std::string_view ToString(Level level);  // "ok", "degraded", "missing"

struct Finding {
  Level level = Level::kOk;
  std::string what;    // "bridge", stable: scripts compare it
  std::string detail;  // a version, a path, the kernel's refusal; what is used instead
  std::string remedy;  // how to get it; empty exactly when ok
  bool operator==(const Finding&) const = default;
};

Finding Ok(std::string what, std::string detail);
Finding Degraded(std::string what, std::string detail, std::string remedy);
Finding Missing(std::string what, std::string detail, std::string remedy);

// One line each: level, what, detail, and for what is not ok " -- get it: " and the remedy.
std::string RenderText(const std::vector<Finding>& findings);
// An array of {"level", "what", "detail", "remedy"}, indented, with a newline at its end.
std::string RenderJson(const std::vector<Finding>& findings);

// Ok unless something required is missing; then Unavailable, naming each. It is the exit code.
Status Verdict(const std::vector<Finding>& findings);

// Probes, prints to stdout and returns the verdict.
Status Doctor(const Options& options, bool json);

}  // namespace forkplane::app
