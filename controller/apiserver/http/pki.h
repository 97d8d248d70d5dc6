// The daemon's own certificates below <state-dir>/pki, made on first start:
//   ca.key ca.crt          10 years; signs the other two; an existing one is never replaced
//   server.key server.crt  the API's; renewed when it nears its end or a host name is missing in it
//   admin.key admin.crt    CN=admin, O=system:masters, for the kubeconfig; renewed likewise
// All 0600 in a 0700 directory. A key is written before its certificate, so a crash leaves a key
// alone or a pair that does not fit, and the next start finishes it.
#pragma once

#include <string>
#include <vector>

#include "controller/apiserver/http/tls.h"
#include "controller/base/clock.h"
#include "controller/base/result.h"

namespace forkplane::apiserver {

// Makes or finishes the directory `path`; its parent must exist. `host_names` (names or addresses)
// join 127.0.0.1, ::1, localhost and the machine's name in the server's certificate. One caller at
// a time: the state directory's lock is held.
Result<TlsFiles> EnsurePki(const std::string& path, const std::vector<std::string>& host_names,
                           Clock& clock);

// A kubeconfig with everything embedded, for `server_url` ("https://127.0.0.1:6443"); mode 0600,
// replaced by rename, and left alone when it already says the same.
Status WriteKubeconfig(const std::string& pki_path, const std::string& server_url,
                       const std::string& kubeconfig_path);

}  // namespace forkplane::apiserver
