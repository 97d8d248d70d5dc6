// The one place where cpp-httplib works for us: its process_request routes a request and writes the
// response. What it reads is not what the client sent (http_head.h says why) but a head of two
// lines written here, which carries only what changes the writing: HEAD or not, close or not.
//
// NOTE Threading: Answer may run on many threads at once.
#pragma once

#include <chrono>
#include <memory>

#include "controller/apiserver/http/http.h"
#include "controller/apiserver/http/transport.h"

namespace forkplane::apiserver {

class HttplibGate {
 public:
  explicit HttplibGate(std::chrono::milliseconds write_timeout);
  ~HttplibGate();
  HttplibGate(const HttplibGate&) = delete;
  HttplibGate& operator=(const HttplibGate&) = delete;

  // Writes the response, running its stream function if it has one. `method` is the request's.
  // False: not all of it reached the kernel; close the connection.
  bool Answer(Transport& transport, const std::string& method, HttpResponse response, bool close);

 private:
  class Server;
  std::chrono::milliseconds write_timeout_;
  std::unique_ptr<Server> server_;
};

}  // namespace forkplane::apiserver
