#include "controller/apiserver/http/httplib_gate.h"

#include <httplib.h>

#include <algorithm>
#include <exception>
#include <utility>

#include "controller/base/log.h"

namespace forkplane::apiserver {
namespace {

// httplib reads the head written by us and writes to the client. One per answer.
class GateStream final : public httplib::Stream {
 public:
  GateStream(Transport& transport, std::chrono::milliseconds write_timeout, bool is_stream,
             std::string head)
      : transport_(transport),
        write_timeout_(write_timeout),
        is_stream_(is_stream),
        head_(std::move(head)) {}

  bool is_readable() const override { return true; }
  // Asked between chunks; a broken connection shows in write() and in StreamSink::Wait.
  bool is_writable() const override { return !failed_; }

  ssize_t read(char* bytes, std::size_t size) override {
    const std::size_t count = std::min(size, head_.size() - read_);
    std::copy_n(head_.data() + read_, count, bytes);
    read_ += count;
    return static_cast<ssize_t>(count);
  }

  // A short answer leaves as one packet with its head; what is streamed leaves at once.
  ssize_t write(const char* bytes, std::size_t size) override {
    const bool fits = pending_.size() + size <= kPendingBytesMax;
    if (fits) pending_.append(bytes, size);
    if (is_stream_ || !fits) Flush();
    if (!fits) Send({bytes, size});
    return failed_ ? -1 : static_cast<ssize_t>(size);
  }
  void Flush() {
    Send(pending_);
    pending_.clear();
  }

  void get_remote_ip_and_port(std::string&, int&) const override {}
  void get_local_ip_and_port(std::string&, int&) const override {}
  socket_t socket() const override { return -1; }

  bool failed() const { return failed_; }
  Transport& transport() { return transport_; }

 private:
  static constexpr std::size_t kPendingBytesMax = std::size_t{16} * 1024;

  void Send(std::string_view bytes) {
    const MonotonicTime deadline = RealClock().Now() + write_timeout_;
    failed_ = failed_ || transport_.Write(bytes, deadline) != Transport::Io::kOk;
  }

  Transport& transport_;
  std::chrono::milliseconds write_timeout_;
  bool is_stream_;
  std::string pending_;
  std::string head_;
  std::size_t read_ = 0;
  bool failed_ = false;
};

class ChunkSink final : public StreamSink {
 public:
  ChunkSink(Transport& transport, httplib::DataSink& sink) : transport_(transport), sink_(sink) {}

  bool Write(std::string_view bytes) override {
    if (bytes.empty()) return true;  // an empty chunk would end the stream
    return sink_.write(bytes.data(), bytes.size());
  }
  Event Wait(int eventfd, MonotonicTime deadline) override {
    switch (transport_.WaitEvent(eventfd, deadline)) {
      case Transport::Io::kOk:
        return Event::kReady;
      case Transport::Io::kTimeout:
        return Event::kTimeout;
      case Transport::Io::kClosed:
      case Transport::Io::kStopped:
        return Event::kClosed;
    }
    return Event::kClosed;
  }

 private:
  Transport& transport_;
  httplib::DataSink& sink_;
};

// What Answer hands to the handler, which httplib calls on the same thread.
struct Current {
  GateStream* stream = nullptr;
  HttpResponse* response = nullptr;
  bool stream_failed = false;
};
thread_local Current current;

void RunStream(httplib::DataSink& sink) {
  ChunkSink chunks(current.stream->transport(), sink);
  try {
    current.response->stream(chunks);
    sink.done();
  } catch (const std::exception& e) {
    // No last chunk: the client must not take this for a clean end.
    log::Err("stream function threw", {{"error", e.what()}});
    current.stream_failed = true;
  }
}

// Header values may quote what a client wrote; a line break in one would begin a header of its own.
std::string OneLine(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20; }, ' ');
  return text;
}

void Fill(httplib::Response& out) {
  HttpResponse& response = *current.response;
  out.status = response.status;
  for (const auto& [name, value] : response.headers) out.headers.emplace(name, OneLine(value));
  if (response.stream) {
    out.set_chunked_content_provider(response.content_type,
                                     [](std::size_t, httplib::DataSink& sink) {
                                       RunStream(sink);
                                       return !current.stream_failed;
                                     });
    return;
  }
  const std::string_view body = response.BodyView();
  if (body.empty()) return;
  out.set_content_provider(body.size(), response.content_type,
                           [body](std::size_t offset, std::size_t size, httplib::DataSink& sink) {
                             return sink.write(body.data() + offset, size);
                           });
}

}  // namespace

class HttplibGate::Server : public httplib::Server {
 public:
  Server() {
    // httplib stops writing in mid-answer when its own listening socket is gone; ours is not its.
    svr_sock_ = 0;
    Get("/", [](const httplib::Request&, httplib::Response& out) { Fill(out); });
    // A framework header that tells clients wrong limits.
    set_post_routing_handler([](const httplib::Request&, httplib::Response& out) {
      out.headers.erase("Keep-Alive");
      out.headers.erase("Accept-Ranges");
    });
  }
  ~Server() override { svr_sock_ = INVALID_SOCKET; }

  bool Process(GateStream& stream, bool close) {
    bool closed = false;
    return process_request(stream, close, closed, nullptr);
  }
};

HttplibGate::HttplibGate(std::chrono::milliseconds write_timeout)
    : write_timeout_(write_timeout), server_(std::make_unique<Server>()) {}
HttplibGate::~HttplibGate() = default;

bool HttplibGate::Answer(Transport& transport, const std::string& method, HttpResponse response,
                         bool close) {
  const std::string head = method == "HEAD" ? "HEAD / HTTP/1.1\r\n\r\n" : "GET / HTTP/1.1\r\n\r\n";
  GateStream stream(transport, write_timeout_, static_cast<bool>(response.stream), head);
  current = {&stream, &response, false};
  const bool written = server_->Process(stream, close);
  stream.Flush();
  const bool complete = written && !stream.failed() && !current.stream_failed;
  current = {};
  return complete;
}

}  // namespace forkplane::apiserver
