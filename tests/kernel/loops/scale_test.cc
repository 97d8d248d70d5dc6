// Goal: many of everything on the real kernel: more TAPs than a bridge has ports, more classes than
// one IFB should have, and ten thousand lives of an interface that leave nothing behind.
// Method: the loops pass by pass; what is there is counted by what the kernel lists.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <malloc.h>
#include <netinet/in.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "tests/convergence/support.h"
#include "tests/kernel/loops/loops.h"
#include "tests/kernel/traffic/guest.h"

namespace forkplane {
namespace {

using ::testing::ElementsAre;

constexpr int kDeletionThreads = 16;

std::map<std::uint32_t, std::size_t> PortsByBridge(Loops& loops) {
  std::map<std::uint32_t, std::size_t> ports;
  const std::vector<drivers::Link> links = *loops.links->ListOwned();
  for (const drivers::Link& link : links) {
    if (link.kind == drivers::LinkKind::kTap && link.up && link.isolated) ++ports[link.master];
  }
  return ports;
}

// Until the deletion threads are done and the ledger is empty.
void ReleaseAll(Loops& loops) {
  const ledger::Listing listing = loops.ledger_->ListAll();
  for (const auto& vm : listing.vms) {
    ASSERT_TRUE(loops.ledger_->Release(vm.owner.uid).ok());
  }
  for (int i = 0; i < 1000 && !loops.ledger_->ListAll().vms.empty(); ++i) {
    loops.TapPass();
    loops.ShapingPass();
    ::usleep(5000);
  }
  ASSERT_TRUE(loops.ledger_->ListAll().vms.empty());
}

// Guests who may reach one another ask by ARP, whichever bridge they stand on: who is not on
// theirs is answered for by the host.
void ExpectAnswersAcrossBridges(Loops& loops) {
  using traffic::Guest;
  loops.objects.network_.spec.isolation = false;
  loops.Pass();
  const auto first = loops.ledger_->GetVm("uid-vm-0")->interfaces.at(0);
  const auto last = loops.ledger_->GetVm("uid-vm-1099")->interfaces.at(0);
  ASSERT_EQ((*loops.links->Observe(TapIndex(last.number)))->master, BridgeIndex(1));
  const Guest guest(*loops.taps->Dup(first.number));
  const Guest other(*loops.taps->Dup(last.number));
  const Ipv4 inner = InnerAddress(ParseCidr("10.77.0.0/20").value());
  ASSERT_TRUE(guest.Send(traffic::ArpRequest(InnerMac(0), inner, last.address)));
  const auto answer = guest.Receive(
      [](const traffic::Bytes& frame) { return traffic::Read16(frame, 12) == 0x0806; }, 300);
  ASSERT_TRUE(answer.has_value());
  EXPECT_TRUE(std::equal(kGatewayMac.bytes.begin(), kGatewayMac.bytes.end(), &(*answer)[22]));
  ASSERT_TRUE(guest.Send(
      traffic::Packet(InnerMac(0), inner, last.address, IPPROTO_UDP, traffic::Udp(7, 5000, 99))));
  const auto is_udp = [](const traffic::Bytes& frame) {
    return frame.size() > traffic::kTransport && traffic::Read16(frame, 12) == 0x0800 &&
           frame[traffic::kIp + 9] == IPPROTO_UDP;
  };
  EXPECT_TRUE(other.Receive(is_udp, 300).has_value());
}

void RunWide() {
  constexpr int kTaps = 1100;
  Loops loops({}, kDeletionThreads);
  loops.objects.network_.spec.cidr = "10.77.0.0/20";
  loops.Pass();
  for (int i = 0; i < kTaps; ++i) loops.Claim(fmt::format("vm-{}", i));
  loops.Pass();
  EXPECT_THAT(PortsByBridge(loops), ElementsAre(::testing::Pair(BridgeIndex(0), 1000),
                                                ::testing::Pair(BridgeIndex(1), 100)));
  EXPECT_EQ(loops.routes->ListHostRoutes(BridgeIndex(0))->size(), 1001u) << "and the probe's";
  EXPECT_EQ(loops.routes->ListHostRoutes(BridgeIndex(1))->size(), 100u);
  EXPECT_EQ(loops.routes->ListNeighbours(BridgeIndex(1))->size(), 100u);
  EXPECT_THAT(*loops.routes->ListAddresses(BridgeIndex(1)),
              ElementsAre(ParsePrefix("10.77.0.1/32").value()));
  std::size_t ready = 0;
  const auto all = loops.facts.All();
  for (const auto& [key, facts] : all) {
    if (facts.ready && facts.shaped) ++ready;
  }
  EXPECT_EQ(ready, static_cast<std::size_t>(kTaps));
  loops.NetworkPass();
  EXPECT_THAT(loops.objects.status_.hosts.at(0).bridges, ElementsAre("fkbr0", "fkbr1"));
  EXPECT_EQ(loops.objects.status_.hosts.at(0).ports, kTaps);
  ExpectAnswersAcrossBridges(loops);

  ReleaseAll(loops);
  loops.NetworkPass();
  EXPECT_EQ(loops.links->Observe(BridgeIndex(1))->has_value(), false) << "its last port has gone";
  EXPECT_TRUE(loops.ledger_->GetNetwork("net")->further.empty());
}

TEST(ScaleTest, MoreTapsThanABridgeHasPorts) {  // W18
  const std::string why = testing::WhyNoNetworkNamespace();
  if (!why.empty()) GTEST_SKIP() << why;
  testing::RunInNetworkNamespace(RunWide);
}

void RunHighway() {
  constexpr std::uint32_t kClasses = 5000;
  Loops loops({}, kDeletionThreads);
  loops.objects.network_.spec.cidr = "10.77.0.0/16";
  loops.objects.vm_.spec.interfaces.resize(100, loops.objects.vm_.spec.interfaces.front());
  loops.HostPass();
  loops.NetworkPass();
  for (std::uint32_t i = 0; i < kClasses / 100; ++i) loops.Claim(fmt::format("vm-{}", i), 100);
  loops.HostPass();
  loops.PassOverTaps();
  loops.ShapingPass();
  std::vector<std::size_t> classes;
  for (const std::uint32_t ifb : {0U, 1U}) {
    const auto uplink = *loops.qdiscs->ObserveUplink(IfbIndex(ifb));
    ASSERT_TRUE(uplink.root && uplink.root->kind == "htb") << ifb;
    std::size_t shaped = 0;
    for (const auto& is : uplink.classes) {
      if (is.htb.rate_bytes_per_second == 1'250'000 && is.leaf.has_value()) ++shaped;
    }
    classes.push_back(shaped);
  }
  EXPECT_THAT(classes, ElementsAre(4000, 1000));

  ReleaseAll(loops);
  loops.HostPass();
  EXPECT_EQ(loops.links->Observe(IfbIndex(1))->has_value(), false) << "nothing is leased on it";
  EXPECT_EQ(loops.qdiscs->ObserveUplink(IfbIndex(0))->classes.size(), 2u) << "root and default";
}

TEST(ScaleTest, MoreClassesThanOneIfbShouldHave) {
  const std::string why = testing::WhyNoNetworkNamespace();
  if (!why.empty()) GTEST_SKIP() << why;
  testing::RunInNetworkNamespace(RunHighway);
}

// What would grow if anything were left behind.
struct Left {
  std::size_t links = 0;
  std::size_t classes = 0;
  std::size_t entries = 0;
  std::size_t routes = 0;
  std::size_t neighbours = 0;
  std::size_t leases = 0;
  std::size_t facts = 0;
  std::size_t descriptors = 0;
  bool operator==(const Left&) const = default;
};

void PrintTo(const Left& left, std::ostream* out) {
  *out << fmt::format(
      "links {}, classes {}, map entries {}, routes {}, neighbours {}, leases {}, facts {}, "
      "descriptors {}",
      left.links, left.classes, left.entries, left.routes, left.neighbours, left.leases, left.facts,
      left.descriptors);
}

Left Count(Loops& loops) {
  const auto fds = std::filesystem::directory_iterator("/proc/self/fd");
  return {loops.links->ListOwned()->size(),
          loops.qdiscs->ObserveUplink(IfbIndex(0))->classes.size(),
          loops.identities->ListEntries()->size(),
          loops.routes->ListHostRoutes(BridgeIndex(0))->size(),
          loops.routes->ListNeighbours(BridgeIndex(0))->size(),
          loops.ledger_->ListAll().vms.size(),
          loops.facts.All().size(),
          static_cast<std::size_t>(std::distance(begin(fds), end(fds)))};
}

std::size_t ResidentKiB() {
  ::malloc_trim(0);
  std::ifstream statm("/proc/self/statm");
  std::size_t size = 0;
  std::size_t resident = 0;
  statm >> size >> resident;
  return resident * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)) / 1024;
}

// The heap's own pages come and go by some hundreds of KiB; a leak of 100 bytes per life would show
// as ten times that in ten thousand.
constexpr std::size_t kHeapNoiseKiB = 4096;

void RunLives() {
  constexpr int kAtOnce = 50;
  const int rounds = convergence::Depth() > 1 ? 200 : (convergence::Depth() == 0 ? 4 : 20);
  Loops loops({}, kDeletionThreads);
  loops.objects.network_.spec.address_rest = crd::Duration{};
  loops.Pass();
  const auto live = [&] {
    for (int i = 0; i < kAtOnce; ++i) loops.Claim(fmt::format("vm-{}", i));
    loops.Pass();
    ASSERT_EQ(loops.links->ListOwned()->size(), kAtOnce + 2u);
    ReleaseAll(loops);
    loops.TapPass();
    loops.calls.changes.clear();  // what the test writes down itself
    loops.calls.looks.clear();
  };
  for (int i = 0; i < 3; ++i) live();  // what is made on first use
  const Left before = Count(loops);
  const std::size_t memory = ResidentKiB();
  for (int i = 0; i < rounds && !::testing::Test::HasFatalFailure(); ++i) live();
  const Left after = Count(loops);
  EXPECT_EQ(after, before);
  EXPECT_LT(ResidentKiB(), memory + kHeapNoiseKiB);
  fmt::print("{} lives; before: {}; resident {} KiB, after {} KiB\n", rounds * kAtOnce,
             ::testing::PrintToString(before), memory, ResidentKiB());
}

TEST(ScaleTest, ThousandsOfLivesLeaveNothingBehind) {
  const std::string why = testing::WhyNoNetworkNamespace();
  if (!why.empty()) GTEST_SKIP() << why;
  testing::RunInNetworkNamespace(RunLives);
}

}  // namespace
}  // namespace forkplane
