#include "tests/unit/apiserver/api_fixture.h"

namespace forkplane::apiserver::testing {
namespace {

class AuthTest : public ApiTest {};

TEST_F(AuthTest, AnonymousSeesVersionAndHealthOnly) {  // T236
  peer_.reset();
  for (const char* path : {"/version", "/healthz", "/livez", "/readyz", "/readyz?verbose"}) {
    EXPECT_EQ(Get(path).code, 200) << path;
  }
  for (const std::string& path :
       {std::string("/api"), std::string("/apis"), kWidgets, std::string("/openapi/v3"),
        std::string("/"), std::string("/debug/ledger")}) {
    const Reply reply = Get(path);
    EXPECT_EQ(reply.code, 401) << path;
    EXPECT_EQ(reply.reason(), "Unauthorized");
  }
  EXPECT_EQ(Do("POST", "/version").code, 401);
}

// Before there is a body: by certificate, verb and URL.
TEST_F(AuthTest, TheHeadAloneDecides) {
  HttpRequest request;
  request.method = "POST";
  request.path = kWidgets;
  request.segments = *DecodePath(kWidgets);
  std::optional<HttpResponse> refusal = server_->Refuse(request);
  ASSERT_TRUE(refusal);
  EXPECT_EQ(refusal->status, 401);
  request.peer = TlsPeer{"bob", {"developers"}};
  refusal = server_->Refuse(request);
  ASSERT_TRUE(refusal);
  EXPECT_EQ(refusal->status, 403);
  EXPECT_EQ(Json::parse(refusal->body)["message"],
            "widgets.test.dev is forbidden: User \"bob\" cannot create resource \"widgets\" in "
            "API group \"test.dev\" in the namespace \"default\"");
  request.peer = peer_;
  EXPECT_FALSE(server_->Refuse(request));
  const std::string text = metrics_.Serialize();
  for (const char* code : {"401", "403"}) {
    EXPECT_NE(text.find(fmt::format("apiserver_request_total{{code=\"{}\",resource=\"widgets\","
                                    "verb=\"POST\"}} 1",
                                    code)),
              std::string::npos)
        << text;
  }
}

TEST_F(AuthTest, AnotherGroupIsForbiddenInKubernetesWords) {  // T237
  peer_ = TlsPeer{"bob", {"developers"}};
  const Reply list = Get(kWidgets);
  EXPECT_EQ(list.code, 403);
  EXPECT_EQ(list.reason(), "Forbidden");
  EXPECT_EQ(list.message(),
            "widgets.test.dev is forbidden: User \"bob\" cannot list resource \"widgets\" in API "
            "group \"test.dev\" in the namespace \"default\"");
  EXPECT_EQ(Get("/apis").message(), "forbidden: User \"bob\" cannot get path \"/apis\"");
  EXPECT_EQ(Get("/version").code, 200);
  EXPECT_EQ(Post(kWidgets, Widget("a")).code, 403);
}

TEST_F(AuthTest, ImpersonationIsRefused) {
  EXPECT_EQ(Get(kWidgets, {{"impersonate-user", "bob"}}).code, 403);
}

TEST_F(AuthTest, VersionIsWhatKubectlReads) {  // T001
  const Json version = Get("/version").json;
  EXPECT_EQ(version["major"], "1");
  EXPECT_EQ(version["minor"], "32");
  EXPECT_TRUE(version["gitVersion"].get<std::string>().starts_with("v1.32."));
}

TEST_F(AuthTest, HealthSpeaksAsUpstream) {  // T002 T003 T004 T006
  for (const char* path : {"/healthz", "/livez", "/readyz", "/livez/ping"}) {
    const Reply reply = Get(path);
    EXPECT_EQ(reply.code, 200) << path;
    EXPECT_EQ(reply.text, "ok");
    EXPECT_EQ(reply.content_type, "text/plain; charset=utf-8");
  }
  EXPECT_EQ(Get("/readyz?verbose").text, "[+]ping ok\n[+]store ok\nreadyz check passed\n");
  EXPECT_EQ(Get("/readyz?verbose&exclude=store").text,
            "[+]ping ok\n[+]store excluded: ok\nreadyz check passed\n");
  EXPECT_EQ(Get("/livez/nope").code, 404);
}

TEST_F(AuthTest, AFailingCheckIsVerboseAndKeepsItsReason) {  // T005
  ApiServer sick({.store = *store_,
                  .registry = *registry_,
                  .clock = RealClock(),
                  .metrics = metrics_,
                  .checks = {{.name = "disk",
                              .check = []() -> Status { return Internal("secret detail"); }}}});
  HttpRequest request;
  request.method = "GET";
  request.segments = {"readyz"};
  const HttpResponse ready = sick.Handle(request);
  EXPECT_EQ(ready.status, 500);
  EXPECT_EQ(ready.body,
            "[+]ping ok\n[+]store ok\n[-]disk failed: reason withheld\nreadyz check failed\n");
  request.segments = {"livez"};  // not a matter of life
  EXPECT_EQ(sick.Handle(request).status, 200);
}

// Goal: a store that cannot write takes the server out of service, and no restart is asked for.
// Method: a log that refuses.
TEST_F(AuthTest, ReadyzFailsWhileTheStoreCannotWrite) {
  log_refuses_ = true;
  ASSERT_EQ(Post(kWidgets, Widget("a")).code, 503);
  EXPECT_EQ(Get("/readyz").code, 500);
  EXPECT_EQ(Get("/readyz").text,
            "[+]ping ok\n[-]store failed: reason withheld\nreadyz check failed\n");
  EXPECT_EQ(Get("/livez").code, 200);
  log_refuses_ = false;
  EXPECT_EQ(Get("/readyz").code, 200);
  EXPECT_EQ(Post(kWidgets, Widget("a")).code, 201);
}

// A scanner makes no series, whether it may or may not: labels are words of the server's own.
TEST_F(AuthTest, RequestsAreCounted) {
  (void)Get(kWidgets);
  (void)Get(kWidgets + "/guess");
  for (const bool admin : {true, false}) {
    if (!admin) peer_.reset();
    for (const char* target :
         {"/apis/guess/v1/widgets", "/apis/test.dev/guess/widgets", "/apis/test.dev/v1/guess",
          "/apis/test.dev/v1/namespaces/guess/widgets/guess/guess", "/guess", "/apis/guess/v1"}) {
      for (const char* method : {"GET", "POST", "GUESS"}) (void)Do(method, target);
    }
  }
  const std::string text = metrics_.Serialize();
  for (const char* series : {"code=\"200\",resource=\"widgets\",verb=\"LIST\"} 1\n",
                             "code=\"404\",resource=\"widgets\",verb=\"GET\"} 2\n",
                             "code=\"401\",resource=\"\",verb=\"OTHER\"} "}) {
    EXPECT_NE(text.find(std::string("apiserver_request_total{") + series), std::string::npos)
        << series << "\n"
        << text;
  }
  EXPECT_EQ(text.find("guess"), std::string::npos) << text;
  EXPECT_EQ(text.find("GUESS"), std::string::npos) << text;
}

}  // namespace
}  // namespace forkplane::apiserver::testing
