// Goal: when something takes our rules away, nothing that guests send passes, they are whole again
// within 100 ms, and no connection lives on without masquerade. Method: a guest sends without a
// pause while `nft flush ruleset` runs each second; the outside notes every source; and once with
// nobody who puts the rules back, where each part is shown to be needed by taking it away.
// FORKPLANE_TEST_DEPTH is how many times (60 is the minute of the acceptance).
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <thread>

#include "controller/base/mutex.h"
#include "controller/base/network_names.h"
#include "drivers/netlink/events.h"
#include "tests/kernel/forwarding/world.h"
#include "tests/kernel/healing/commands.h"

namespace forkplane::forwarding {
namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr std::uint16_t kPort = 5000;
// Of the processor: how long it takes besides depends on who else runs here.
constexpr double kWorkMillisecondsMax = 100;
constexpr std::chrono::milliseconds kBetween{1000};
constexpr int kFlushesInShort = 5;

int Flushes() {
  const char* depth = std::getenv("FORKPLANE_TEST_DEPTH");
  const int wanted = depth != nullptr ? std::atoi(depth) : 0;
  return wanted > 0 ? wanted : kFlushesInShort;
}

double Milliseconds(SteadyClock::duration duration) {
  return std::chrono::duration<double, std::milli>(duration).count();
}

// Of the processor, by this thread so far.
double WorkMilliseconds() {
  timespec spent = {};
  EXPECT_EQ(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &spent), 0);
  return static_cast<double>(spent.tv_sec) * 1e3 + static_cast<double>(spent.tv_nsec) / 1e6;
}

// The rules pass of the network loop, woken by the kernel as the daemon's is.
class Healer {
 public:
  explicit Healer(World& world) : world_(world), events_(*netlink::NetlinkLinkEvents::Open()) {
    thread_ = std::jthread([this](const std::stop_token& stop) { Run(stop); });
    EXPECT_TRUE(events_
                    ->Start([this](const drivers::LinkEvent& event) {
                      if (event.kind == drivers::LinkEventKind::kFirewall) Wake();
                    })
                    .ok());
  }
  ~Healer() { events_->Stop(); }

  struct Gap {
    SteadyClock::time_point told;   // by the kernel, within a millisecond of what was done
    SteadyClock::time_point whole;  // rules were found as they should be, and flows flushed
    double work_milliseconds = 0;   // of the processor, for it
  };
  // The last one: from the first word of it to the end of the pass that put the rules back.
  Gap Last() {
    const MutexLock lock(mutex_);
    return gap_;
  }

 private:
  void Wake() {
    const MutexLock lock(mutex_);
    if (!woken_) told_ = SteadyClock::now();
    woken_ = true;
    changed_.NotifyAll();
  }
  void Run(const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      SteadyClock::time_point told;
      {
        const MutexLock lock(mutex_);
        changed_.Wait(mutex_, stop, [&]() NO_THREAD_SAFETY_ANALYSIS { return woken_; });
        if (!woken_) return;
        woken_ = false;
        told = told_;
      }
      const auto before = world_.firewall->Observe();
      const bool gone = before.ok() && !before->has_value();
      const double work = WorkMilliseconds();
      const Status healed = world_.PassOfRules();
      EXPECT_TRUE(healed.ok());
      const MutexLock lock(mutex_);
      if (gone) gap_ = {told, SteadyClock::now(), WorkMilliseconds() - work};
    }
  }

  World& world_;
  std::unique_ptr<netlink::NetlinkLinkEvents> events_;
  Mutex mutex_;
  CondVar changed_;
  bool woken_ GUARDED_BY(mutex_) = false;
  SteadyClock::time_point told_ GUARDED_BY(mutex_) = {};
  Gap gap_ GUARDED_BY(mutex_) = {};
  std::jthread thread_;
};

struct Heard {
  int masqueraded = 0;
  int bare = 0;  // with a source of ours
  SteadyClock::time_point last_bare = {};
};

// Everything that has come.
void Hear(const UniqueFd& datagrams, Heard& heard) {
  pollfd file = {datagrams.get(), POLLIN, 0};
  while (poll(&file, 1, 0) == 1) {
    const Datagram datagram = Receive(datagrams);
    const bool bare = (datagram.from.value >> 8U) == (kInner.value >> 8U);
    (bare ? heard.bare : heard.masqueraded) += 1;
    if (bare) heard.last_bare = SteadyClock::now();
  }
}

void RunFlushes() {
  World world;
  const traffic::Guest guest = world.GuestOf(world.Claim("a"));
  const UniqueFd datagrams = world.outside.Socket(SOCK_DGRAM, kPort);
  Healer healer(world);
  const auto send = [&](std::uint16_t port) {
    EXPECT_TRUE(guest.Send(traffic::Packet(InnerMac(0), kInner, kOutside, IPPROTO_UDP,
                                           traffic::Udp(port, kPort, 20))));
  };
  Heard heard;
  SteadyClock::duration longest = {};
  double work = 0;
  std::uint16_t port = 10000;
  for (int flush = 0; flush < Flushes(); ++flush) {
    const auto began = SteadyClock::now();
    std::jthread vandal([] { EXPECT_TRUE(healing::RunLine("nft flush ruleset").ok()); });
    // An old stream, and a new one all the time: some begin in the gap. Few enough for the bounds.
    const auto end = began + kBetween;
    while (SteadyClock::now() < end) {
      send(7);
      send(++port);
      Hear(datagrams, heard);
      poll(nullptr, 0, 10);
    }
    vandal.join();
    const Healer::Gap gap = healer.Last();
    ASSERT_GT(gap.told, began) << "nothing was told";
    longest = std::max(longest, gap.whole - gap.told);
    work = std::max(work, gap.work_milliseconds);
    if (heard.last_bare > gap.told) longest = std::max(longest, heard.last_bare - gap.told);
  }
  std::printf(
      "flush ruleset %d times: longest gap %.1f ms (%.1f ms of work); outside heard %d "
      "masqueraded, %d bare\n",
      Flushes(), Milliseconds(longest), work, heard.masqueraded, heard.bare);
  EXPECT_LT(work, kWorkMillisecondsMax);
  EXPECT_GT(heard.masqueraded, 0);
  EXPECT_EQ(heard.bare, 0) << "a private source outside";
  // What began in a gap ended with it: every port again, and none of them bare.
  Hear(datagrams, heard);
  const int bare = heard.bare;
  for (std::uint16_t again = 10001; again <= port; ++again) {
    send(again);
    if (again % 40 == 0) poll(nullptr, 0, 250);  // 200 new ones a second
  }
  poll(nullptr, 0, 200);
  Hear(datagrams, heard);
  EXPECT_EQ(heard.bare, bare) << "a connection of a gap lives on without masquerade";
}

TEST(FlushTest, RulesAreWholeAgainAndNothingOfTheGapLivesOn) { InNamespace(RunFlushes); }

// To the outside and to a service of the host, from ports that were not used before.
void SendToBoth(const traffic::Guest& guest, std::uint16_t port) {
  for (const Ipv4 to : {kOutside, kHostOutside}) {
    ASSERT_TRUE(guest.Send(
        traffic::Packet(InnerMac(0), kInner, to, IPPROTO_UDP, traffic::Udp(port, kPort, 20))));
  }
}

UniqueFd HostService() {
  UniqueFd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(kPort);
  EXPECT_EQ(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  return fd;
}

bool Hears(const UniqueFd& datagrams) {
  pollfd file = {datagrams.get(), POLLIN, 0};
  const bool heard = poll(&file, 1, 200) == 1;
  if (heard) static_cast<void>(Receive(datagrams));
  return heard;
}

TEST(FlushTest, WithoutTheTableNothingThatGuestsSendPasses) {
  InNamespace([] {
    World world;
    world.objects.network.spec.host_access = crd::Access::kAllowed;
    world.Pass();
    const traffic::Guest guest = world.GuestOf(world.Claim("a"));
    const UniqueFd outside = world.outside.Socket(SOCK_DGRAM, kPort);
    const UniqueFd host = HostService();
    SendToBoth(guest, 1);
    EXPECT_TRUE(Hears(outside));
    EXPECT_TRUE(Hears(host));
    ASSERT_TRUE(healing::RunAll({"nft flush ruleset"}).ok());
    SendToBoth(guest, 1);  // what was allowed
    SendToBoth(guest, 2);
    EXPECT_FALSE(Hears(outside));
    EXPECT_FALSE(Hears(host));
    // What each part is for.
    ASSERT_TRUE(healing::RunAll({"sysctl -w net.ipv4.conf.fkbr0.src_valid_mark=0"}).ok());
    SendToBoth(guest, 3);
    EXPECT_FALSE(Hears(outside));
    EXPECT_TRUE(Hears(host)) << "src_valid_mark is not needed";
    ASSERT_TRUE(healing::RunAll({"ip rule del pref 1"}).ok());
    SendToBoth(guest, 4);
    EXPECT_TRUE(Hears(outside)) << "the rule is not needed";
    // The kernel tells of the rule, and it comes back with the table.
    ASSERT_TRUE(world.PassOfRules().ok());
    EXPECT_TRUE(*world.routes->HasUnjudgedRule());
    SendToBoth(guest, 5);
    EXPECT_TRUE(Hears(outside));
  });
}

// Others keep theirs: no packet but of a guest of ours has that mark.
TEST(FlushTest, WithoutTheTableTheHostItselfSends) {
  InNamespace([] {
    const World world;
    const UniqueFd outside = world.outside.Socket(SOCK_DGRAM, kPort);
    ASSERT_TRUE(healing::RunAll({"nft flush ruleset"}).ok());
    const UniqueFd host = HostService();
    sockaddr_in to = {};
    to.sin_family = AF_INET;
    to.sin_port = htons(kPort);
    to.sin_addr.s_addr = htonl(kOutside.value);
    EXPECT_EQ(::sendto(host.get(), "x", 1, 0, reinterpret_cast<sockaddr*>(&to), sizeof to), 1);
    EXPECT_TRUE(Hears(outside));
  });
}

// A default route that comes, moves or goes needs no rule: what leaves is masqueraded on any link.
TEST(FlushTest, AnotherWayOutIsMasqueradedAtOnce) {
  InNamespace([] {
    World world;
    const traffic::Guest guest = world.GuestOf(world.Claim("a"));
    const UniqueFd datagrams = world.outside.Socket(SOCK_DGRAM, kPort);
    ASSERT_TRUE(healing::RunAll({"ip route del default"}).ok());
    world.Pass();
    ASSERT_TRUE(healing::RunAll({"ip route add default nexthop via 198.51.100.2 dev up0 weight 1 "
                                 "nexthop via 198.51.100.2 dev up0 weight 1"})
                    .ok());
    ASSERT_TRUE(guest.Send(
        traffic::Packet(InnerMac(0), kInner, kOutside, IPPROTO_UDP, traffic::Udp(7, kPort, 20))));
    EXPECT_EQ(Receive(datagrams).from, kHostOutside);
  });
}

// A lost store keeps the rules: of a Network whose object nobody knows they are put back as they
// were.
TEST(FlushTest, ALostStoreKeepsTheRules) {
  InNamespace([] {
    World world;
    world.objects.network.spec.host_access = crd::Access::kAllowed;
    world.Pass();
    const auto before = *world.firewall->Observe();
    ASSERT_TRUE(before && before->networks.at(0).host_access);
    world.objects.network.metadata.uid = "another";
    ASSERT_TRUE(world.PassOfRules().ok());
    EXPECT_EQ(*world.firewall->Observe(), before) << "rules that stand";
    ASSERT_TRUE(world.firewall->Remove().ok());
    ASSERT_TRUE(world.PassOfRules().ok());
    EXPECT_EQ(*world.firewall->Observe(), before) << "rules that somebody removed";
  });
}

}  // namespace
}  // namespace forkplane::forwarding
