// Goal: an overflow of the event socket costs events, never the knowledge that some are missing; a
// look costs no event. Method: a small receive buffer, a reader that is held, and more changes than
// it takes.
#include "drivers/netlink/events.h"

#include <gtest/gtest.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>

#include <algorithm>
#include <atomic>

#include "controller/base/mutex.h"
#include "controller/base/network_names.h"
#include "drivers/netlink/link.h"
#include "drivers/netlink/qdisc.h"
#include "drivers/netlink/route.h"
#include "drivers/netlink/tap.h"
#include "drivers/netlink/tc_codec.h"
#include "tests/support/netns.h"

namespace forkplane::netlink {
namespace {

using drivers::LinkEvent;
using drivers::LinkEventKind;

constexpr int kSmallBufferBytes = 32 * 1024;
constexpr int kFlood = 200;  // a change of a link is an event of more than a kilobyte
constexpr LinkEvent kLost{LinkEventKind::kLost};

// Gathers what comes. While it is held, the reader's thread stands still in it.
class Receiver {
 public:
  void OnEvent(const LinkEvent& event) {
    std::function<void()> then;
    {
      const MutexLock lock(mutex_);
      changed_.Wait(mutex_, {}, [this]() NO_THREAD_SAFETY_ANALYSIS { return !held_; });
      events_.push_back(event);
      if (event == kLost) then = std::exchange(at_loss_, {});
    }
    if (then) then();
    changed_.NotifyAll();
  }
  // `at_loss` runs in the reader's thread at the next kLost.
  void Hold(std::function<void()> at_loss) {
    const MutexLock lock(mutex_);
    held_ = true;
    at_loss_ = std::move(at_loss);
  }
  void Release() {
    {
      const MutexLock lock(mutex_);
      held_ = false;
    }
    changed_.NotifyAll();
  }
  // Within a tenth of a second.
  bool Saw(const LinkEvent& wanted) {
    const MutexLock lock(mutex_);
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(100);
    return changed_.WaitUntil(mutex_, {}, deadline, [&]() NO_THREAD_SAFETY_ANALYSIS {
      return std::find(events_.begin(), events_.end(), wanted) != events_.end();
    });
  }
  std::vector<LinkEvent> Events() {
    const MutexLock lock(mutex_);
    return events_;
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  bool held_ GUARDED_BY(mutex_) = false;
  std::function<void()> at_loss_ GUARDED_BY(mutex_);
  std::vector<LinkEvent> events_ GUARDED_BY(mutex_);
};

class EventsTest : public ::testing::Test {
 protected:
  // Floods the socket while its reader stands still, then lets it go on. Links 0 and 1 are there.
  void AfterAFlood(const std::function<void()>& at_loss,
                   const std::function<void(Receiver&)>& body) {
    const std::string why = testing::WhyNoNetworkNamespace();
    if (!why.empty()) GTEST_SKIP() << why;
    testing::RunInNetworkNamespace([&] {
      links_ = *NetlinkLinkDriver::Open();
      ASSERT_TRUE(links_->CreateIfb({0, ""}).ok());
      ASSERT_TRUE(links_->CreateIfb({1, ""}).ok());
      // The kernel tells of a new alias only when the link is up.
      ASSERT_TRUE(links_->SetUp(IfbIndex(0), true).ok());
      const auto events = *NetlinkLinkEvents::Open(kSmallBufferBytes);
      Receiver receiver;
      receiver.Hold(at_loss);
      ASSERT_TRUE(events->Start([&](const LinkEvent& event) { receiver.OnEvent(event); }).ok());
      for (int i = 0; i < kFlood; ++i) {
        ASSERT_TRUE(links_->SetAlias(IfbIndex(0), fmt::format("flood {}", i)).ok());
      }
      receiver.Release();
      body(receiver);
      events->Stop();
    });
  }
  // True when an event of a change made now arrives. Asks often: what is made while the reader is
  // still behind may be lost.
  bool Works(Receiver& receiver) {
    for (std::uint32_t n = 2; n < 52; ++n) {
      if (!links_->CreateIfb({n, ""}).ok()) return false;
      if (receiver.Saw({LinkEventKind::kLink, IfbIndex(n), 0, true})) return true;
    }
    return false;
  }

  std::unique_ptr<NetlinkLinkDriver> links_;
};

TEST_F(EventsTest, AnOverflowIsToldAndTheEventsGoOn) {
  AfterAFlood({}, [&](Receiver& receiver) {
    EXPECT_TRUE(Works(receiver));
    const auto events = receiver.Events();
    EXPECT_GE(std::count(events.begin(), events.end(), kLost), 1);
    const auto of_flood =
        std::count(events.begin(), events.end(), LinkEvent{LinkEventKind::kLink, IfbIndex(0)});
    EXPECT_LT(of_flood, kFlood) << "nothing was lost: the test shows nothing";
    EXPECT_GE(of_flood, 1) << "what was in the buffer is still read";
  });
}

// Who looks at everything because of kLost looks while the old events are still being read, and
// until the last of them is, the kernel throws new ones away and does not say so again.
TEST_F(EventsTest, WhatChangesWhileTheBacklogIsReadIsToldToo) {
  const auto delete_link = [this] { EXPECT_TRUE(links_->Delete(IfbIndex(1)).ok()); };
  AfterAFlood(delete_link, [&](Receiver& receiver) {
    EXPECT_TRUE(Works(receiver));
    const auto events = receiver.Events();
    const auto loss = std::find(events.begin(), events.end(), kLost);
    ASSERT_NE(loss, events.end());
    const bool told = std::any_of(loss + 1, events.end(), [](const LinkEvent& event) {
      return event == kLost || event == LinkEvent{LinkEventKind::kLinkGone, IfbIndex(1)};
    });
    EXPECT_TRUE(told);
  });
}

// The kernel shows the answer to a single question to every listener. A question of somebody else
// is told of all the same: he may have changed what he asks for.
TEST_F(EventsTest, OurOwnLooksAreNoNews) {
  const std::string why = testing::WhyNoNetworkNamespace();
  if (!why.empty()) GTEST_SKIP() << why;
  testing::RunInNetworkNamespace([&] {
    const auto links = *NetlinkLinkDriver::Open();
    const auto qdiscs = *NetlinkQdiscDriver::Open();
    ASSERT_TRUE(links->CreateIfb({0, ""}).ok());
    ASSERT_TRUE(qdiscs->AddHtb(IfbIndex(0), kDefaultClassMinor).ok());
    const auto events = *NetlinkLinkEvents::Open();
    Receiver receiver;
    ASSERT_TRUE(events->Start([&](const LinkEvent& event) { receiver.OnEvent(event); }).ok());
    ASSERT_TRUE(qdiscs->ObserveInterface(IfbIndex(0), 1, TapIndex(1))->uplink->root.has_value());
    Message question(RTM_GETQDISC, 0);
    question.Header(TcHeader(IfbIndex(0), TC_H_ROOT, 0));
    auto socket = *Socket::Open();
    ASSERT_TRUE(socket.Request(question, "ask").ok());
    EXPECT_TRUE(receiver.Saw({LinkEventKind::kQdisc, IfbIndex(0), kHtbHandle}));
    EXPECT_EQ(receiver.Events().size(), 1u);
    events->Stop();
  });
}

// Whose driver looks after what it did hears of nothing of it, whichever was opened first; whoever
// wants to know does, and what concerns others is told to all.
TEST_F(EventsTest, OfRatesThatAreLookedAtAnywayNothingIsTold) {
  const std::string why = testing::WhyNoNetworkNamespace();
  if (!why.empty()) GTEST_SKIP() << why;
  testing::RunInNetworkNamespace([&] {
    links_ = *NetlinkLinkDriver::Open();
    ASSERT_TRUE(links_->CreateIfb({0, ""}).ok());
    const auto events = *NetlinkLinkEvents::Open();
    const auto all_events = *NetlinkLinkEvents::Open(kEventBufferBytes, Doings::kTold);
    Receiver receiver;
    Receiver all;
    ASSERT_TRUE(events->Start([&](const LinkEvent& event) { receiver.OnEvent(event); }).ok());
    ASSERT_TRUE(all_events->Start([&](const LinkEvent& event) { all.OnEvent(event); }).ok());
    const auto qdiscs = *NetlinkQdiscDriver::Open(OwnChanges::kPassedOver);
    const std::uint32_t ifb = IfbIndex(0);
    drivers::HtbClass htb = {kRootClassMinor, 0, 1'000'000, 1'000'000, 20'000, 20'000, 20'000};
    ASSERT_TRUE(qdiscs->AddHtb(ifb, kDefaultClassMinor).ok());
    ASSERT_TRUE(qdiscs->AddClass(ifb, htb).ok());
    htb.minor = 1;
    htb.parent_minor = kRootClassMinor;
    ASSERT_TRUE(qdiscs->AddClass(ifb, htb).ok());
    ASSERT_TRUE(qdiscs->SetLeaf(ifb, 1, {drivers::LeafKind::kBfifo, 65'536}).ok());
    ASSERT_TRUE(qdiscs->DeleteClass(ifb, 1).ok());
    ASSERT_TRUE(qdiscs->DeleteRoot(ifb).ok());
    const LinkEvent of_class = {LinkEventKind::kClass, ifb, ClassHandle(1)};
    const LinkEvent of_root = {LinkEventKind::kClass, ifb, ClassHandle(kRootClassMinor)};
    EXPECT_TRUE(all.Saw(of_class));
    EXPECT_TRUE(receiver.Saw(of_root));
    EXPECT_TRUE(Works(receiver)) << "what came before is read";
    for (const LinkEvent& event : receiver.Events()) {
      EXPECT_NE(event, of_class);
      EXPECT_NE(event.parent, ClassHandle(1)) << "its leaf";
    }
    events->Stop();
    all_events->Stop();
  });
}

// The same of what the tap loop does to a TAP, but for the link itself, which the kernel tells
// under nobody's name. The fall of a link is told as such.
TEST_F(EventsTest, OfQdiscsAndRoutesOfItsTapsADriverHearsNothing) {
  const std::string why = testing::WhyNoNetworkNamespace();
  if (!why.empty()) GTEST_SKIP() << why;
  testing::RunInNetworkNamespace([&] {
    links_ = *NetlinkLinkDriver::Open();
    const auto taps = *NetlinkTapDriver::Open();
    const auto events = *NetlinkLinkEvents::Open();
    const auto all_events = *NetlinkLinkEvents::Open(kEventBufferBytes, Doings::kTold);
    Receiver receiver;
    Receiver all;
    ASSERT_TRUE(events->Start([&](const LinkEvent& event) { receiver.OnEvent(event); }).ok());
    ASSERT_TRUE(all_events->Start([&](const LinkEvent& event) { all.OnEvent(event); }).ok());
    const auto qdiscs = *NetlinkQdiscDriver::Open(OwnChanges::kPassedOver);
    const auto routes = *NetlinkRouteDriver::Open(OwnChanges::kPassedOver);
    const std::uint32_t tap = TapIndex(1);
    const Ipv4 address{0x0a4d0003};
    ASSERT_TRUE(taps->Create({.number = 1, .alias = "a"}).ok());
    ASSERT_TRUE(qdiscs->AddClsact(tap).ok());
    ASSERT_TRUE(qdiscs->AddTbf(tap, {625'000, 6'250, 65'536}).ok());
    ASSERT_TRUE(links_->SetUp(tap, true).ok());
    ASSERT_TRUE(routes->AddHostRoute(tap, address).ok());
    ASSERT_TRUE(routes->SetNeighbour(tap, {address, OuterMac(1)}).ok());
    ASSERT_TRUE(routes->DeleteNeighbour(tap, address).ok());
    ASSERT_TRUE(routes->DeleteHostRoute(tap, address).ok());
    ASSERT_TRUE(qdiscs->DeleteClsact(tap).ok());
    LinkEvent lost = {LinkEventKind::kRoute, tap};
    lost.address = address;
    EXPECT_TRUE(all.Saw(lost));
    EXPECT_TRUE(all.Saw({LinkEventKind::kQdisc, tap, kTbfHandle}));
    ASSERT_TRUE(links_->SetUp(tap, false).ok());
    LinkEvent fell = {LinkEventKind::kLink, tap, 0, true};
    EXPECT_TRUE(receiver.Saw(fell)) << "new, and up";
    fell.down = true;
    EXPECT_TRUE(receiver.Saw(fell));
    for (const LinkEvent& event : receiver.Events()) {
      const bool told = event.kind == LinkEventKind::kLink;
      // The end of a neighbour is the kernel's own doing, and told as that.
      const bool ended = event.kind == LinkEventKind::kNeighbour && !event.mac;
      EXPECT_TRUE(told || ended) << static_cast<int>(event.kind);
    }
    events->Stop();
    all_events->Stop();
  });
}

}  // namespace
}  // namespace forkplane::netlink
