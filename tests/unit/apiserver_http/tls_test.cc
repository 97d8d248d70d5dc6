// Goal: who a client is. No certificate: anonymous. Ours: its CN and O. A foreign CA's: no
// connection at all.
#include "controller/apiserver/http/tls.h"

#include <gtest/gtest.h>

#include "controller/apiserver/http/pki.h"
#include "tests/unit/apiserver_http/client.h"

namespace forkplane::apiserver {
namespace {

HttpResponse WhoAmI(const HttpRequest& request) {
  HttpResponse response;
  response.body = "anonymous";
  if (request.peer) {
    response.body = request.peer->common_name;
    for (const std::string& group : request.peer->organizations) response.body += "|" + group;
  }
  response.body += " from " + request.remote_address;
  return response;
}

constexpr const char* kGet = "GET / HTTP/1.1\r\n\r\n";

TEST(TlsTest, ACertificateOfOursIsTheUser) {
  const TestServer server(true, WhoAmI);
  EXPECT_EQ(server.Connect()->Ask(kGet).body, "admin|system:masters from 127.0.0.1");
}

TEST(TlsTest, WithoutACertificateTheClientIsAnonymous) {
  const TestServer server(true, WhoAmI);
  EXPECT_EQ(Client(server.port(), ClientTls{}).Ask(kGet).body, "anonymous from 127.0.0.1");
}

TEST(TlsTest, ACertificateOfAForeignCaIsRefused) {
  metrics::Registry registry;
  HttpServerOptions options;
  options.registry = &registry;
  TestServer server(true, WhoAmI, options);
  const testing::TempDir directory;
  ASSERT_TRUE(EnsurePki(directory.File("pki"), {}, RealClock()).ok());
  Client client(server.port(), ClientTls{.certificate = directory.File("pki/admin.crt"),
                                         .key = directory.File("pki/admin.key")});
  // In TLS 1.3 the client may believe the handshake done before it reads the alert.
  EXPECT_EQ(client.Ask(kGet).status, 0);
  server.server().Stop();
  EXPECT_NE(registry.Serialize().find("forkplane_http_handshakes_failed_total{listener=\"api\"} 1"),
            std::string::npos);
}

// A server certificate must not be good for a client.
TEST(TlsTest, ACertificateForServersIsNoClient) {
  const TestServer server(true, WhoAmI);
  Client client(server.port(), ClientTls{.certificate = PkiDirectory() + "/server.crt",
                                         .key = PkiDirectory() + "/server.key"});
  EXPECT_EQ(client.Ask(kGet).status, 0);
}

TEST(TlsTest, OldProtocolsAreRefused) {
  const TestServer server(true, WhoAmI);
  EXPECT_FALSE(Client(server.port(), ClientTls{.version_max = TLS1_1_VERSION}).ok());
  EXPECT_TRUE(Client(server.port(), ClientTls{.version_max = TLS1_2_VERSION}).ok());
  EXPECT_TRUE(Client(server.port(), ClientTls{.version_max = TLS1_3_VERSION}).ok());
}

TEST(TlsTest, AResumedSessionKeepsTheIdentity) {
  const TestServer server(true, WhoAmI);
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    ClientTls tls = AdminTls();
    tls.version_max = version;
    Client first(server.port(), tls);
    const std::string who = first.Ask(kGet).body;
    SSL_SESSION* session = SSL_get1_session(first.ssl());
    tls.resume = session;
    Client second(server.port(), tls);
    EXPECT_EQ(second.Ask(kGet).body, who);
    EXPECT_TRUE(SSL_session_reused(second.ssl())) << version;
    SSL_SESSION_free(session);
  }
}

TEST(TlsTest, PlainBytesOnATlsPortEndTheConnection) {
  const TestServer server(true, WhoAmI);
  Client client(server.port());
  client.Send(kGet);
  EXPECT_TRUE(client.WaitClosed(5000));
}

}  // namespace
}  // namespace forkplane::apiserver
