// Goal: a list is never half of one state and half of another. The kernel marks such a list
// (NLM_F_DUMP_INTR) and leaves it to the reader; Socket::Dump asks again, and gives up in the end.
// Method: first the same lists are read raw, part by part, with a change in between, to show that
// the kernel does mark them; then Dump reads them under the same changes. A part is made when the
// one before it is read, so a change shows two parts later: the lists here have many.
// Of what we list the kernel (6.18) marks links and addresses. Qdiscs, classes, filters, routes and
// neighbours it never marks, whatever happens meanwhile.
#include <gtest/gtest.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <array>
#include <atomic>
#include <functional>
#include <map>
#include <thread>

#include "controller/base/network_names.h"
#include "controller/base/unique_fd.h"
#include "drivers/netlink/link.h"
#include "drivers/netlink/route.h"
#include "drivers/netlink/socket.h"
#include "tests/support/netns.h"

namespace forkplane::netlink {
namespace {

constexpr std::uint32_t kLinks = 150;
constexpr std::uint32_t kAddresses = 1500;
constexpr std::uint32_t kAddressBase = 0x0a4d0000;  // 10.77.0.0
constexpr std::size_t kSmallPart = 8192;

struct Host {
  std::unique_ptr<NetlinkLinkDriver> links = *NetlinkLinkDriver::Open();
  std::unique_ptr<NetlinkRouteDriver> routes = *NetlinkRouteDriver::Open();
};

// One kind of list: what is in it, how it is asked for, and what changes it.
struct Kind {
  const char* name;
  void (*fill)(Host& host);
  // Something new; each number once.
  void (*add)(Host& host, std::uint32_t n);
  Message (*ask)();
  // The number of a thing in the list.
  std::optional<std::uint32_t> (*number)(const nlmsghdr* part);
  std::uint32_t filled;
};
void PrintTo(const Kind& kind, std::ostream* out) { *out << kind.name; }

void AddLink(Host& host, std::uint32_t n) { ASSERT_TRUE(host.links->CreateIfb({n, ""}).ok()); }
void FillLinks(Host& host) {
  for (std::uint32_t n = 0; n < kLinks; ++n) AddLink(host, n);
}
Message AskForLinks() {
  Message message(RTM_GETLINK, 0);
  message.Header(ifinfomsg{}).U32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
  return message;
}
std::optional<std::uint32_t> NumberOfLink(const nlmsghdr* part) {
  const auto* header = HeaderOf<ifinfomsg>(part);
  const auto index = header == nullptr ? 0 : static_cast<std::uint32_t>(header->ifi_index);
  return IsIfbIndex(index) ? std::optional(index - kIfbIndexBase) : std::nullopt;
}

void AddAddress(Host& host, std::uint32_t n) {
  ASSERT_TRUE(host.routes->AddAddress(IfbIndex(0), {{kAddressBase + n}, 32}).ok());
}
void FillAddresses(Host& host) {
  AddLink(host, 0);
  for (std::uint32_t n = 0; n < kAddresses; ++n) AddAddress(host, n);
}
Message AskForAddresses() {
  ifaddrmsg header = {};
  header.ifa_family = AF_INET;
  Message message(RTM_GETADDR, 0);
  message.Header(header);
  return message;
}
std::optional<std::uint32_t> NumberOfAddress(const nlmsghdr* part) {
  const auto* header = HeaderOf<ifaddrmsg>(part);
  if (header == nullptr || header->ifa_index != IfbIndex(0)) return std::nullopt;
  const auto address = Attributes(part, sizeof *header).U32(IFA_LOCAL);
  return address ? std::optional(__builtin_bswap32(*address) - kAddressBase) : std::nullopt;
}

const Kind kKinds[] = {
    {"Links", FillLinks, AddLink, AskForLinks, NumberOfLink, kLinks},
    {"Addresses", FillAddresses, AddAddress, AskForAddresses, NumberOfAddress, kAddresses}};

// A list as the kernel hands it out, without any of our code behind it.
class RawDump {
 public:
  explicit RawDump(std::uint16_t type, unsigned char family) {
    struct {
      nlmsghdr header;
      ifinfomsg body;
    } request = {};
    request.header.nlmsg_len = sizeof request;
    request.header.nlmsg_type = type;
    request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
    request.body.ifi_family = family;
    CHECK(send(fd_.get(), &request, sizeof request, 0) == sizeof request);
  }

  // False: that was the last part.
  bool ReadPart() {
    alignas(nlmsghdr) std::array<char, kSmallPart> buffer = {};
    const ssize_t size = recv(fd_.get(), buffer.data(), buffer.size(), 0);
    CHECK(size > 0);
    auto left = static_cast<unsigned>(size);
    for (auto* part = reinterpret_cast<nlmsghdr*>(buffer.data()); NLMSG_OK(part, left);
         part = NLMSG_NEXT(part, left)) {
      CHECK(part->nlmsg_type != NLMSG_ERROR);
      interrupted_ = interrupted_ || (part->nlmsg_flags & NLM_F_DUMP_INTR) != 0;
      if (part->nlmsg_type == NLMSG_DONE) return false;
    }
    return true;
  }
  // To its end; whether the kernel marked any part.
  bool Interrupted() {
    while (ReadPart()) {
    }
    return interrupted_;
  }

 private:
  UniqueFd fd_{socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE)};
  bool interrupted_ = false;
};

RawDump RawDumpOf(const Kind& kind) {
  const bool links = kind.ask == AskForLinks;
  return links ? RawDump(RTM_GETLINK, AF_UNSPEC) : RawDump(RTM_GETADDR, AF_INET);
}

// What Socket::Dump does: what it found, how often it began anew.
struct Reading {
  explicit Reading(const Kind& k) : kind(k) {}
  // `during` runs at the first message of each try.
  Status Read(Socket& socket, const std::function<void()>& during) {
    bool first = true;
    return socket.Dump(
        kind.ask, "list",
        [&] {
          ++resets;
          found.clear();
          first = true;
        },
        [&](const nlmsghdr* part) {
          if (std::exchange(first, false)) during();
          if (const auto number = kind.number(part)) ++found[*number];
        });
  }
  // Everything from 0 to `count`, each once.
  void ExpectWhole(std::uint32_t count) const {
    EXPECT_EQ(found.size(), count);
    for (const auto& [number, times] : found) {
      EXPECT_LT(number, count);
      EXPECT_EQ(times, 1) << number;
    }
  }

  const Kind& kind;
  std::map<std::uint32_t, int> found = {};
  int resets = 0;
};

class DumpTest : public ::testing::TestWithParam<Kind> {
 protected:
  static void OnHost(const std::function<void(Host&)>& body) {
    const std::string why = testing::WhyNoNetworkNamespace();
    if (!why.empty()) GTEST_SKIP() << why;
    testing::RunInNetworkNamespace([&] {
      Host host;
      GetParam().fill(host);
      if (!HasFatalFailure()) body(host);
    });
  }
};

INSTANTIATE_TEST_SUITE_P(Lists, DumpTest, ::testing::ValuesIn(kKinds),
                         [](const auto& kind) { return std::string(kind.param.name); });

TEST_P(DumpTest, TheKernelMarksAListThatChangedWhileItWasRead) {
  OnHost([](Host& host) {
    const Kind& kind = GetParam();
    RawDump undisturbed = RawDumpOf(kind);
    EXPECT_FALSE(undisturbed.Interrupted());
    RawDump dump = RawDumpOf(kind);
    ASSERT_TRUE(dump.ReadPart());
    kind.add(host, kind.filled);
    EXPECT_TRUE(dump.Interrupted());
  });
}

TEST_P(DumpTest, AnInterruptedListIsThrownAwayAndReadAgain) {
  OnHost([](Host& host) {
    const Kind& kind = GetParam();
    constexpr std::uint32_t kInterruptions = 3;
    Socket socket = *Socket::Open();
    Reading reading(kind);
    std::uint32_t added = 0;
    const Status status = reading.Read(socket, [&] {
      if (added < kInterruptions) kind.add(host, kind.filled + added++);
    });
    ASSERT_TRUE(status.ok()) << status.error().message;
    EXPECT_EQ(reading.resets, static_cast<int>(kInterruptions) + 1);
    reading.ExpectWhole(kind.filled + kInterruptions);
  });
}

TEST_P(DumpTest, AListThatNeverStandsStillIsUnavailableInTheEnd) {
  OnHost([](Host& host) {
    const Kind& kind = GetParam();
    Socket socket = *Socket::Open();
    Reading reading(kind);
    std::uint32_t added = 0;
    const Status status = reading.Read(socket, [&] { kind.add(host, kind.filled + added++); });
    ASSERT_FALSE(status.ok());
    EXPECT_EQ(status.error().code, Code::kUnavailable);
    EXPECT_EQ(reading.resets, kDumpTriesMax);
    // The socket is as good as new.
    Reading again(kind);
    ASSERT_TRUE(again.Read(socket, [] {}).ok());
    again.ExpectWhole(kind.filled + kDumpTriesMax);
  });
}

// Adds and deletes one address from a thread of its own, as often as it is told to.
class Writer {
 public:
  explicit Writer(Host& host)
      : thread_([this, &host](const std::stop_token& stop) {
          bool there = false;
          while (!stop.stop_requested()) {
            if (budget_.load() == 0) {
              budget_.wait(0);
              continue;
            }
            const Ipv4Prefix address = {{kAddressBase + kAddresses}, 32};
            const Status status = there ? host.routes->DeleteAddress(IfbIndex(0), address)
                                        : host.routes->AddAddress(IfbIndex(0), address);
            CHECK(status.ok());
            there = !there;
            --budget_;
          }
        }) {}
  ~Writer() {
    thread_.request_stop();
    Change(1);
  }
  // What it was told before and has not done yet is forgotten: a writer that lags behind would
  // change more than that during one list.
  void Change(int times) {
    budget_ = times;
    budget_.notify_one();
  }

 private:
  std::atomic<int> budget_ = 0;
  std::jthread thread_;
};

// The same without a choreography: another thread changes what is listed.
TEST(DumpUnderAWriterTest, EveryListIsWholeAndSomeWereReadAgain) {
  const std::string why = testing::WhyNoNetworkNamespace();
  if (!why.empty()) GTEST_SKIP() << why;
  testing::RunInNetworkNamespace([] {
    constexpr int kRoundsMax = 2000;
    constexpr int kChanges = 5;  // in each round: fewer than the tries a list has
    static_assert(kChanges < kDumpTriesMax);
    const Kind& kind = kKinds[1];
    Host host;
    kind.fill(host);
    Writer writer(host);
    int rounds = 0;
    for (bool marked = false; !marked; ++rounds) {
      ASSERT_LT(rounds, kRoundsMax) << "no interruption provoked";
      writer.Change(kChanges);
      marked = RawDumpOf(kind).Interrupted();
    }
    Socket socket = *Socket::Open();
    int retries = 0;
    for (rounds = 0; rounds < 20 || retries == 0; ++rounds) {
      ASSERT_LT(rounds, kRoundsMax) << "no interruption provoked";
      writer.Change(kChanges);
      Reading reading(kind);
      const Status status = reading.Read(socket, [] {});
      ASSERT_TRUE(status.ok()) << status.error().message;
      reading.found.erase(kAddresses);  // comes and goes
      reading.ExpectWhole(kAddresses);
      retries += reading.resets - 1;
    }
  });
}

}  // namespace
}  // namespace forkplane::netlink
