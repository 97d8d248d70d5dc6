#include "controller/apiserver/rest/watch_handler.h"

#include "controller/apiserver/rest/options.h"
#include "controller/apiserver/rest/render.h"
#include "controller/apiserver/rest/resource_handler.h"
#include "controller/store/errors.h"

namespace forkplane::apiserver {
namespace {

// A client that gives no timeout gets one between these, so that the watches of many clients do not
// all end at once.
constexpr std::chrono::seconds kTimeoutMin{1800};
constexpr std::chrono::seconds kTimeoutSpread{1800};
constexpr std::chrono::seconds kBookmarkPeriod{60};
// The last bookmark comes this long before the deadline: the client resumes from it.
constexpr std::chrono::seconds kBookmarkBeforeEnd{2};

std::string EventLine(std::string_view type, std::string_view object) {
  return fmt::format("{{\"type\":\"{}\",\"object\":{}}}\n", type, object);
}

// The events of one watch, written until something ends it.
class EventStream {
 public:
  EventStream(std::shared_ptr<store::Watch> watch, Renderer renderer, Clock& clock, bool bookmarks,
              std::chrono::seconds timeout)
      : watch_(std::move(watch)),
        renderer_(std::move(renderer)),
        clock_(&clock),
        bookmarks_(bookmarks),
        deadline_(clock.Now() + timeout),
        next_bookmark_(std::min(clock.Now() + kBookmarkPeriod,
                                std::max(clock.Now(), deadline_ - kBookmarkBeforeEnd))) {}

  void Run(StreamSink& sink) {
    while (true) {
      if (!SendQueued(sink) || watch_->ended()) return;
      const MonotonicTime now = clock_->Now();
      if (now >= deadline_) return;
      if (bookmarks_ && now >= next_bookmark_ && !SendBookmark(sink, now)) return;
      const MonotonicTime until = bookmarks_ ? std::min(deadline_, next_bookmark_) : deadline_;
      if (sink.Wait(watch_->event_fd(), until) == StreamSink::Event::kClosed) return;
    }
  }

 private:
  bool SendQueued(StreamSink& sink) {
    while (std::optional<store::WatchEvent> event = watch_->TryNext()) {
      std::string line;
      if (event->type == store::EventType::kBookmark) {
        const std::string object =
            renderer_.BookmarkObject(event->revision, event->initial_events_end);
        if (object.empty()) continue;
        line = EventLine("BOOKMARK", object);
      } else {
        line = EventLine(ToString(event->type), renderer_.EventObject(*event->object, first_));
        first_ = false;
      }
      if (!sink.Write(line)) return false;
    }
    return true;
  }

  bool SendBookmark(StreamSink& sink, MonotonicTime now) {
    const store::Revision through = watch_->SentThrough();
    if (through == 0) return true;  // events came in between; they go first
    const MonotonicTime last = deadline_ - kBookmarkBeforeEnd;
    next_bookmark_ = now < last ? std::min(now + kBookmarkPeriod, last) : deadline_;
    const std::string object = renderer_.BookmarkObject(through, false);
    return object.empty() || sink.Write(EventLine("BOOKMARK", object));
  }

  std::shared_ptr<store::Watch> watch_;
  Renderer renderer_;
  Clock* clock_;
  bool bookmarks_;
  MonotonicTime deadline_;
  MonotonicTime next_bookmark_;
  bool first_ = true;
};

// A watch that cannot start is an event, not an HTTP error: that is where reflectors look.
HttpResponse ErrorStream(const ApiStatus& status) {
  HttpResponse response;
  response.stream = [line = EventLine("ERROR", ToJsonText(status))](StreamSink& sink) {
    sink.Write(line);
  };
  return response;
}

// client-go waits for so long and tries again; meanwhile it works with what it has.
ApiStatus TooManyWatches(std::size_t watches_max) {
  constexpr int kRetryAfterSeconds = 10;
  return {.code = 429,
          .reason = "TooManyRequests",
          .message = fmt::format("{} watches are open, which is all this server holds: try again "
                                 "later, or raise the limit of file descriptors (LimitNOFILE)",
                                 watches_max),
          .retry_after_seconds = kRetryAfterSeconds};
}

// Without a random source of its own: the low bits of the clock spread clients well enough.
std::chrono::seconds DefaultTimeout(const Clock& clock) {
  const auto ticks = clock.Now().time_since_epoch().count() / 1000;
  return kTimeoutMin + std::chrono::seconds(ticks % kTimeoutSpread.count());
}

}  // namespace

WatchMetrics::WatchMetrics(metrics::Registry& registry, std::size_t watches_max)
    : active(registry.AddGauge("apiserver_longrunning_requests", "Watches that are open now.",
                               {{"verb", "WATCH"}})),
      refused(registry.AddCounter("forkplane_watches_refused_total",
                                  "Watches answered 429 because too many were open.")) {
  registry.AddGauge("forkplane_watches_max", "Watches that may be open at a time.")
      .Set(static_cast<double>(watches_max));
}

std::shared_ptr<void> WatchHandler::TakePlace() {
  if (watches_.fetch_add(1) >= watches_max_) {
    watches_.fetch_sub(1);
    metrics_.refused.Increment();
    return nullptr;
  }
  metrics_.active.Add(1);
  return {static_cast<void*>(this), [this](void*) {
            metrics_.active.Add(-1);
            watches_.fetch_sub(1);
          }};
}

ApiResult<HttpResponse> WatchHandler::Watch(const RequestContext& context) {
  ASSIGN_OR_RETURN(const ListQuery query, ParseListQuery(context.http, true));
  // Upstream has no Tables of initial events, and no YAML of a stream.
  ASSIGN_OR_RETURN(Renderer renderer,
                   Renderer::Make(context.http, context.type, clock_,
                                  {.table = !query.initial_events, .yaml = false}));
  // sendInitialEvents asks for the state first, at whatever revision; sendInitialEvents=false with
  // a revision is an ordinary watch.
  const bool from_now = context.http.query.contains("sendInitialEvents") && query.initial_events;
  store::WatchOptions options{.ns = context.info.namespace_name,
                              .labels = query.labels,
                              .fields = query.fields,
                              .after = from_now ? 0 : query.revision.value_or(0),
                              .initial_events_end = from_now};
  std::shared_ptr<void> place = TakePlace();
  if (!place) return TooManyWatches(watches_max_);
  // A revision that was not given out yet is waited for as in a list, then the stream says so.
  if (query.revision.value_or(0) != 0) {
    const Status reached = store_.AwaitRevision(*query.revision, kRevisionPatience, {});
    if (!reached.ok()) return ErrorStream(FromError(reached.error(), context.Ref()));
  }
  Result<std::unique_ptr<store::Watch>> watch = store_.OpenWatch(context.Resource(), options);
  if (!watch.ok()) {
    if (store::IsExpired(watch.error())) return ErrorStream(Expired(watch.error().message));
    return FromError(watch.error(), context.Ref());
  }
  auto stream = std::make_shared<EventStream>(
      std::shared_ptr<store::Watch>(std::move(watch).value()), std::move(renderer), clock_,
      query.bookmarks, query.timeout.value_or(DefaultTimeout(clock_)));
  HttpResponse response;
  response.stream = [stream, place = std::move(place)](StreamSink& sink) { stream->Run(sink); };
  return response;
}

}  // namespace forkplane::apiserver
