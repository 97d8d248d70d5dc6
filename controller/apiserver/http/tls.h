// TLS for the API: our server certificate, client certificates optional (none = anonymous, one of a
// foreign CA = the handshake is refused), TLS 1.2 and newer.
#pragma once

#include <memory>
#include <string>

#include "controller/apiserver/http/transport.h"
#include "controller/base/result.h"
#include "controller/base/unique_fd.h"

namespace forkplane::apiserver {

struct TlsFiles {
  std::string certificate;  // PEM, the server's chain
  std::string key;          // PEM
  std::string client_ca;    // PEM, who may sign clients
};

// Thread-safe once open; shared by all connections.
class TlsContext {
 public:
  static Result<std::shared_ptr<TlsContext>> Open(const TlsFiles& files);
  virtual ~TlsContext() = default;

  virtual std::unique_ptr<Transport> MakeTransport(UniqueFd socket, int stop_fd) const = 0;
};

}  // namespace forkplane::apiserver
