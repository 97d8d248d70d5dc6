// The API server alone, for tests with real clients: SQLite store, TLS, our kinds, no reconcilers.
// Usage: forkplane_api_only STATE_DIR. Prints the kubeconfig's path when it serves, and stops when
// its standard input ends.
#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>

#include "controller/apiserver/api_server.h"
#include "controller/apiserver/http/http_server.h"
#include "controller/apiserver/http/pki.h"
#include "controller/apiserver/loops/background.h"
#include "controller/base/rng.h"
#include "controller/store/local_object_store.h"

namespace forkplane::apiserver {
namespace {

Status Serve(const std::string& state_dir) {
  metrics::Registry metrics;
  ASSIGN_OR_RETURN(const std::unique_ptr<crd::TypeRegistry> registry, crd::NewTypeRegistry());
  ASSIGN_OR_RETURN(
      std::unique_ptr<store::RevisionLog> revisions,
      store::OpenSqliteLog(
          {.path = state_dir + "/store.db", .first = 0, .reserve_path = state_dir + "/revisions"},
          SystemRng()));
  ASSIGN_OR_RETURN(const std::unique_ptr<store::LocalObjectStore> store,
                   store::LocalObjectStore::Open(std::move(revisions),
                                                 {.types = registry.get(), .gate = nullptr},
                                                 RealClock(), SystemRng(), metrics));
  Background background(
      {.store = *store, .registry = *registry, .clock = RealClock(), .metrics = metrics});
  RETURN_IF_ERROR(background.Start());
  ApiServer api({.store = *store, .registry = *registry, .clock = RealClock(), .metrics = metrics});
  ASSIGN_OR_RETURN(const TlsFiles files, EnsurePki(state_dir + "/pki", {}, RealClock()));
  ASSIGN_OR_RETURN(const std::shared_ptr<TlsContext> tls, TlsContext::Open(files));
  HttpServerOptions options;
  options.address = "127.0.0.1:0";
  options.tls = tls;
  options.registry = &metrics;
  ASSIGN_OR_RETURN(const std::unique_ptr<HttpServer> server, HttpServer::Start(options, api));
  const std::string kubeconfig = state_dir + "/kubeconfig";
  RETURN_IF_ERROR(WriteKubeconfig(state_dir + "/pki",
                                  fmt::format("https://127.0.0.1:{}", server->port()), kubeconfig));
  fmt::print("{}\n", kubeconfig);
  std::fflush(stdout);
  char byte = 0;
  while (::read(STDIN_FILENO, &byte, 1) > 0) {
  }
  server->Stop();
  background.Stop();
  return OkStatus();
}

}  // namespace
}  // namespace forkplane::apiserver

int main(int argc, char** argv) {
  if (argc != 2) {
    fmt::print(stderr, "usage: forkplane_api_only STATE_DIR\n");
    return 2;
  }
  const forkplane::Status status = forkplane::apiserver::Serve(argv[1]);
  if (status.ok()) return 0;
  fmt::print(stderr, "forkplane_api_only: {}\n", status.error().message);
  return 1;
}
