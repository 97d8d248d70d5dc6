// The whole API without sockets: a memory-backed store, the type registry with our kinds and a test
// kind, and the handler that the HTTP server would call.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "controller/apiserver/api_server.h"
#include "controller/apiserver/loops/background.h"
#include "controller/base/rng.h"
#include "controller/store/local_object_store.h"
#include "crd/json.h"
#include "crd/type_registry.h"

namespace forkplane::apiserver::testing {

using crd::Json;

struct Reply {
  int code = 0;
  std::string text;
  Json json;  // null when the text is none
  std::vector<std::pair<std::string, std::string>> headers;
  std::string content_type;
  StreamFunction stream;

  std::string Header(const std::string& name) const;
  std::string reason() const { return json.value("reason", ""); }
  std::string message() const { return json.value("message", ""); }
};

using Headers = std::map<std::string, std::string>;

// Whether a refusal is what a Kubernetes client expects of one: a Status with its code, a reason
// and a message, as JSON.
bool IsStatus(const Reply& reply);

// Collects what a watch writes; Wait is a real poll(2).
class TestSink final : public StreamSink {
 public:
  bool Write(std::string_view bytes) override;
  Event Wait(int eventfd, MonotonicTime deadline) override;
  void Close() { closed_ = true; }

  // The lines written so far, parsed.
  std::vector<Json> Events() const;
  // Waits until that many lines are there; false after ten seconds.
  bool AwaitEvents(std::size_t count);

 private:
  mutable Mutex mu_;
  CondVar written_;
  std::string text_ GUARDED_BY(mu_);
  std::atomic<bool> closed_ = false;
};

class ApiTest : public ::testing::Test {
 protected:
  ApiTest();
  ~ApiTest() override;

  // A new process on what the store holds: types, store and server are made anew.
  void Restart();
  // Puts the server on another store, whose content is that of the log.
  void OpenStore(std::unique_ptr<store::RevisionLog> log);

  // As the admin, unless `peer` says otherwise.
  Reply Do(const std::string& method, const std::string& target, const std::string& body = {},
           Headers headers = {});
  Reply Get(const std::string& target, Headers headers = {}) {
    return Do("GET", target, {}, std::move(headers));
  }
  Reply Post(const std::string& target, const Json& body) {
    return Do("POST", target, body.dump());
  }
  Reply Put(const std::string& target, const Json& body) { return Do("PUT", target, body.dump()); }
  Reply Patch(const std::string& target, const Json& body) {
    return Do("PATCH", target, body.dump(), {{"content-type", "application/merge-patch+json"}});
  }
  Reply Delete(const std::string& target, const std::string& body = {}) {
    return Do("DELETE", target, body);
  }

  // A valid object of the test kind.
  static Json Widget(const std::string& name, int cpus = 1);
  Json MustCreate(const std::string& name, int cpus = 1);

  // Reasons of the Events that the background loops told of the object, in their order.
  std::vector<std::string> Told(const std::string& name) EXCLUDES(told_mu_);
  // Starts the background loops.
  void StartBackground();
  // Waits on a watch of the collection until `done` holds for the object; false after ten seconds.
  bool AwaitObject(const std::string& collection, const std::string& name,
                   const std::function<bool(const Json&)>& done);
  bool AwaitGone(const std::string& collection, const std::string& name);
  // Returns when the background loops have acted on everything that was written before.
  void PassTheLoops();

 private:
  void MakeTypes();
  void OpenOn(std::shared_ptr<store::RevisionLog> log);

 protected:
  metrics::Registry metrics_;
  SeededRng rng_{1};
  std::shared_ptr<store::RevisionLog> log_;  // of the store; outlives it in Restart
  std::atomic<bool> log_refuses_ = false;    // like a disk that is full
  std::unique_ptr<crd::TypeRegistry> registry_;
  std::unique_ptr<store::LocalObjectStore> store_;
  std::unique_ptr<ApiServer> server_;
  Mutex told_mu_;
  std::multimap<std::string, std::string> told_ GUARDED_BY(told_mu_);  // object's name, reason
  std::unique_ptr<Background> background_;
  std::optional<TlsPeer> peer_ = TlsPeer{"admin", {"system:masters"}};
};

inline const std::string kWidgets = "/apis/test.dev/v1/namespaces/default/widgets";
inline const std::string kAllWidgets = "/apis/test.dev/v1/widgets";
inline const std::string kCrds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
inline const std::string kNamespaces = "/api/v1/namespaces";
inline const std::string kConfigMaps = "/api/v1/namespaces/default/configmaps";
inline const std::string kTableAccept =
    "application/json;as=Table;v=v1;g=meta.k8s.io,"
    "application/json;as=Table;v=v1beta1;g=meta.k8s.io";

// The definition of the test kind.
Json WidgetCrd();

}  // namespace forkplane::apiserver::testing
