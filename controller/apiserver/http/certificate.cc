#include "controller/apiserver/http/certificate.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <memory>
#include <utility>

namespace forkplane::apiserver {
namespace {

struct Deleter {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(X509* certificate) const { X509_free(certificate); }
  void operator()(BIO* bio) const { BIO_free(bio); }
  void operator()(X509_EXTENSION* extension) const { X509_EXTENSION_free(extension); }
  void operator()(BIGNUM* number) const { BN_free(number); }
};
using KeyPtr = std::unique_ptr<EVP_PKEY, Deleter>;
using X509Ptr = std::unique_ptr<X509, Deleter>;
using BioPtr = std::unique_ptr<BIO, Deleter>;
using ExtensionPtr = std::unique_ptr<X509_EXTENSION, Deleter>;
using NumberPtr = std::unique_ptr<BIGNUM, Deleter>;

Error CryptoError(const std::string& what) {
  const char* reason = ERR_reason_error_string(ERR_get_error());
  ERR_clear_error();
  return Internal(fmt::format("{}: {}", what, reason == nullptr ? "unknown error" : reason));
}

BioPtr ReadBio(const std::string& text) {
  return BioPtr(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

std::string BioText(BIO& bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(&bio, &data);
  return {data, static_cast<std::size_t>(size)};
}

// An empty pass phrase callback: without one OpenSSL asks on the terminal.
int NoPassphrase(char*, int, int, void*) { return 0; }

KeyPtr ParseKey(const std::string& pem) {
  return KeyPtr(PEM_read_bio_PrivateKey(ReadBio(pem).get(), nullptr, NoPassphrase, nullptr));
}
X509Ptr ParseCertificate(const std::string& pem) {
  return X509Ptr(PEM_read_bio_X509(ReadBio(pem).get(), nullptr, NoPassphrase, nullptr));
}

bool IsIpAddress(const std::string& host) {
  return host.find(':') != std::string::npos ||
         host.find_first_not_of("0123456789.") == std::string::npos;
}

// The text OpenSSL's configuration parser reads; host names must not be able to leave their place.
Result<std::string> SubjectAltNames(const std::vector<std::string>& hosts) {
  std::string text;
  for (const std::string& host : hosts) {
    const bool is_safe = !host.empty() && std::all_of(host.begin(), host.end(), [](char c) {
      return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
             c == '.' || c == '-' || c == '_' || c == ':';
    });
    if (!is_safe) return Invalid("certificate host name " + host + ": bad character");
    if (!text.empty()) text += ',';
    text += (IsIpAddress(host) ? "IP:" : "DNS:") + host;
  }
  return text;
}

bool AddExtension(X509& certificate, X509& issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, &issuer, &certificate, nullptr, nullptr, 0);
  const ExtensionPtr extension(X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str()));
  return extension && X509_add_ext(&certificate, extension.get(), -1) == 1;
}

Status AddExtensions(X509& certificate, X509& issuer, const CertificateSpec& spec) {
  bool ok = true;
  const auto add = [&](int nid, const std::string& value) {
    ok = ok && AddExtension(certificate, issuer, nid, value);
  };
  const bool is_authority = spec.use == CertificateUse::kAuthority;
  add(NID_basic_constraints, is_authority ? "critical,CA:TRUE" : "critical,CA:FALSE");
  add(NID_key_usage,
      is_authority ? "critical,keyCertSign,cRLSign,digitalSignature" : "critical,digitalSignature");
  add(NID_subject_key_identifier, "hash");
  if (!is_authority) {
    add(NID_authority_key_identifier, "keyid:always");
    add(NID_ext_key_usage, spec.use == CertificateUse::kServer ? "serverAuth" : "clientAuth");
  }
  if (!spec.hosts.empty()) {
    ASSIGN_OR_RETURN(const std::string names, SubjectAltNames(spec.hosts));
    add(NID_subject_alt_name, names);
  }
  return ok ? OkStatus() : Status(CryptoError("add certificate extensions"));
}

bool AddName(X509_NAME& name, int nid, const std::string& value) {
  return X509_NAME_add_entry_by_NID(&name, nid, MBSTRING_UTF8,
                                    reinterpret_cast<const unsigned char*>(value.data()),
                                    static_cast<int>(value.size()), -1, 0) == 1;
}

bool SetSerial(X509& certificate) {
  std::array<unsigned char, 16> bytes;
  if (RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) != 1) return false;
  bytes[0] &= 0x7f;  // positive
  const NumberPtr number(BN_bin2bn(bytes.data(), static_cast<int>(bytes.size()), nullptr));
  return number && BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(&certificate)) != nullptr;
}

// Everything but extensions and signature.
Status FillCertificate(X509& certificate, const CertificateSpec& spec, EVP_PKEY& key,
                       WallTime now) {
  constexpr long kVersion3 = 2;
  const std::time_t seconds = std::chrono::system_clock::to_time_t(now);
  const std::time_t begin = seconds - 3600;
  const std::time_t end = seconds + std::chrono::seconds(spec.validity).count();
  X509_NAME* subject = X509_get_subject_name(&certificate);
  bool ok = X509_set_version(&certificate, kVersion3) == 1 && SetSerial(certificate) &&
            ASN1_TIME_set(X509_getm_notBefore(&certificate), begin) != nullptr &&
            ASN1_TIME_set(X509_getm_notAfter(&certificate), end) != nullptr &&
            X509_set_pubkey(&certificate, &key) == 1;
  for (const std::string& organization : spec.organizations) {
    ok = ok && AddName(*subject, NID_organizationName, organization);
  }
  ok = ok && AddName(*subject, NID_commonName, spec.common_name);
  return ok ? OkStatus() : Status(CryptoError("fill certificate"));
}

std::string WhyHostsDiffer(X509& certificate, const std::vector<std::string>& hosts) {
  for (const std::string& host : hosts) {
    const int found = IsIpAddress(host)
                          ? X509_check_ip_asc(&certificate, host.c_str(), 0)
                          : X509_check_host(&certificate, host.data(), host.size(), 0, nullptr);
    if (found != 1) return "it does not name " + host;
  }
  return {};
}

}  // namespace

Result<std::string> NewKeyPem() {
  const KeyPtr key(EVP_EC_gen("P-256"));
  const BioPtr bio(BIO_new(BIO_s_mem()));
  if (!key || !bio ||
      PEM_write_bio_PrivateKey(bio.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) != 1) {
    return CryptoError("make a key");
  }
  return BioText(*bio);
}

Result<std::string> IssueCertificate(const CertificateSpec& spec, const std::string& key_pem,
                                     const PemPair& issuer, WallTime now) {
  const bool is_authority = spec.use == CertificateUse::kAuthority;
  const KeyPtr key = ParseKey(key_pem);
  const X509Ptr certificate(X509_new());
  if (!key || !certificate) return CryptoError("read key of " + spec.common_name);
  RETURN_IF_ERROR(FillCertificate(*certificate, spec, *key, now));

  const X509Ptr issuer_certificate = is_authority ? nullptr : ParseCertificate(issuer.certificate);
  const KeyPtr issuer_key = is_authority ? nullptr : ParseKey(issuer.key);
  if (!is_authority && (!issuer_certificate || !issuer_key)) return CryptoError("read the CA");
  X509& signer = is_authority ? *certificate : *issuer_certificate;
  EVP_PKEY* signer_key = is_authority ? key.get() : issuer_key.get();

  if (X509_set_issuer_name(certificate.get(), X509_get_subject_name(&signer)) != 1) {
    return CryptoError("set issuer");
  }
  RETURN_IF_ERROR(AddExtensions(*certificate, signer, spec));
  if (X509_sign(certificate.get(), signer_key, EVP_sha256()) == 0) {
    return CryptoError("sign certificate of " + spec.common_name);
  }
  const BioPtr bio(BIO_new(BIO_s_mem()));
  if (!bio || PEM_write_bio_X509(bio.get(), certificate.get()) != 1) {
    return CryptoError("write certificate of " + spec.common_name);
  }
  return BioText(*bio);
}

std::string WhyNotUsable(const PemPair& pair, const CertificateSpec& spec,
                         const std::string& issuer_certificate, WallTime now,
                         std::chrono::hours remaining_min) {
  const X509Ptr certificate = ParseCertificate(pair.certificate);
  const KeyPtr key = ParseKey(pair.key);
  const X509Ptr issuer = ParseCertificate(issuer_certificate);
  std::string why;
  std::time_t needed_until = std::chrono::system_clock::to_time_t(now + remaining_min);
  if (!certificate || !key || !issuer) {
    why = "it cannot be read";
  } else if (X509_check_private_key(certificate.get(), key.get()) != 1) {
    why = "certificate and key differ";
  } else if (X509_verify(certificate.get(), X509_get0_pubkey(issuer.get())) != 1) {
    why = "it is not signed by the CA";
  } else if (X509_cmp_time(X509_get0_notAfter(certificate.get()), &needed_until) <= 0) {
    why = "it expires soon";
  } else {
    why = WhyHostsDiffer(*certificate, spec.hosts);
  }
  ERR_clear_error();
  return why;
}

std::string Base64(std::string_view bytes) {
  std::string out(4 * ((bytes.size() + 2) / 3) + 1, '\0');  // EVP writes a final NUL
  const int size = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                                   reinterpret_cast<const unsigned char*>(bytes.data()),
                                   static_cast<int>(bytes.size()));
  out.resize(static_cast<std::size_t>(size));
  return out;
}

}  // namespace forkplane::apiserver
