// Goal: a name in a URL is a name, never a path: nothing in it climbs, splits or ends early.
#include "tests/unit/apiserver/api_fixture.h"

namespace forkplane::apiserver::testing {
namespace {

class HostileTargetTest : public ApiTest {};

TEST_F(HostileTargetTest, EncodedSlashesAndDotsStayInsideTheName) {
  MustCreate("a");
  for (const char* name :
       {"..", "%2e%2e", ".", "%2e", "..%2fa", "%2e%2e%2fwidgets%2fa", "a%2f", "a%2fstatus", "%2fa",
        "a%00", "a%00b", "%00", "a%20", "a%0d%0a", "A", "%ff", "a%252f", "a;x=y"}) {
    for (const char* method : {"GET", "PUT", "PATCH", "DELETE"}) {
      const Reply reply = std::string_view(method) == "PATCH"
                              ? Patch(kWidgets + "/" + name, {{"spec", {{"cpus", 7}}}})
                              : Do(method, kWidgets + "/" + name,
                                   std::string_view(method) == "PUT" ? Widget("a", 7).dump() : "");
      EXPECT_TRUE(reply.code == 404 || reply.code == 400 || reply.code == 422)
          << method << " " << name << " " << reply.text;
      EXPECT_TRUE(IsStatus(reply)) << method << " " << name << " " << reply.text;
    }
  }
  EXPECT_EQ(Get(kWidgets + "/a").json["spec"]["cpus"], 1) << "untouched";
}

TEST_F(HostileTargetTest, AnEncodedSlashMakesNoOtherResource) {
  for (const std::string& target :
       {std::string("/apis%2ftest.dev/v1/widgets"), std::string("/apis/test.dev%2fv1/widgets"),
        std::string("/apis/test.dev/v1/namespaces%2fdefault%2fwidgets"),
        std::string("/api/v1/namespaces/default%2fconfigmaps"),
        std::string("/apis/test.dev/v1/namespaces/default/../kube-system/widgets")}) {
    const Reply reply = Get(target);
    EXPECT_EQ(reply.code, 404) << target;
    EXPECT_TRUE(IsStatus(reply)) << target << " " << reply.text;
  }
  // Nor does it open what needs a certificate.
  peer_.reset();
  for (const char* target : {"/version/..%2fapi", "/healthz%2f..%2fapi", "/version%2f",
                             "/./version", "/x/../version", "/VERSION", "/version%00"}) {
    EXPECT_EQ(Get(target).code, 401) << target;
  }
  for (const char* target : {"/healthz/../../api", "/livez/%2e%2e/api/v1/secrets"}) {
    const Reply reply = Get(target);
    EXPECT_EQ(reply.code, 404) << target;
    EXPECT_TRUE(IsStatus(reply)) << target << " " << reply.text;
  }
}

// As long as the head may be.
TEST_F(HostileTargetTest, LongQueriesAreAnswered) {
  std::string labels = "a%3Db";
  std::string many = "x";
  while (labels.size() < 60'000) labels += ",a%3Db";
  while (many.size() < 60'000) many += "&x";
  EXPECT_EQ(Get(kWidgets + "?labelSelector=" + labels).code, 200);
  EXPECT_EQ(Get(kWidgets + "?" + many).code, 200);
  EXPECT_EQ(Get("/readyz?" + many + "&exclude=ping").code, 200);
  for (const char* name : {"labelSelector", "fieldSelector", "limit", "continue", "resourceVersion",
                           "dryRun", "hash"}) {
    const Reply reply = Get(kWidgets + "?" + name + "=" + std::string(60'000, '('));
    EXPECT_TRUE(reply.code == 200 || IsStatus(reply)) << name << " " << reply.code;
    EXPECT_LT(reply.code, 500) << name;
  }
}

}  // namespace
}  // namespace forkplane::apiserver::testing
