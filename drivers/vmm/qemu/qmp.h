// A client of the QEMU Machine Protocol over a unix socket: one JSON object per line.
//
// NOTE Trust: what comes from the other side is a possibly hostile process's: lines are bounded,
// depth is bounded, every read has a deadline, an answer counts only with our own id, and words in
// errors and statuses are cleaned and at most kForeignTextBytesMax long.
// NOTE Threading: one thread at a time. QEMU serves one client per monitor; a second one gets its
// greeting only when the first has left, so connections are short.
// https://www.qemu.org/docs/master/interop/qmp-spec.html
#pragma once

#include <chrono>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "controller/base/result.h"
#include "controller/base/unique_fd.h"

namespace forkplane::vmm {

class Qmp {
 public:
  using Deadline = std::chrono::steady_clock::time_point;

  // Connects, reads the greeting and leaves negotiation mode. NotFound: no socket. Unavailable:
  // nobody answers in time, or the peer closed.
  static Result<Qmp> Connect(const std::string& directory, const std::string& socket_name,
                             Deadline deadline);

  // The value of "return". A QMP error is Conflict (the command is not possible now) with its
  // class and text. `passed_fd` >= 0 goes with the command (getfd).
  Result<nlohmann::json> Execute(const std::string& command, const nlohmann::json& arguments,
                                 Deadline deadline, int passed_fd = -1);
  Result<nlohmann::json> Execute(const std::string& command, Deadline deadline);

  // Until query-migrate says completed. Internal: it failed, with QEMU's words.
  Status WaitMigration(Deadline deadline);
  // "running", "paused", "inmigrate", "postmigrate", "shutdown", "internal-error"...
  Result<std::string> QueryStatus(Deadline deadline);

 private:
  explicit Qmp(UniqueFd socket) : socket_(std::move(socket)) {}
  Result<std::string> ReadLine(Deadline deadline);
  Result<nlohmann::json> ReadObject(Deadline deadline);
  Status Send(const std::string& text, int passed_fd, Deadline deadline);
  // Returns at the next MIGRATION event or at the deadline, whichever is first.
  Status WaitEvent(Deadline deadline);

  UniqueFd socket_;
  std::string buffer_;
  std::uint64_t next_id_ = 1;
  bool migration_event_ = false;
};

}  // namespace forkplane::vmm
