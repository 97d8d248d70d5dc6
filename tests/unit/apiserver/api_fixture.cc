#include "tests/unit/apiserver/api_fixture.h"

#include <poll.h>

#include "controller/apiserver/loops/namespace_controller.h"
#include "crd/yaml.h"

namespace forkplane::apiserver::testing {
namespace {

constexpr std::string_view kWidgetCrdYaml = R"(
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.test.dev}
spec:
  group: test.dev
  scope: Namespaced
  names:
    {plural: widgets, singular: widget, kind: Widget, listKind: WidgetList,
     shortNames: [wd], categories: [all]}
  versions:
  - name: v1
    served: true
    storage: true
    selectableFields: [{jsonPath: .spec.mode}]
    subresources:
      status: {}
      scale:
        specReplicasPath: .spec.replicas
        statusReplicasPath: .status.replicas
        labelSelectorPath: .status.selector
    additionalPrinterColumns:
    - {name: Phase, type: string, jsonPath: .status.phase, description: Where it stands}
    - {name: Cpus, type: integer, jsonPath: .spec.cpus}
    - {name: Ready, type: string, jsonPath: '.status.conditions[?(@.type=="Ready")].status'}
    - {name: Mode, type: string, jsonPath: .spec.mode, priority: 1}
    - {name: Age, type: date, jsonPath: .metadata.creationTimestamp}
    schema:
      openAPIV3Schema:
        type: object
        description: Widget is what tests make.
        required: [spec]
        properties:
          spec:
            type: object
            description: Desired state.
            required: [cpus]
            properties:
              cpus: {type: integer, minimum: 1, maximum: 64, description: How many.}
              mode: {type: string, enum: [warm, cold], default: warm}
              name: {type: string, pattern: '^[a-z]+$'}
              replicas: {type: integer, minimum: 0, default: 1}
              tags: {type: array, x-kubernetes-list-type: set, items: {type: string}}
              nics:
                type: array
                x-kubernetes-list-type: map
                x-kubernetes-list-map-keys: [name]
                items:
                  type: object
                  required: [name]
                  properties: {name: {type: string}, net: {type: string}}
          status:
            type: object
            properties:
              phase: {type: string}
              replicas: {type: integer}
              selector: {type: string}
              conditions:
                type: array
                items: {type: object, x-kubernetes-preserve-unknown-fields: true}
)";

// "application/json" unless it is a GET or the caller says otherwise.
void AddContentType(const std::string& method, const std::string& body, Headers& headers) {
  if (method != "GET" && !body.empty()) headers.emplace("content-type", "application/json");
}

// A log that outlives the store on it, and refuses when told to.
class BorrowedLog final : public store::RevisionLog {
 public:
  BorrowedLog(std::shared_ptr<store::RevisionLog> log, const std::atomic<bool>& refuses)
      : log_(std::move(log)), refuses_(refuses) {}
  Status Append(std::span<const store::LogRecord> records) override {
    return refuses_ ? Unavailable("disk is full") : log_->Append(records);
  }
  Status Load(const std::function<Status(store::LogRecord&&)>& visit) override {
    return log_->Load(visit);
  }
  Status Compact(store::Revision through) override { return log_->Compact(through); }
  Status Probe() override { return refuses_ ? Unavailable("disk is full") : log_->Probe(); }
  store::Revision last_revision() const override { return log_->last_revision(); }
  store::Revision compacted() const override { return log_->compacted(); }
  const std::string& identity() const override { return log_->identity(); }

 private:
  std::shared_ptr<store::RevisionLog> log_;
  const std::atomic<bool>& refuses_;
};

}  // namespace

std::string Reply::Header(const std::string& name) const {
  for (const auto& [key, value] : headers) {
    if (key == name) return value;
  }
  return {};
}

bool TestSink::Write(std::string_view bytes) {
  if (closed_) return false;
  MutexLock lock(mu_);
  text_ += bytes;
  written_.NotifyAll();
  return true;
}

StreamSink::Event TestSink::Wait(int eventfd, MonotonicTime deadline) {
  while (!closed_) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0) return Event::kTimeout;
    pollfd fd{.fd = eventfd, .events = POLLIN, .revents = 0};
    const auto slice = std::min<std::int64_t>(left.count(), 20);  // notices Close
    if (::poll(&fd, 1, static_cast<int>(slice)) > 0) return Event::kReady;
  }
  return Event::kClosed;
}

std::vector<Json> TestSink::Events() const {
  MutexLock lock(mu_);
  std::vector<Json> events;
  std::size_t begin = 0;
  for (std::size_t end = text_.find('\n'); end != std::string::npos;
       end = text_.find('\n', begin)) {
    events.push_back(Json::parse(text_.substr(begin, end - begin)));
    begin = end + 1;
  }
  return events;
}

bool TestSink::AwaitEvents(std::size_t count) {
  MutexLock lock(mu_);
  return written_.WaitUntil(
      mu_, std::stop_token{}, std::chrono::steady_clock::now() + std::chrono::seconds(10),
      [&]() NO_THREAD_SAFETY_ANALYSIS {
        return static_cast<std::size_t>(std::count(text_.begin(), text_.end(), '\n')) >= count;
      });
}

bool IsStatus(const Reply& reply) {
  return reply.content_type == "application/json" && reply.json.is_object() &&
         reply.json.value("kind", "") == "Status" && reply.json.value("apiVersion", "") == "v1" &&
         reply.json.value("status", "") == "Failure" && reply.json.value("code", 0) == reply.code &&
         !reply.reason().empty() && !reply.message().empty();
}

Json WidgetCrd() {
  Result<Json> json = crd::ParseOneYaml(kWidgetCrdYaml);
  CHECK(json.ok());
  return std::move(json).value();
}

ApiTest::ApiTest() {
  MakeTypes();
  OpenStore(store::NewMemoryLog(rng_));
}

void ApiTest::MakeTypes() {
  auto registry = crd::NewTypeRegistry();
  CHECK(registry.ok());
  registry_ = std::move(registry).value();
  auto types = crd::ParseCrd(WidgetCrd());
  CHECK(types.ok());
  CHECK(registry_->Add(std::move(types).value()).ok());
}

void ApiTest::Restart() {
  background_.reset();
  server_.reset();
  store_.reset();
  MakeTypes();
  OpenOn(log_);
}

void ApiTest::OpenStore(std::unique_ptr<store::RevisionLog> log) { OpenOn(std::move(log)); }

void ApiTest::OpenOn(std::shared_ptr<store::RevisionLog> log) {
  background_.reset();
  server_.reset();
  store_.reset();
  log_ = std::move(log);
  auto store = store::LocalObjectStore::Open(std::make_unique<BorrowedLog>(log_, log_refuses_),
                                             {.types = registry_.get(), .gate = nullptr},
                                             RealClock(), rng_, metrics_);
  CHECK(store.ok());
  store_ = std::move(store).value();
  CHECK(NamespaceController(*store_, *registry_, RealClock()).Start().ok());
  server_ = std::make_unique<ApiServer>(ApiServerOptions{
      .store = *store_, .registry = *registry_, .clock = RealClock(), .metrics = metrics_});
}

ApiTest::~ApiTest() = default;

Reply ApiTest::Do(const std::string& method, const std::string& target, const std::string& body,
                  Headers headers) {
  HttpRequest request;
  request.method = method;
  request.target = target;
  request.path = target.substr(0, target.find('?'));
  request.segments = DecodePath(request.path).value_or(std::vector<std::string>{});
  if (target.size() > request.path.size()) {
    request.query = DecodeQuery(target.substr(request.path.size() + 1))
                        .value_or(std::multimap<std::string, std::string>{});
  }
  AddContentType(method, body, headers);
  request.headers = std::move(headers);
  request.body = body;
  request.peer = peer_;
  const HttpResponse response = server_->Handle(request);
  Reply reply{.code = response.status,
              .text = std::string(response.BodyView()),
              .json = Json(nullptr),
              .headers = response.headers,
              .content_type = response.content_type,
              .stream = response.stream};
  reply.json = Json::parse(reply.text, nullptr, /*allow_exceptions=*/false);
  if (reply.json.is_discarded()) reply.json = Json(nullptr);
  return reply;
}

Json ApiTest::Widget(const std::string& name, int cpus) {
  return {{"apiVersion", "test.dev/v1"},
          {"kind", "Widget"},
          {"metadata", {{"name", name}}},
          {"spec", {{"cpus", cpus}}}};
}

Json ApiTest::MustCreate(const std::string& name, int cpus) {
  Reply reply = Post(kWidgets, Widget(name, cpus));
  EXPECT_EQ(reply.code, 201) << reply.text;
  return reply.json;
}

std::vector<std::string> ApiTest::Told(const std::string& name) {
  MutexLock lock(told_mu_);
  std::vector<std::string> reasons;
  const auto [begin, end] = told_.equal_range(name);
  for (auto it = begin; it != end; ++it) reasons.push_back(it->second);
  return reasons;
}

void ApiTest::StartBackground() {
  background_ = std::make_unique<Background>(BackgroundOptions{
      .store = *store_,
      .registry = *registry_,
      .clock = RealClock(),
      .metrics = metrics_,
      .tell = [this](const store::Object& about, std::string_view reason, const std::string&) {
        MutexLock lock(told_mu_);
        told_.emplace(about.meta.name, reason);
      }});
  const Status started = background_->Start();
  ASSERT_TRUE(started.ok()) << started.error().message;
}

namespace {

// One event at a time, until the visitor has seen enough.
class SearchSink final : public StreamSink {
 public:
  explicit SearchSink(std::function<bool(const Json&)> enough) : enough_(std::move(enough)) {}
  bool Write(std::string_view bytes) override {
    found_ = found_ || enough_(Json::parse(bytes));
    return !found_;
  }
  Event Wait(int eventfd, MonotonicTime deadline) override {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    pollfd fd{.fd = eventfd, .events = POLLIN, .revents = 0};
    const int ready =
        ::poll(&fd, 1, static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, 10'000)));
    return ready > 0 ? Event::kReady : Event::kTimeout;
  }
  bool found() const { return found_; }

 private:
  std::function<bool(const Json&)> enough_;
  bool found_ = false;
};

}  // namespace

bool ApiTest::AwaitObject(const std::string& collection, const std::string& name,
                          const std::function<bool(const Json&)>& done) {
  const Reply watch = Get(collection + "?watch=1&timeoutSeconds=10");
  if (!watch.stream) return false;
  SearchSink sink([&](const Json& event) {
    return event["type"] != "DELETED" && event["object"]["metadata"]["name"] == name &&
           done(event["object"]);
  });
  watch.stream(sink);
  return sink.found();
}

bool ApiTest::AwaitGone(const std::string& collection, const std::string& name) {
  const Reply list = Get(collection);
  const std::string revision = list.json["metadata"]["resourceVersion"];
  const Reply object = Get(collection + "/" + name);
  if (object.code == 404) return true;
  const Reply watch = Get(collection + "?watch=1&timeoutSeconds=10&resourceVersion=" + revision);
  if (!watch.stream) return false;
  SearchSink sink([&](const Json& event) {
    return event["type"] == "DELETED" && event["object"]["metadata"]["name"] == name;
  });
  watch.stream(sink);
  return sink.found();
}

// Twice: the collector has no order within one pass.
void ApiTest::PassTheLoops() {
  for (int pass = 0; pass < 2; ++pass) {
    Json owned = Widget("passed");
    owned["metadata"]["ownerReferences"] = {{{"apiVersion", "test.dev/v1"},
                                             {"kind", "Widget"},
                                             {"name", "nobody"},
                                             {"uid", "00000000-0000-4000-8000-000000000001"}}};
    ASSERT_EQ(Post(kWidgets, owned).code, 201);
    ASSERT_TRUE(AwaitGone(kWidgets, "passed"));
  }
}

}  // namespace forkplane::apiserver::testing
