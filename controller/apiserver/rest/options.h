// The query parameters and option bodies of the verbs, parsed and checked.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "controller/apiserver/http/http.h"
#include "controller/apiserver/rest/api_status.h"
#include "controller/store/object_store.h"

namespace forkplane::apiserver {

enum class FieldValidation : std::uint8_t { kIgnore, kWarn, kStrict };

struct WriteQuery {
  bool dry_run = false;
  FieldValidation validation = FieldValidation::kWarn;
};

// `options_kind`: CreateOptions, UpdateOptions or PatchOptions, for the text of a refusal.
ApiResult<WriteQuery> ParseWriteQuery(const HttpRequest& request, std::string_view options_kind);

struct ListQuery {
  store::LabelSelector labels;
  store::FieldSelector fields;
  std::int64_t limit = 0;
  std::string continue_token;
  // nullopt: unset (the newest). 0: anything.
  std::optional<store::Revision> revision;
  bool exact = false;  // resourceVersionMatch=Exact
  bool bookmarks = false;
  bool initial_events = false;
  std::optional<std::chrono::seconds> timeout;  // of a watch
};

// `watch`: sendInitialEvents and bookmarks belong to watches only.
ApiResult<ListQuery> ParseListQuery(const HttpRequest& request, bool watch);

// DeleteOptions from the body and the query; a value in both may differ, then the body wins. 400
// (types, unknown fields and query parameters, another kind) or 422 (values): nothing that was sent
// is passed over.
ApiResult<store::DeleteOptions> ParseDeleteOptions(const HttpRequest& request);

}  // namespace forkplane::apiserver
