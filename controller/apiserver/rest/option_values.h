// The values that options have in common, read once: from a query or a body, each with the refusal
// that Kubernetes gives.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "controller/apiserver/http/http.h"
#include "controller/apiserver/rest/api_status.h"
#include "controller/store/object.h"

namespace forkplane::apiserver {

// All non-empty values of a query parameter.
std::vector<std::string> QueryAll(const HttpRequest& request, const std::string& name);

// True: "All" was given. `kind`: CreateOptions, DeleteOptions, ..., for the refusal of anything
// else.
ApiResult<bool> ParseDryRun(const std::vector<std::string>& values, std::string_view kind);

ApiResult<std::int64_t> ParseInteger(std::string_view text, std::string_view name);
ApiResult<store::Revision> ParseResourceVersion(std::string_view text);

// `supported` as it is printed: `"Foreground", "Background"`.
ApiStatus UnsupportedOption(std::string_view kind, std::string_view field, std::string_view value,
                            std::string_view supported);

// Which query parameters of a write are refused, because the request would not do what they say.
enum class Unknown : std::uint8_t {
  kRefused,     // all that the verb does not have: a deletion that ignores one deletes too much
  kMisspelled,  // only those that differ from one of the verb's in case, "-" and "_": dry_run
};
// BadRequest that names the parameter and, when there is one, what was probably meant.
ApiResult<bool> CheckParameters(const HttpRequest& request,
                                const std::vector<std::string_view>& known, Unknown unknown);

}  // namespace forkplane::apiserver
