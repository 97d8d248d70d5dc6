// Unix sockets whose path may be longer than the 107 bytes of sockaddr_un: bound and connected
// through /proc/self/fd/N/<name> of an open directory (unix(7); measured with paths of 111 bytes).
#pragma once

#include <chrono>
#include <string>

#include "controller/base/result.h"
#include "controller/base/unique_fd.h"

namespace forkplane::storage {

// Replaces a stale socket of that name; mode 0600. `directory` is absolute.
Result<UniqueFd> ListenAt(const std::string& directory, const std::string& name);
// NotFound: no such socket. Unavailable: nobody listens, or the listener took none of the
// connections that wait for it (a stopped process) within `patience`.
Result<UniqueFd> ConnectTo(const std::string& directory, const std::string& name,
                           std::chrono::milliseconds patience = std::chrono::seconds(5));

// One descriptor beside one byte, which the receiver reads as data. Receive gives an invalid
// descriptor at end of file.
Status SendFd(int socket, int fd, char byte = 'f');
Result<UniqueFd> ReceiveFd(int socket);

}  // namespace forkplane::storage
