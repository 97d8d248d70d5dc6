// Goal: the monitor client takes answers of its own and nothing else, and a hostile or dead VMM
// costs it a bounded time and a clear error.
// Method: a stand-in server thread that plays a script: for each line it receives it sends what the
// script says, whole.
#include "drivers/vmm/qemu/qmp.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <nlohmann/json.hpp>
#include <thread>

#include "controller/base/foreign_text.h"
#include "drivers/storage/unix_socket.h"
#include "tests/support/tempdir.h"

namespace forkplane::vmm {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using ::testing::HasSubstr;

constexpr char kGreeting[] = "{\"QMP\": {\"version\": {}, \"capabilities\": []}}\r\n";
constexpr char kNegotiated[] = "{\"return\": {}, \"id\": 1}\r\n";

Qmp::Deadline Soon() { return steady_clock::now() + std::chrono::seconds(10); }

class StandIn {
 public:
  // `script[0]` is sent at once, `script[n]` after the n-th line; then the connection closes unless
  // `hold`.
  StandIn(std::vector<std::string> script, bool hold)
      : listener_(*storage::ListenAt(dir_.path().string(), "control")),
        thread_([this, lines = std::move(script), hold](const std::stop_token& stop) {
          Serve(lines, hold, stop);
        }) {}

  Result<Qmp> Connect(Qmp::Deadline deadline = Soon()) {
    return Qmp::Connect(dir_.path().string(), "control", deadline);
  }

 private:
  void Serve(const std::vector<std::string>& script, bool hold, const std::stop_token& stop) {
    const UniqueFd peer(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    for (std::size_t i = 0; i < script.size(); ++i) {
      if (i > 0 && !ReadLine(peer.get(), stop)) return;
      if (::send(peer.get(), script[i].data(), script[i].size(), MSG_NOSIGNAL) < 0) return;
    }
    while (hold && !stop.stop_requested()) ::poll(nullptr, 0, 2);
  }
  bool ReadLine(int fd, const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      pollfd readable{fd, POLLIN, 0};
      if (::poll(&readable, 1, 5) <= 0) continue;
      char c = 0;
      if (::recv(fd, &c, 1, 0) <= 0) return false;
      if (c == '\n') return true;
    }
    return false;
  }

  testing::TempDir dir_;
  UniqueFd listener_;
  std::jthread thread_;
};

TEST(QmpTest, AnAnswerIsFoundAmongEventsByItsId) {
  StandIn server({kGreeting, kNegotiated,
                  "{\"event\": \"STOP\", \"data\": {}}\r\n"
                  "{\"return\": {\"status\": \"forged\"}, \"id\": 77}\r\n"
                  "{\"return\": {\"status\": \"paused\"}, \"id\": 2}\r\n"},
                 true);
  auto qmp = server.Connect();
  ASSERT_TRUE(qmp.ok()) << qmp.error().message;
  const auto status = qmp->QueryStatus(Soon());
  ASSERT_TRUE(status.ok()) << status.error().message;
  EXPECT_EQ(*status, "paused");
}

TEST(QmpTest, AQmpErrorBecomesAConflictWithItsWords) {
  StandIn server({kGreeting, kNegotiated,
                  "{\"error\": {\"class\": \"GenericError\", \"desc\": \"no way\"}, \"id\": 2}\n"},
                 true);
  auto qmp = server.Connect();
  ASSERT_TRUE(qmp.ok());
  const auto result = qmp->Execute("cont", Soon());
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code, Code::kConflict);
  EXPECT_EQ(result.error().message, "cont: GenericError: no way");
}

TEST(QmpTest, AMigrationIsWaitedForAndItsFailureTold) {
  StandIn server({kGreeting, kNegotiated,
                  "{\"return\": {\"status\": \"active\"}, \"id\": 2}\n"
                  "{\"event\": \"MIGRATION\", \"data\": {}}\n",
                  "{\"return\": {\"status\": \"failed\", \"error-desc\": \"bad stream\"}, "
                  "\"id\": 3}\n"},
                 true);
  auto qmp = server.Connect();
  ASSERT_TRUE(qmp.ok());
  const Status waited = qmp->WaitMigration(Soon());
  ASSERT_FALSE(waited.ok());
  EXPECT_EQ(waited.error().message, "migration failed: bad stream");
}

// A line may be 1 MiB; what of it is quoted goes on into conditions and Events.
TEST(QmpTest, TheWordsOfAHostileVmmAreBoundedAndClean) {
  const std::string flood(1U << 18U, 'x');
  const std::string dirty = "\\u001b[2Jgone\\n\\u009b" + flood;
  StandIn server(
      {kGreeting, kNegotiated,
       R"({"error": {"class": ")" + flood + R"(", "desc": ")" + dirty + "\"}, \"id\": 2}\n",
       R"({"return": {"status": "failed", "error-desc": ")" + dirty + "\"}, \"id\": 3}\n",
       R"({"return": {"status": ")" + dirty + "\"}, \"id\": 4}\n"},
      true);
  auto qmp = server.Connect();
  ASSERT_TRUE(qmp.ok()) << qmp.error().message;
  const auto refused = qmp->Execute("cont", Soon());
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, Code::kConflict);
  const std::string kept = " [2Jgone  " + flood;
  EXPECT_EQ(refused.error().message, "cont: " + CleanForeignText(flood) + ": " +
                                         kept.substr(0, kForeignTextBytesMax - 3) + "...");
  EXPECT_EQ(qmp->WaitMigration(Soon()).error().message,
            "migration failed: " + kept.substr(0, kForeignTextBytesMax - 3) + "...");
  EXPECT_EQ(*qmp->QueryStatus(Soon()), kept.substr(0, kForeignTextBytesMax - 3) + "...");
}

TEST(QmpTest, APeerThatClosesIsUnavailable) {
  StandIn server({kGreeting, kNegotiated, ""}, false);
  auto qmp = server.Connect();
  ASSERT_TRUE(qmp.ok());
  const auto result = qmp->Execute("query-status", Soon());
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code, Code::kUnavailable);
  EXPECT_THAT(result.error().message, HasSubstr("the VMM has ended"));
}

TEST(QmpTest, ASilentPeerCostsTheDeadlineOnly) {
  StandIn server({""}, true);
  const auto start = steady_clock::now();
  const auto qmp = server.Connect(start + milliseconds(80));
  ASSERT_FALSE(qmp.ok());
  EXPECT_EQ(qmp.error().code, Code::kUnavailable);
  EXPECT_GE(steady_clock::now() - start, milliseconds(70));
  EXPECT_LT(steady_clock::now() - start, std::chrono::seconds(8));
}

// Not a parameterised test: its inputs would be part of the test's listing, a megabyte of it.
TEST(QmpTest, HostileInputIsRefusedWithoutACrash) {
  const std::vector<std::pair<const char*, std::string>> inputs = {
      {"endless line", std::string((1U << 20U) + 8192, 'x')},
      {"no JSON", "hello\n"},
      {"array", "[1]\n"},
      {"no greeting", "{\"return\": {}}\n"},
      {"binary", std::string("\xff\xfe\0\x01\n", 5)},
      {"depth", "{\"QMP\":" + std::string(100'000, '[') + std::string(100'000, ']') + "}\n"},
  };
  for (const auto& [name, text] : inputs) {
    StandIn server({text}, true);
    const auto qmp = server.Connect();
    ASSERT_FALSE(qmp.ok()) << name;
    EXPECT_EQ(qmp.error().code, Code::kInternal) << name << ": " << qmp.error().message;
  }
}

TEST(QmpTest, EventsWithoutEndDoNotHoldACommandForEver) {
  std::string events;
  for (int i = 0; i < 1001; ++i) events += "{\"event\": \"NOISE\"}\n";
  StandIn server({kGreeting, events}, true);
  const auto qmp = server.Connect();
  ASSERT_FALSE(qmp.ok());
  EXPECT_EQ(qmp.error().code, Code::kInternal) << qmp.error().message;
}

}  // namespace
}  // namespace forkplane::vmm
