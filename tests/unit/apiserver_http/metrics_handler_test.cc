#include "controller/apiserver/http/metrics_handler.h"

#include <gtest/gtest.h>

#include "tests/unit/apiserver_http/client.h"

namespace forkplane::apiserver {
namespace {

TEST(MetricsHandlerTest, ServesTheRegistryAndNothingElse) {
  metrics::Registry registry;
  registry.AddCounter("a_total", "help").Increment(3);
  MetricsHandler handler(registry);
  HttpServerOptions options{.name = "metrics", .address = "127.0.0.1:0"};
  options.registry = &registry;
  const auto server = HttpServer::Start(options, handler).value();
  Client client(server->port());
  const Answer answer = client.Ask("GET /metrics HTTP/1.1\r\n\r\n");
  EXPECT_EQ(answer.status, 200);
  EXPECT_TRUE(answer.headers.at("content-type").starts_with("text/plain; version=0.0.4"));
  EXPECT_NE(answer.body.find("a_total 3"), std::string::npos);
  EXPECT_NE(answer.body.find("forkplane_http_connections{listener=\"metrics\"} 1"),
            std::string::npos);
  EXPECT_EQ(client.Ask("GET /healthz HTTP/1.1\r\n\r\n").body, "ok");
  EXPECT_EQ(client.Ask("GET /api HTTP/1.1\r\n\r\n").status, 404);
  EXPECT_EQ(client.Ask("POST /metrics HTTP/1.1\r\n\r\n").status, 405);
}

TEST(MetricsHandlerTest, LooksBeforeEveryScrape) {
  metrics::Registry registry;
  metrics::Gauge age = registry.AddGauge("age_seconds", "help");
  MetricsHandler handler(registry, [&age] { age.Add(1); });
  const auto server =
      HttpServer::Start({.name = "metrics", .address = "127.0.0.1:0"}, handler).value();
  Client client(server->port());
  EXPECT_NE(client.Ask("GET /metrics HTTP/1.1\r\n\r\n").body.find("age_seconds 1"),
            std::string::npos);
  client.Ask("GET /healthz HTTP/1.1\r\n\r\n");
  EXPECT_NE(client.Ask("GET /metrics HTTP/1.1\r\n\r\n").body.find("age_seconds 2"),
            std::string::npos);
}

}  // namespace
}  // namespace forkplane::apiserver
