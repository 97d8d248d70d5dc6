#include "controller/apiserver/http/pki.h"

#include <unistd.h>

#include <array>
#include <utility>

#include "controller/apiserver/http/certificate.h"
#include "controller/apiserver/http/private_file.h"
#include "controller/base/log.h"

namespace forkplane::apiserver {
namespace {

constexpr std::chrono::hours kYear{24 * 365};
constexpr std::chrono::hours kAuthorityValidity = 10 * kYear;
constexpr std::chrono::hours kLeafValidity = 3 * kYear;
// A daemon that runs for less than a year between starts never serves an expired certificate.
constexpr std::chrono::hours kLeafRemainingMin = kYear;

std::string MachineName() {
  std::array<char, 256> name{};
  if (::gethostname(name.data(), name.size() - 1) != 0) return "localhost";
  return name.data();
}

// A key that exists is kept: it may be waiting for its certificate.
Result<std::string> EnsureKey(const std::string& path) {
  ASSIGN_OR_RETURN(std::optional<std::string> existing, ReadSmallFile(path));
  if (existing) return *std::move(existing);
  ASSIGN_OR_RETURN(std::string key, NewKeyPem());
  RETURN_IF_ERROR(WritePrivateFile(path, key));
  return key;
}

Result<PemPair> EnsureAuthority(const std::string& directory, Clock& clock) {
  const std::string certificate_path = directory + "/ca.crt";
  const std::string key_path = directory + "/ca.key";
  const CertificateSpec spec{.use = CertificateUse::kAuthority,
                             .common_name = "forkplane-ca",
                             .validity = kAuthorityValidity};
  ASSIGN_OR_RETURN(std::optional<std::string> certificate, ReadSmallFile(certificate_path));
  if (certificate) {
    // Clients trust this one: whatever is wrong with it, a new one is the operator's decision.
    ASSIGN_OR_RETURN(std::optional<std::string> key, ReadSmallFile(key_path));
    const std::string why =
        key ? WhyNotUsable({*certificate, *key}, spec, *certificate, clock.WallNow(), {})
            : "its key ca.key is missing";
    if (why.empty()) return PemPair{*std::move(certificate), *std::move(key)};
    return Invalid(
        fmt::format("{}: {}: restore it from a backup, or move the directory away to "
                    "begin with a new CA (every kubeconfig must then be renewed)",
                    certificate_path, why));
  }
  ASSIGN_OR_RETURN(std::string key, EnsureKey(key_path));
  ASSIGN_OR_RETURN(std::string made, IssueCertificate(spec, key, {}, clock.WallNow()));
  RETURN_IF_ERROR(WritePrivateFile(certificate_path, made));
  return PemPair{std::move(made), std::move(key)};
}

Status EnsureLeaf(const std::string& path, const CertificateSpec& spec, const PemPair& authority,
                  Clock& clock) {
  ASSIGN_OR_RETURN(const std::optional<std::string> certificate, ReadSmallFile(path + ".crt"));
  ASSIGN_OR_RETURN(const std::optional<std::string> key, ReadSmallFile(path + ".key"));
  if (certificate && key) {
    const std::string why = WhyNotUsable({*certificate, *key}, spec, authority.certificate,
                                         clock.WallNow(), kLeafRemainingMin);
    if (why.empty()) return OkStatus();
    log::Info("certificate is made anew", {{"path", path + ".crt"}, {"reason", why}});
  }
  ASSIGN_OR_RETURN(const std::string new_key, NewKeyPem());
  ASSIGN_OR_RETURN(const std::string made,
                   IssueCertificate(spec, new_key, authority, clock.WallNow()));
  RETURN_IF_ERROR(WritePrivateFile(path + ".key", new_key));
  return WritePrivateFile(path + ".crt", made);
}

Result<std::string> ReadRequired(const std::string& path) {
  ASSIGN_OR_RETURN(std::optional<std::string> bytes, ReadSmallFile(path));
  if (!bytes) return NotFound("read " + path + ": No such file or directory");
  return *std::move(bytes);
}

}  // namespace

Result<TlsFiles> EnsurePki(const std::string& path, const std::vector<std::string>& host_names,
                           Clock& clock) {
  RETURN_IF_ERROR(MakePrivateDirectory(path));
  ASSIGN_OR_RETURN(const PemPair authority, EnsureAuthority(path, clock));
  CertificateSpec server{.use = CertificateUse::kServer,
                         .common_name = "forkplane",
                         .hosts = {"127.0.0.1", "::1", "localhost", MachineName()},
                         .validity = kLeafValidity};
  server.hosts.insert(server.hosts.end(), host_names.begin(), host_names.end());
  RETURN_IF_ERROR(EnsureLeaf(path + "/server", server, authority, clock));
  const CertificateSpec admin{.use = CertificateUse::kClient,
                              .common_name = "admin",
                              .organizations = {"system:masters"},
                              .validity = kLeafValidity};
  RETURN_IF_ERROR(EnsureLeaf(path + "/admin", admin, authority, clock));
  return TlsFiles{path + "/server.crt", path + "/server.key", path + "/ca.crt"};
}

Status WriteKubeconfig(const std::string& pki_path, const std::string& server_url,
                       const std::string& kubeconfig_path) {
  ASSIGN_OR_RETURN(const std::string authority, ReadRequired(pki_path + "/ca.crt"));
  ASSIGN_OR_RETURN(const std::string certificate, ReadRequired(pki_path + "/admin.crt"));
  ASSIGN_OR_RETURN(const std::string key, ReadRequired(pki_path + "/admin.key"));
  const std::string text = fmt::format(
      R"(apiVersion: v1
kind: Config
current-context: forkplane
clusters:
- name: forkplane
  cluster:
    server: {}
    certificate-authority-data: {}
contexts:
- name: forkplane
  context:
    cluster: forkplane
    user: admin
users:
- name: admin
  user:
    client-certificate-data: {}
    client-key-data: {}
)",
      server_url, Base64(authority), Base64(certificate), Base64(key));
  ASSIGN_OR_RETURN(const std::optional<std::string> existing, ReadSmallFile(kubeconfig_path));
  if (existing == text) return OkStatus();
  return WritePrivateFile(kubeconfig_path, text);
}

}  // namespace forkplane::apiserver
