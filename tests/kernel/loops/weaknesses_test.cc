// Goal: what went wrong in the system we start from cannot happen here, one test per finding (the
// numbers are those of its review; findings that other suites exclude are named there). Method: the
// loops on the real kernel, and packets.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <cstddef>
#include <set>

#include "tests/kernel/healing/commands.h"
#include "tests/kernel/loops/loops.h"
#include "tests/kernel/traffic/guest.h"

namespace forkplane {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using traffic::Bytes;
using traffic::Guest;

constexpr Ipv4 kGateway{0x0a4d0001};
constexpr Ipv4 kInner{0x0a4d0002};
constexpr MacAddress kMac = InnerMac(0);
constexpr int kQuietMilliseconds = 300;

class WeaknessTest : public ::testing::Test {
 protected:
  static void InNamespace(const std::function<void()>& body) {
    const std::string why = testing::WhyNoNetworkNamespace();
    if (!why.empty()) GTEST_SKIP() << why;
    testing::RunInNetworkNamespace(body);
  }
};

drivers::ObservedClass ClassOf(Loops& loops, std::uint32_t minor) {
  const auto uplink = *loops.qdiscs->ObserveUplink(IfbIndex(0));
  for (const auto& is : uplink.classes) {
    if (is.htb.minor == minor) return is;
  }
  return {};
}

runtime::InterfaceFacts FactsOf(Loops& loops, const ledger::InterfaceLease& lease) {
  return loops.facts.Get(ledger::KeyOf(lease.id)).value_or(runtime::InterfaceFacts{});
}

ledger::InterfaceLease Raise(Loops& loops, const std::string& name) {
  ledger::InterfaceLease lease = loops.Claim(name).interfaces.at(0);
  loops.Pass();
  EXPECT_TRUE(FactsOf(loops, lease).ready && FactsOf(loops, lease).shaped) << name;
  return lease;
}

Bytes Datagram(Ipv4 to) {
  return traffic::Packet(kMac, kInner, to, IPPROTO_UDP, traffic::Udp(7, 9, 200));
}

// The bridge answers only some time after its first port came up.
void Settle(Loops& loops, const ledger::InterfaceLease& lease) {
  const Guest guest(*loops.taps->Dup(lease.number));
  const auto is_arp = [](const Bytes& f) { return traffic::Read16(f, 12) == 0x0806; };
  for (int i = 0; i < 50; ++i) {
    ASSERT_TRUE(guest.Send(traffic::ArpRequest(kMac, kInner, kGateway)));
    if (guest.Receive(is_arp, 200)) return;
  }
  FAIL() << "no ARP answer";
}

TEST_F(WeaknessTest, UploadPassesTheClassThatShallBoundIt) {  // W1
  InNamespace([] {
    Loops loops;
    loops.Pass();
    const auto lease = Raise(loops, "a");
    Settle(loops, lease);
    const Guest guest(*loops.taps->Dup(lease.number));
    const std::uint64_t before = ClassOf(loops, MinorOf(lease.number)).counters.packets;
    for (int i = 0; i < 40; ++i) ASSERT_TRUE(guest.Send(Datagram(kGateway)));
    for (int i = 0; i < 100; ++i) {
      if (ClassOf(loops, MinorOf(lease.number)).counters.packets >= before + 40) break;
      ::usleep(10'000);
    }
    EXPECT_GE(ClassOf(loops, MinorOf(lease.number)).counters.packets, before + 40);
    EXPECT_EQ(ClassOf(loops, kDefaultClassMinor).counters.packets, 0u);
  });
}

TEST_F(WeaknessTest, ShapingThatFailsIsSaidAndTriedAgain) {  // W2
  InNamespace([] {
    Loops loops;
    loops.Pass();
    const auto lease = Raise(loops, "a");
    ASSERT_TRUE(loops.links->Delete(IfbIndex(0)).ok());
    loops.ShapingPass();
    EXPECT_FALSE(FactsOf(loops, lease).shaped);
    EXPECT_EQ(FactsOf(loops, lease).shaped_reason, "WaitingForUplink");
    loops.Pass();
    EXPECT_TRUE(FactsOf(loops, lease).shaped);
  });
}

TEST_F(WeaknessTest, AnOldWishCannotTouchTheNextHolderOfANumber) {  // W3
  InNamespace([] {
    Loops loops;
    loops.objects.network_.spec.address_rest = crd::Duration{};
    loops.Pass();
    const auto old = Raise(loops, "a");
    ASSERT_TRUE(loops.ledger_->Release("uid-a").ok());
    loops.Pass();
    const auto next = Raise(loops, "b");
    ASSERT_EQ(next.number, old.number);
    loops.calls.changes.clear();
    loops.calls.looks.clear();
    loops.TapPass(old);  // what was queued for it comes late
    EXPECT_THAT(loops.calls.changes, ElementsAre());
    EXPECT_THAT(loops.calls.looks, ElementsAre());
    EXPECT_EQ((*loops.links->Observe(TapIndex(next.number)))->alias, "uid-b");
  });
}

TEST_F(WeaknessTest, FiveHundredInterfacesHaveFiveHundredClasses) {  // W5
  InNamespace([] {
    Loops loops;
    loops.objects.network_.spec.cidr = "10.77.0.0/20";
    loops.Pass();
    for (int i = 0; i < 500; ++i) loops.Claim(fmt::format("vm-{}", i));
    loops.PassOverTaps();
    loops.ShapingPass();
    const auto uplink = *loops.qdiscs->ObserveUplink(IfbIndex(0));
    std::set<std::uint32_t> minors;
    for (const auto& is : uplink.classes) minors.insert(is.htb.minor);
    EXPECT_EQ(minors.size(), 502u) << "root and default";
  });
}

TEST_F(WeaknessTest, WhatACloneLosesItsSourceKeeps) {  // W6
  InNamespace([] {
    Loops loops;
    loops.Pass();
    const auto source = Raise(loops, "source");
    const auto clone = loops.Claim("clone").interfaces.at(0);
    ASSERT_TRUE(loops.ledger_->Release("uid-clone").ok());  // before any loop came by
    loops.Pass();
    loops.Pass();
    EXPECT_NE(clone.number, source.number);
    EXPECT_EQ(ClassOf(loops, MinorOf(source.number)).htb.minor, MinorOf(source.number));
    EXPECT_TRUE(FactsOf(loops, source).ready && FactsOf(loops, source).shaped);
    EXPECT_FALSE(loops.ledger_->GetVm("uid-clone").has_value());
  });
}

// From here on this thread cannot execute a program or make a process.
void ForbidProcesses() {
  constexpr std::uint32_t kNumber = offsetof(seccomp_data, nr);
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, kNumber),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_execve, 3, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_execveat, 2, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_wait4, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
  };
  const sock_fprog filter{std::size(program), program};
  CHECK(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
  CHECK(::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0);
}

TEST_F(WeaknessTest, NoProgramIsExecutedToChangeTheNetwork) {  // W9
  InNamespace([] {
    ForbidProcesses();
    ASSERT_FALSE(healing::RunLine("ip link").ok()) << "the filter does not hold";
    Loops loops;
    loops.Pass();
    const auto lease = Raise(loops, "a");
    ASSERT_TRUE(loops.qdiscs->DeleteClass(IfbIndex(0), MinorOf(lease.number)).ok());
    loops.Pass();
    EXPECT_TRUE(FactsOf(loops, lease).shaped);
    ASSERT_TRUE(loops.ledger_->Release("uid-a").ok());
    loops.Pass();
    EXPECT_TRUE(loops.ledger_->ListAll().vms.empty());
  });
}

TEST_F(WeaknessTest, NoListOfFiltersGrowsWithTheMachines) {  // W10
  InNamespace([] {
    Loops loops;
    loops.Pass();
    ledger::InterfaceLease lease;
    for (int i = 0; i < 20; ++i) lease = loops.Claim(fmt::format("vm-{}", i)).interfaces.at(0);
    loops.Pass();
    for (const char* device : {"fkifb0", "fkbr0"}) {
      EXPECT_EQ(*healing::RunLine(fmt::format("tc filter show dev {}", device)), "") << device;
    }
    for (const char* side : {"ingress", "egress"}) {
      const std::string filters =
          *healing::RunLine(fmt::format("tc filter show dev {} {}", TapName(lease.number), side));
      const std::size_t first = filters.find(" handle ");
      ASSERT_NE(first, std::string::npos) << filters;
      EXPECT_EQ(filters.find(" handle ", first + 1), std::string::npos) << filters;
    }
  });
}

TEST_F(WeaknessTest, ALinkOfSomebodyElseUnderOurNameIsNotDeleted) {  // W14
  InNamespace([] {
    Loops loops;
    loops.Pass();
    ASSERT_TRUE(healing::RunAll({"ip link add fk46000001 type veth peer name theirs0"}).ok());
    const std::string before = *healing::RunLine("ip -o link show fk46000001");
    const auto lease = loops.Claim("a").interfaces.at(0);
    ASSERT_EQ(TapName(lease.number), "fk46000001");
    const auto pass = loops.TryTapPass(lease);
    ASSERT_FALSE(pass.ok());
    EXPECT_THAT(pass.error().message, HasSubstr("fk46000001"));
    EXPECT_FALSE(FactsOf(loops, lease).ready);
    EXPECT_EQ(*healing::RunLine("ip -o link show fk46000001"), before);
    ASSERT_TRUE(healing::RunAll({"ip link del fk46000001"}).ok());
    loops.Pass();
    EXPECT_TRUE(FactsOf(loops, lease).ready);
  });
}

TEST_F(WeaknessTest, TheLastMachinesTapGoesAndASlowOnesStays) {  // W17
  InNamespace([] {
    Loops loops;
    loops.Pass();
    const auto lease = Raise(loops, "a");
    // However long its VMM takes to come, and though no VM runs.
    for (int i = 0; i < 5; ++i) loops.Pass();
    EXPECT_TRUE((*loops.links->Observe(TapIndex(lease.number))).has_value());
    ASSERT_TRUE(loops.ledger_->Release("uid-a").ok());
    loops.Pass();
    EXPECT_FALSE((*loops.links->Observe(TapIndex(lease.number))).has_value());
  });
}

TEST_F(WeaknessTest, AGuestCannotTakeOverTheAddressOfAnother) {  // W19
  InNamespace([] {
    Loops loops;
    loops.Pass();
    const auto attacker = Raise(loops, "attacker");
    const auto victim = Raise(loops, "victim");
    Settle(loops, attacker);
    const Guest guest(*loops.taps->Dup(attacker.number));
    Bytes claim = traffic::ArpRequest(kMac, victim.address, victim.address);
    ASSERT_TRUE(guest.Send(claim));
    traffic::Write16(claim, 20, 2);  // the same as an answer nobody asked for
    ASSERT_TRUE(guest.Send(claim));
    ASSERT_TRUE(guest.Send(
        traffic::Packet(kMac, victim.address, kGateway, IPPROTO_UDP, traffic::Udp(7, 9, 20))));
    const auto drops = [&](drivers::DropReason reason) {
      return loops.identities->Counters(TapIndex(attacker.number))->Drops(reason);
    };
    for (int i = 0; i < 100 && drops(drivers::DropReason::kSourceAddress) == 0; ++i) {
      ::usleep(10'000);
    }
    EXPECT_EQ(drops(drivers::DropReason::kArpSender), 2u);
    EXPECT_EQ(drops(drivers::DropReason::kSourceAddress), 1u);
    const auto neighbour = *loops.routes->ObserveNeighbour(BridgeIndex(0), victim.address);
    EXPECT_EQ(neighbour, OuterMac(victim.number));
  });
}

TEST_F(WeaknessTest, AGuestReachesNoOtherThroughTheGateway) {  // W20
  InNamespace([] {
    Loops loops;
    loops.Pass();
    const auto from = Raise(loops, "from");
    const auto to = Raise(loops, "to");
    Settle(loops, from);
    const auto reaches = [&] {
      const Guest other(*loops.taps->Dup(to.number));
      Bytes frame = Datagram(to.address);
      std::copy(kGatewayMac.bytes.begin(), kGatewayMac.bytes.end(), frame.begin());
      EXPECT_TRUE(Guest(*loops.taps->Dup(from.number)).Send(frame));
      const auto is_udp = [](const Bytes& f) {
        return f.size() > traffic::kTransport && traffic::Read16(f, 12) == 0x0800 &&
               f[traffic::kIp + 9] == IPPROTO_UDP;
      };
      return other.Receive(is_udp, kQuietMilliseconds).has_value();
    };
    EXPECT_FALSE(reaches());
    loops.objects.network_.spec.isolation = false;
    loops.Pass();
    EXPECT_TRUE(reaches()) << "else the test proves nothing";
  });
}

TEST_F(WeaknessTest, Ipv6IsDroppedAndCountedAndBridgesForward) {  // W22
  InNamespace([] {
    Loops loops;
    ASSERT_TRUE(healing::RunAll({"sysctl -qw net.ipv4.ip_forward=0"}).ok());
    loops.Pass();
    EXPECT_EQ(*healing::RunLine("sysctl -n net.ipv4.conf.fkbr0.forwarding"), "1\n");
    const auto lease = Raise(loops, "a");
    Settle(loops, lease);
    Bytes frame = traffic::Ethernet(kGatewayMac, kMac, 0x86dd);
    frame.resize(60);
    ASSERT_TRUE(Guest(*loops.taps->Dup(lease.number)).Send(frame));
    const auto dropped = [&] {
      return loops.identities->Counters(TapIndex(lease.number))
          ->Drops(drivers::DropReason::kEtherType);
    };
    for (int i = 0; i < 100 && dropped() == 0; ++i) ::usleep(10'000);
    EXPECT_EQ(dropped(), 1u);
  });
}

}  // namespace
}  // namespace forkplane
