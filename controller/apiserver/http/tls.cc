#include "controller/apiserver/http/tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <utility>

namespace forkplane::apiserver {
namespace {

struct ContextDeleter {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};
struct SslDeleter {
  void operator()(SSL* ssl) const { SSL_free(ssl); }
};
struct X509Deleter {
  void operator()(X509* certificate) const { X509_free(certificate); }
};
using ContextPtr = std::unique_ptr<SSL_CTX, ContextDeleter>;
using SslPtr = std::unique_ptr<SSL, SslDeleter>;
using PeerPtr = std::unique_ptr<X509, X509Deleter>;

Error LastTlsError(const std::string& what) {
  const unsigned long code = ERR_get_error();
  ERR_clear_error();
  const char* reason = ERR_reason_error_string(code);
  return Invalid(fmt::format("{}: {}", what, reason == nullptr ? "unknown error" : reason));
}

std::string EntryText(const X509_NAME_ENTRY* entry) {
  unsigned char* utf8 = nullptr;
  const int length = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(entry));
  if (length < 0) return {};
  std::string text(reinterpret_cast<char*>(utf8), static_cast<std::size_t>(length));
  OPENSSL_free(utf8);
  return text;
}

TlsPeer SubjectOf(const X509& certificate) {
  TlsPeer peer;
  const X509_NAME* subject = X509_get_subject_name(&certificate);
  for (int i = 0; i < X509_NAME_entry_count(subject); ++i) {
    const X509_NAME_ENTRY* entry = X509_NAME_get_entry(subject, i);
    const int nid = OBJ_obj2nid(X509_NAME_ENTRY_get_object(entry));
    if (nid == NID_commonName) peer.common_name = EntryText(entry);
    if (nid == NID_organizationName) peer.organizations.push_back(EntryText(entry));
  }
  return peer;
}

class TlsTransport final : public Transport {
 public:
  TlsTransport(UniqueFd socket, int stop_fd, SslPtr ssl)
      : Transport(std::move(socket), stop_fd), ssl_(std::move(ssl)) {
    SSL_set_fd(ssl_.get(), fd());
  }

  Io Handshake(MonotonicTime deadline) override {
    for (;;) {
      ERR_clear_error();
      const int result = SSL_accept(ssl_.get());
      if (result == 1) return Io::kOk;
      const Try next = Translate(result);
      if (next == Try::kClosed) return Io::kClosed;
      const Io io = WaitSocket(next, deadline, OnStop::kGiveUp);
      if (io != Io::kOk) return io;
    }
  }

  // The chain was verified in the handshake, or, when the session was resumed, in the handshake
  // that made the session.
  std::optional<TlsPeer> Peer() const override {
    const PeerPtr certificate(SSL_get1_peer_certificate(ssl_.get()));
    if (!certificate || SSL_get_verify_result(ssl_.get()) != X509_V_OK) return std::nullopt;
    return SubjectOf(*certificate);
  }

 protected:
  // The error queue belongs to the thread and must be empty before a call whose result is asked
  // for with SSL_get_error.
  Try TryRead(char* buffer, std::size_t size, std::size_t& count) override {
    ERR_clear_error();
    const int result = SSL_read_ex(ssl_.get(), buffer, size, &count);
    return result == 1 ? Try::kDone : Translate(result);
  }
  Try TryWrite(const char* bytes, std::size_t size, std::size_t& count) override {
    ERR_clear_error();
    const int result = SSL_write_ex(ssl_.get(), bytes, size, &count);
    return result == 1 ? Try::kDone : Translate(result);
  }
  bool HasBuffered() const override { return SSL_pending(ssl_.get()) > 0; }
  void SendGoodbye() override {
    ERR_clear_error();
    if (!broken_) SSL_shutdown(ssl_.get());
  }

 private:
  Try Translate(int result) {
    switch (SSL_get_error(ssl_.get(), result)) {
      case SSL_ERROR_WANT_READ:
        return Try::kWantRead;
      case SSL_ERROR_WANT_WRITE:
        return Try::kWantWrite;
      case SSL_ERROR_ZERO_RETURN:
        return Try::kClosed;
      default:
        broken_ = true;  // SSL_shutdown is not allowed after a fatal error
        return Try::kClosed;
    }
  }

  SslPtr ssl_;
  bool broken_ = false;
};

class OpenTlsContext final : public TlsContext {
 public:
  explicit OpenTlsContext(ContextPtr context) : context_(std::move(context)) {}

  std::unique_ptr<Transport> MakeTransport(UniqueFd socket, int stop_fd) const override {
    SslPtr ssl(SSL_new(context_.get()));
    if (!ssl) return nullptr;
    return std::make_unique<TlsTransport>(std::move(socket), stop_fd, std::move(ssl));
  }

 private:
  ContextPtr context_;
};

Status LoadFiles(SSL_CTX& context, const TlsFiles& files) {
  if (SSL_CTX_use_certificate_chain_file(&context, files.certificate.c_str()) != 1) {
    return LastTlsError("load " + files.certificate);
  }
  if (SSL_CTX_use_PrivateKey_file(&context, files.key.c_str(), SSL_FILETYPE_PEM) != 1 ||
      SSL_CTX_check_private_key(&context) != 1) {
    return LastTlsError("load " + files.key);
  }
  if (SSL_CTX_load_verify_file(&context, files.client_ca.c_str()) != 1) {
    return LastTlsError("load " + files.client_ca);
  }
  STACK_OF(X509_NAME)* names = SSL_load_client_CA_file(files.client_ca.c_str());
  if (names == nullptr) return LastTlsError("load " + files.client_ca);
  SSL_CTX_set_client_CA_list(&context, names);  // takes ownership
  return OkStatus();
}

}  // namespace

Result<std::shared_ptr<TlsContext>> TlsContext::Open(const TlsFiles& files) {
  ContextPtr context(SSL_CTX_new(TLS_server_method()));
  if (!context) return LastTlsError("make a TLS context");
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  SSL_CTX_set_options(context.get(), SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE);
  // RELEASE_BUFFERS: an idle watch keeps no 34 KiB of buffers. The other two belong to non-blocking
  // writes of text that may move between tries.
  SSL_CTX_set_mode(context.get(), SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                      SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  RETURN_IF_ERROR(LoadFiles(*context, files));
  // VERIFY_PEER without FAIL_IF_NO_PEER_CERT: asked for, not demanded; a wrong one is refused.
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  // Without an id context a client with a certificate cannot resume its session.
  static constexpr unsigned char kSessionContext[] = "forkplane-api";
  SSL_CTX_set_session_id_context(context.get(), kSessionContext, sizeof(kSessionContext) - 1);
  return std::shared_ptr<TlsContext>(std::make_shared<OpenTlsContext>(std::move(context)));
}

}  // namespace forkplane::apiserver
