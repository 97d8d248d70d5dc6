// X.509 certificates and their keys as PEM text (OpenSSL behind the door). Keys are ECDSA P-256.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "controller/base/clock.h"
#include "controller/base/result.h"

namespace forkplane::apiserver {

struct PemPair {
  std::string certificate;
  std::string key;
};

enum class CertificateUse { kAuthority, kServer, kClient };

struct CertificateSpec {
  CertificateUse use = CertificateUse::kServer;
  std::string common_name;
  std::vector<std::string> organizations = {};
  // SANs of a server: DNS names and IP addresses. Names of other characters than letters, digits,
  // '.', '-', '_' and ':' are refused.
  std::vector<std::string> hosts = {};
  std::chrono::hours validity{24 * 365};
};

Result<std::string> NewKeyPem();

// A certificate for the key. It begins an hour ago, so that a client whose clock is behind accepts
// it. An authority signs itself (`issuer` is not used).
Result<std::string> IssueCertificate(const CertificateSpec& spec, const std::string& key_pem,
                                     const PemPair& issuer, WallTime now);

// Whether the pair is what IssueCertificate would make now: the key fits, the issuer signed it, it
// names all hosts, and it is valid for `remaining_min` more. The text says what is wrong, "" is
// nothing.
std::string WhyNotUsable(const PemPair& pair, const CertificateSpec& spec,
                         const std::string& issuer_certificate, WallTime now,
                         std::chrono::hours remaining_min);

std::string Base64(std::string_view bytes);

}  // namespace forkplane::apiserver
