#include "drivers/vmm/qemu/qmp.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "controller/base/foreign_text.h"
#include "drivers/storage/unix_socket.h"

namespace forkplane::vmm {
namespace {

using Json = nlohmann::json;
using std::chrono::milliseconds;

constexpr std::size_t kMonitorLineMax = 1U << 20U;
constexpr int kDepthMax = 32;
constexpr int kLinesPerAnswerMax = 1000;    // events between a command and its answer
constexpr milliseconds kMigrationPoll{20};  // only a net under the event

int MillisecondsLeft(Qmp::Deadline deadline) {
  const auto left =
      std::chrono::duration_cast<milliseconds>(deadline - std::chrono::steady_clock::now());
  return static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, 600'000));
}

// nlohmann's parser does not recurse but copying and dumping its result does, hence the bound.
Result<Json> ParseBounded(const std::string& text) {
  bool too_deep = false;
  const auto guard = [&](int depth, Json::parse_event_t, Json&) {
    if (depth > kDepthMax) too_deep = true;
    return !too_deep;
  };
  Json json = Json::parse(text, guard, false);
  if (json.is_discarded() || too_deep || !json.is_object()) {
    return Internal("monitor sent something that is no JSON object");
  }
  return json;
}

// The only way by which words of the other side leave this file, up to a line of 1 MiB of them:
// they go on into errors, and by these into conditions and Events.
std::string TextOf(const Json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_string()) return {};
  return CleanForeignText(found->get_ref<const std::string&>());
}

}  // namespace

Result<Qmp> Qmp::Connect(const std::string& directory, const std::string& socket_name,
                         Deadline deadline) {
  ASSIGN_OR_RETURN(UniqueFd socket, storage::ConnectTo(directory, socket_name));
  Qmp qmp(std::move(socket));
  ASSIGN_OR_RETURN(const Json greeting, qmp.ReadObject(deadline));
  if (!greeting.contains("QMP")) return Internal("monitor sent no greeting");
  RETURN_IF_ERROR(qmp.Execute("qmp_capabilities", deadline));
  return qmp;
}

Result<std::string> Qmp::ReadLine(Deadline deadline) {
  while (true) {
    const std::size_t end = buffer_.find('\n');
    if (end != std::string::npos) {
      std::string line = buffer_.substr(0, end);
      buffer_.erase(0, end + 1);
      return line;
    }
    if (buffer_.size() > kMonitorLineMax) return Internal("monitor sent a line over 1 MiB");
    pollfd readable{socket_.get(), POLLIN, 0};
    const int ready = ::poll(&readable, 1, MillisecondsLeft(deadline));
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) return Unavailable("monitor does not answer");
    std::array<char, 4096> chunk{};
    const ssize_t n = ::recv(socket_.get(), chunk.data(), chunk.size(), MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    if (n <= 0) return Unavailable("monitor closed the connection: the VMM has ended");
    buffer_.append(chunk.data(), static_cast<std::size_t>(n));
  }
}

Result<Json> Qmp::ReadObject(Deadline deadline) {
  ASSIGN_OR_RETURN(const std::string line, ReadLine(deadline));
  return ParseBounded(line);
}

Status Qmp::Send(const std::string& text, int passed_fd, Deadline deadline) {
  if (passed_fd >= 0) {
    // The descriptor waits in QEMU's monitor for the getfd whose bytes follow; a blank is
    // whitespace between JSON values.
    RETURN_IF_ERROR(storage::SendFd(socket_.get(), passed_fd, ' '));
  }
  std::string_view rest = text;
  while (!rest.empty()) {
    const ssize_t n = ::send(socket_.get(), rest.data(), rest.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n > 0) {
      rest.remove_prefix(static_cast<std::size_t>(n));
      continue;
    }
    if (errno != EAGAIN && errno != EINTR) return FromErrno(errno, "write to the monitor");
    pollfd writable{socket_.get(), POLLOUT, 0};
    if (::poll(&writable, 1, MillisecondsLeft(deadline)) == 0) {
      return Unavailable("monitor does not read");
    }
  }
  return OkStatus();
}

Result<Json> Qmp::Execute(const std::string& command, const Json& arguments, Deadline deadline,
                          int passed_fd) {
  const std::uint64_t id = next_id_++;
  Json request = {{"execute", command}, {"id", id}};
  if (!arguments.empty()) request["arguments"] = arguments;
  RETURN_IF_ERROR(Send(request.dump() + "\n", passed_fd, deadline));
  for (int line = 0; line < kLinesPerAnswerMax; ++line) {
    auto answer = ReadObject(deadline);
    if (!answer.ok()) return std::move(answer).error().WithContext(command);
    if (TextOf(*answer, "event") == "MIGRATION") migration_event_ = true;
    const auto answer_id = answer->find("id");
    if (answer_id == answer->end() || *answer_id != id) continue;
    if (const auto value = answer->find("return"); value != answer->end()) return *value;
    const auto error = answer->find("error");
    if (error == answer->end() || !error->is_object()) {
      return Internal(command + ": monitor sent neither a value nor an error");
    }
    return Conflict(command + ": " + TextOf(*error, "class") + ": " + TextOf(*error, "desc"));
  }
  return Internal(command + ": no answer among 1000 lines of the monitor");
}

Result<Json> Qmp::Execute(const std::string& command, Deadline deadline) {
  return Execute(command, Json::object(), deadline);
}

Status Qmp::WaitEvent(Deadline deadline) {
  while (!migration_event_) {
    auto object = ReadObject(deadline);
    if (!object.ok()) {
      // Time is up: not an error here. Anything else (the peer is gone) is.
      const bool late = MillisecondsLeft(deadline) == 0;
      return late ? OkStatus() : Status(std::move(object).error());
    }
    migration_event_ = TextOf(*object, "event") == "MIGRATION";
  }
  migration_event_ = false;
  return OkStatus();
}

Status Qmp::WaitMigration(Deadline deadline) {
  while (true) {
    ASSIGN_OR_RETURN(const Json migration, Execute("query-migrate", deadline));
    const std::string status = TextOf(migration, "status");
    if (status == "completed") return OkStatus();
    if (status == "failed" || status == "cancelled") {
      return Internal("migration " + status + ": " + TextOf(migration, "error-desc"));
    }
    if (MillisecondsLeft(deadline) == 0) return Unavailable("migration did not end in time");
    RETURN_IF_ERROR(
        WaitEvent(std::min(deadline, std::chrono::steady_clock::now() + kMigrationPoll)));
  }
}

Result<std::string> Qmp::QueryStatus(Deadline deadline) {
  ASSIGN_OR_RETURN(const Json status, Execute("query-status", deadline));
  return TextOf(status, "status");
}

}  // namespace forkplane::vmm
