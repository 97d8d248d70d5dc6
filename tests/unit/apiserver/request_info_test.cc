#include "controller/apiserver/rest/request_info.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace forkplane::apiserver {
namespace {

// "verb group/version ns resource name subresource", '-' for what is empty.
std::string Parse(const std::string& method, const std::string& target) {
  HttpRequest request;
  request.method = method;
  request.path = target.substr(0, target.find('?'));
  request.segments = *DecodePath(request.path);
  if (target.size() > request.path.size()) {
    request.query = *DecodeQuery(target.substr(request.path.size() + 1));
  }
  const RequestInfo info = ParseRequestInfo(request);
  if (!info.is_resource) return info.verb + " other";
  const auto or_dash = [](const std::string& text) { return text.empty() ? "-" : text; };
  return fmt::format("{} {}/{} {} {} {} {}", info.verb, info.group, info.version,
                     or_dash(info.namespace_name), info.resource, or_dash(info.name),
                     or_dash(info.subresource));
}

TEST(RequestInfo, ReadsThePathGrammar) {
  EXPECT_EQ(Parse("GET", "/api/v1/namespaces/default/configmaps"),
            "list /v1 default configmaps - -");
  EXPECT_EQ(Parse("GET", "/api/v1/namespaces/default/configmaps/a"),
            "get /v1 default configmaps a -");
  EXPECT_EQ(Parse("GET", "/api/v1/namespaces"), "list /v1 - namespaces - -");
  EXPECT_EQ(Parse("GET", "/api/v1/namespaces/default"), "get /v1 - namespaces default -");
  EXPECT_EQ(Parse("PUT", "/api/v1/namespaces/t/finalize"), "update /v1 - namespaces t finalize");
  EXPECT_EQ(Parse("GET", "/api/v1/namespaces/t/status"), "get /v1 - namespaces t status");
  EXPECT_EQ(Parse("PATCH", "/apis/g/v1/namespaces/t/things/a/scale"),
            "patch g/v1 t things a scale");
  EXPECT_EQ(Parse("POST", "/apis/g/v1/things"), "create g/v1 - things - -");
  EXPECT_EQ(Parse("DELETE", "/apis/g/v1/things"), "deletecollection g/v1 - things - -");
  EXPECT_EQ(Parse("DELETE", "/apis/g/v1/things/a"), "delete g/v1 - things a -");
  EXPECT_EQ(Parse("GET", "/apis/g/v1"), "get other");
  EXPECT_EQ(Parse("GET", "/apis/g/v1/a/b/c/d/e"), "get other");
  EXPECT_EQ(Parse("GET", "/version"), "get other");
}

TEST(RequestInfo, QueryBooleansAreReadAsGoReadsThem) {  // T192, finding 4
  for (const char* yes : {"watch=1", "watch=true", "watch=True", "watch", "watch="}) {
    EXPECT_EQ(Parse("GET", std::string("/apis/g/v1/things?") + yes), "watch g/v1 - things - -")
        << yes;
  }
  for (const char* no : {"watch=0", "watch=false", "watch=FALSE", "other=1"}) {
    EXPECT_EQ(Parse("GET", std::string("/apis/g/v1/things?") + no), "list g/v1 - things - -") << no;
  }
  // A named object is read, whatever the query says.
  EXPECT_EQ(Parse("GET", "/apis/g/v1/things/a?watch=1"), "get g/v1 - things a -");
}

}  // namespace
}  // namespace forkplane::apiserver
