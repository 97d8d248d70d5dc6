// Stored objects in the form the client asked for: as they are, as Table rows, or metadata only.
#pragma once

#include <string>
#include <vector>

#include "controller/apiserver/http/http.h"
#include "controller/apiserver/rest/api_status.h"
#include "controller/apiserver/rest/negotiation.h"
#include "controller/apiserver/rest/table.h"
#include "controller/store/object_store.h"
#include "crd/resource_type.h"

namespace forkplane::apiserver {

// The object's text in this version of its resource. Versions differ in apiVersion only (conversion
// strategy None).
std::string TextInVersion(const store::Object& object, const crd::ResourceType& type);

// One per request.
class Renderer {
 public:
  // 406 when nothing acceptable is asked for, 400 for a bad includeObject.
  static ApiResult<Renderer> Make(const HttpRequest& request, crd::ResourceTypePtr type,
                                  const Clock& clock, const Offer& offer = {});

  HttpResponse Object(const store::Object& object, int code) const;
  HttpResponse List(const store::ListResult& list) const;

  // The object of one watch event. Only the first event of a stream carries column definitions.
  std::string EventObject(const store::Object& object, bool first) const;
  // The object of a BOOKMARK; "" when the form has none (Table).
  std::string BookmarkObject(store::Revision revision, bool initial_events_end) const;
  bool IsTable() const { return negotiated_.transform == Transform::kTable; }

 private:
  std::string PartialMetadata(const store::Object& object) const;
  std::string ItemsText(const std::vector<store::ObjectPtr>& items) const;

  crd::ResourceTypePtr type_;
  Negotiated negotiated_;
  IncludeObject include_ = IncludeObject::kMetadata;
  const Clock* clock_ = nullptr;
  bool pretty_ = false;
};

// Turns a body of JSON into the form that was negotiated.
void Finish(const Negotiated& negotiated, bool pretty, HttpResponse& response);

// `{"resourceVersion":"7",...}` of a list.
std::string ListMetaText(const store::ListResult& list);

}  // namespace forkplane::apiserver
