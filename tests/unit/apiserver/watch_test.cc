#include "tests/unit/apiserver/api_fixture.h"

#include <thread>

namespace forkplane::apiserver::testing {
namespace {

// Runs a watch on a thread of its own until the test is over.
class RunningWatch {
 public:
  explicit RunningWatch(const Reply& reply) {
    EXPECT_EQ(reply.code, 200) << reply.text;
    if (reply.stream) {
      thread_ = std::jthread([this, stream = reply.stream] { stream(sink_); });
    }
  }
  ~RunningWatch() { sink_.Close(); }
  TestSink& sink() { return sink_; }
  void Join() { thread_.join(); }

 private:
  TestSink sink_;
  std::jthread thread_;
};

class WatchTest : public ApiTest {
 protected:
  std::string ListRevision() { return Get(kWidgets).json["metadata"]["resourceVersion"]; }
  // "ADDED a, MODIFIED a"
  static std::string Summary(const std::vector<Json>& events) {
    std::string text;
    for (const Json& event : events) {
      const Json& object = event["object"];
      text += (text.empty() ? "" : ", ") + event["type"].get<std::string>();
      if (object.contains("metadata") && object["metadata"].contains("name")) {
        text += " " + object["metadata"]["name"].get<std::string>();
      }
    }
    return text;
  }
};

TEST_F(WatchTest, FromTheListsRevisionOnlyWhatIsNewer) {  // T182 T177
  MustCreate("a");
  RunningWatch watch(Get(kWidgets + "?watch=true&resourceVersion=" + ListRevision()));
  MustCreate("b");
  ASSERT_EQ(Patch(kWidgets + "/b", {{"spec", {{"cpus", 2}}}}).code, 200);
  ASSERT_EQ(Delete(kWidgets + "/b").code, 200);
  ASSERT_TRUE(watch.sink().AwaitEvents(3));
  const std::vector<Json> events = watch.sink().Events();
  EXPECT_EQ(Summary(events), "ADDED b, MODIFIED b, DELETED b");
  // The deletion has a revision of its own.
  EXPECT_GT(std::stoull(events[2]["object"]["metadata"]["resourceVersion"].get<std::string>()),
            std::stoull(events[1]["object"]["metadata"]["resourceVersion"].get<std::string>()));
}

// Goal: watches never take what others need, and who is refused knows when to come back.
TEST_F(WatchTest, BeyondTheBoundItIs429UntilAPlaceIsGivenBack) {
  server_ = std::make_unique<ApiServer>(ApiServerOptions{.store = *store_,
                                                         .registry = *registry_,
                                                         .clock = RealClock(),
                                                         .metrics = metrics_,
                                                         .watches_max = 2});
  std::optional<Reply> first = Get(kWidgets + "?watch=1");
  const Reply second = Get(kWidgets + "?watch=1");
  EXPECT_EQ(first->code, 200);
  EXPECT_EQ(second.code, 200);
  const Reply refused = Get(kWidgets + "?watch=1");
  EXPECT_EQ(refused.code, 429);
  EXPECT_EQ(refused.json["reason"], "TooManyRequests");
  EXPECT_EQ(refused.json["details"]["retryAfterSeconds"], 10);
  EXPECT_EQ(Get(kWidgets).code, 200) << "what is no watch is served";
  EXPECT_NE(metrics_.Serialize().find("forkplane_watches_refused_total 1"), std::string::npos);
  first.reset();
  EXPECT_EQ(Get(kWidgets + "?watch=1").code, 200);
}

TEST_F(WatchTest, WithoutRevisionTheStateComesFirst) {  // T181
  MustCreate("a");
  MustCreate("b");
  for (const char* query : {"?watch=1", "?watch=1&resourceVersion=0", "?watch"}) {
    RunningWatch watch(Get(kWidgets + query));
    ASSERT_TRUE(watch.sink().AwaitEvents(2)) << query;
    EXPECT_EQ(Summary(watch.sink().Events()), "ADDED a, ADDED b");
  }
}

TEST_F(WatchTest, SelectorsAddAndDelete) {  // T183 T184
  MustCreate("a");
  RunningWatch labels(
      Get(kWidgets + "?watch=1&labelSelector=app%3Dx&resourceVersion=" + ListRevision()));
  RunningWatch fields(
      Get(kWidgets + "?watch=1&fieldSelector=metadata.name%3Db&resourceVersion=" + ListRevision()));
  ASSERT_EQ(Patch(kWidgets + "/a", {{"metadata", {{"labels", {{"app", "x"}}}}}}).code, 200);
  ASSERT_EQ(Patch(kWidgets + "/a", {{"metadata", {{"labels", {{"app", "y"}}}}}}).code, 200);
  MustCreate("b");
  ASSERT_TRUE(labels.sink().AwaitEvents(2));
  EXPECT_EQ(Summary(labels.sink().Events()), "ADDED a, DELETED a");
  ASSERT_TRUE(fields.sink().AwaitEvents(1));
  EXPECT_EQ(Summary(fields.sink().Events()), "ADDED b");
}

TEST_F(WatchTest, OnlyTheFirstTableHasColumns) {  // T180
  RunningWatch watch(
      Get(kWidgets + "?watch=1&resourceVersion=" + ListRevision(), {{"accept", kTableAccept}}));
  MustCreate("a");
  MustCreate("b");
  ASSERT_TRUE(watch.sink().AwaitEvents(2));
  const std::vector<Json> events = watch.sink().Events();
  EXPECT_EQ(events[0]["object"]["kind"], "Table");
  EXPECT_EQ(events[0]["object"]["columnDefinitions"].size(), 6u);
  EXPECT_TRUE(events[1]["object"]["columnDefinitions"].is_null());
  EXPECT_EQ(events[1]["object"]["rows"][0]["cells"][0], "b");
}

TEST_F(WatchTest, PartialMetadataInWatches) {
  RunningWatch watch(
      Get(kWidgets + "?watch=1",
          {{"accept", "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"}}));
  MustCreate("a");
  ASSERT_TRUE(watch.sink().AwaitEvents(1));
  EXPECT_EQ(watch.sink().Events()[0]["object"]["kind"], "PartialObjectMetadata");
}

TEST_F(WatchTest, InitialEventsEndWithABookmark) {  // T189 T191
  MustCreate("a");
  RunningWatch watch(Get(kWidgets +
                         "?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan"
                         "&allowWatchBookmarks=true"));
  ASSERT_TRUE(watch.sink().AwaitEvents(2));
  const std::vector<Json> events = watch.sink().Events();
  EXPECT_EQ(Summary(events), "ADDED a, BOOKMARK");
  EXPECT_EQ(events[1]["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
  EXPECT_EQ(events[1]["object"]["kind"], "Widget");
  MustCreate("b");
  ASSERT_TRUE(watch.sink().AwaitEvents(3));
  EXPECT_EQ(Summary(watch.sink().Events()), "ADDED a, BOOKMARK, ADDED b");

  EXPECT_EQ(Get(kWidgets + "?watch=1&sendInitialEvents=true").code, 422);
  EXPECT_EQ(Get(kWidgets + "?watch=1&sendInitialEvents=true&resourceVersionMatch=Exact").code, 422);
  EXPECT_EQ(Get(kWidgets + "?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan",
                {{"accept", "application/json;as=Table;v=v1;g=meta.k8s.io"}})
                .code,
            406);
}

TEST_F(WatchTest, TimeoutEndsItWithALastBookmark) {  // T187 T188
  MustCreate("a");
  const std::string revision = ListRevision();
  const Reply reply = Get(kWidgets + "?watch=1&timeoutSeconds=1&allowWatchBookmarks=true" +
                          "&resourceVersion=" + revision);
  ASSERT_TRUE(reply.stream);
  TestSink sink;
  const auto begin = std::chrono::steady_clock::now();
  reply.stream(sink);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  EXPECT_GE(took.count(), 0.9);
  EXPECT_LT(took.count(), 5.0);
  const std::vector<Json> events = sink.Events();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0]["type"], "BOOKMARK");
  EXPECT_EQ(events[0]["object"]["metadata"]["resourceVersion"], revision);
}

// A client that knows more than the store learns it, instead of waiting in silence for revisions
// that mean something else: as an event, where reflectors look, with what a list answers.
TEST_F(WatchTest, AFutureRevisionIsAnError) {  // T186
  const Reply reply = Get(kWidgets + "?watch=1&timeoutSeconds=60&resourceVersion=99999999");
  ASSERT_TRUE(reply.stream) << reply.text;
  TestSink sink;
  reply.stream(sink);
  const std::vector<Json> events = sink.Events();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0]["type"], "ERROR");
  const Reply list = Get(kWidgets + "?resourceVersion=99999999");
  EXPECT_EQ(events[0]["object"], list.json);
  EXPECT_EQ(events[0]["object"]["code"], 504);
  EXPECT_EQ(events[0]["object"]["details"]["causes"][0]["reason"], "ResourceVersionTooLarge");
}

TEST_F(WatchTest, ABadRevisionIsRefused) {
  EXPECT_EQ(Get(kWidgets + "?watch=1&resourceVersion=abc").code, 400);
  EXPECT_EQ(Get(kWidgets + "?watch=1&fieldSelector=spec.cpus%3D1").code, 400);
}

TEST_F(WatchTest, AClientThatLeavesEndsIt) {
  const Reply reply = Get(kWidgets + "?watch=1");
  ASSERT_TRUE(reply.stream);
  TestSink sink;
  std::jthread watch([&] { reply.stream(sink); });
  sink.Close();
  watch.join();  // hangs for half an hour if the watch does not notice
}

// A client that does not read while `meanwhile` happens.
class BusySink final : public StreamSink {
 public:
  explicit BusySink(std::function<void()> meanwhile) : meanwhile_(std::move(meanwhile)) {}
  bool Write(std::string_view) override {
    if (++writes_ == 1) meanwhile_();
    return true;
  }
  Event Wait(int, MonotonicTime) override {
    waited_ = true;
    return Event::kClosed;
  }
  std::size_t writes() const { return writes_; }
  bool waited() const { return waited_; }

 private:
  std::function<void()> meanwhile_;
  std::size_t writes_ = 0;
  bool waited_ = false;
};

// What waits for it is bounded; then the watch ends, and the client begins anew where it was.
TEST_F(WatchTest, AClientThatFallsBehindIsDropped) {
  MustCreate("a");
  const Reply reply = Get(kWidgets + "?watch=1");
  ASSERT_TRUE(reply.stream);
  BusySink sink([this] {
    for (int i = 0; i < 1500; ++i) {
      ASSERT_EQ(Patch(kWidgets + "/a", {{"spec", {{"cpus", i % 2 + 1}}}}).code, 200);
    }
  });
  reply.stream(sink);
  EXPECT_FALSE(sink.waited()) << "ended by the server";
  EXPECT_EQ(sink.writes(), 1001U) << "the first, and a thousand that waited";
  EXPECT_NE(metrics_.Serialize().find("forkplane_store_watch_overflows_total 1"),
            std::string::npos);
}

TEST_F(WatchTest, ManyWatchersSeeOneOrder) {  // T195 (small)
  std::vector<std::unique_ptr<RunningWatch>> watches;
  watches.reserve(10);
  for (int i = 0; i < 10; ++i) {
    watches.push_back(std::make_unique<RunningWatch>(
        Get(kWidgets + "?watch=1&resourceVersion=" + ListRevision())));
  }
  {
    std::vector<std::jthread> writers;
    writers.reserve(3);
    for (int t = 0; t < 3; ++t) {
      writers.emplace_back([this, t] {
        for (int i = 0; i < 20; ++i) MustCreate(fmt::format("w{}-{}", t, i));
      });
    }
  }
  ASSERT_TRUE(watches[0]->sink().AwaitEvents(60));
  const std::string order = Summary(watches[0]->sink().Events());
  for (const auto& watch : watches) {
    ASSERT_TRUE(watch->sink().AwaitEvents(60));
    EXPECT_EQ(Summary(watch->sink().Events()), order);
  }
}

}  // namespace
}  // namespace forkplane::apiserver::testing
