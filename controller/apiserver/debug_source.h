// What /debug/... shows, supplied by the app: the API server knows neither reconcilers nor the
// ledger.
#pragma once

#include <string>
#include <string_view>

#include "controller/base/result.h"

namespace forkplane::apiserver {

// Thread-safe; must outlive the server. Reads only.
class DebugSource {
 public:
  virtual ~DebugSource() = default;
  // /debug/plan/CONTROLLER/KEY: {"desired", "observed", "plan"} as JSON text
  // (runtime::Reconciler::Explain). `key` may hold a slash ("default/a"). NotFound: no such
  // controller.
  virtual Result<std::string> Plan(std::string_view controller, std::string_view key) = 0;
  // /debug/ledger: every lease as JSON text.
  virtual Result<std::string> Ledger() = 0;
};

}  // namespace forkplane::apiserver
