// A host with one bridge, one IFB and clones 1 and 2, in a network namespace of the test's own.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <functional>
#include <memory>
#include <string>

#include "controller/base/network_names.h"
#include "drivers/bpf/identity.h"
#include "drivers/netlink/link.h"
#include "drivers/netlink/qdisc.h"
#include "drivers/netlink/route.h"
#include "drivers/netlink/tap.h"
#include "tests/kernel/traffic/guest.h"
#include "tests/support/redirect.h"

namespace forkplane::traffic {

inline constexpr Ipv4 kGateway{0x0a4d0001};  // 10.77.0.1
inline constexpr Ipv4 kInner{0x0a4d0002};
inline constexpr MacAddress kMac = InnerMac(0);
// Bytes per second: no bound that a test would meet.
inline constexpr std::uint64_t kWide = 125'000'000;
inline constexpr drivers::Tbf kWideTbf{kWide, 1'250'000, 6'250'000};

constexpr Ipv4 OuterOf(std::uint32_t number) { return {0x0a4d0100 + number}; }

// What a kernel may have, and --redirect and --leaf may demand.
struct Choice {
  std::optional<drivers::RedirectMode> mode;  // nullopt: what works
  drivers::LeafKind leaf;
};
inline constexpr std::array<Choice, 3> kChoices = {
    Choice{drivers::RedirectMode::kBpf, drivers::LeafKind::kBfifo},
    Choice{drivers::RedirectMode::kMirred, drivers::LeafKind::kBfifo},
    Choice{std::nullopt, drivers::LeafKind::kFqCodel}};
std::string NameOf(const ::testing::TestParamInfo<Choice>& choice);

struct Lab {
  std::unique_ptr<netlink::NetlinkLinkDriver> links = *netlink::NetlinkLinkDriver::Open();
  std::unique_ptr<netlink::NetlinkRouteDriver> routes = *netlink::NetlinkRouteDriver::Open();
  std::unique_ptr<netlink::NetlinkTapDriver> taps = *netlink::NetlinkTapDriver::Open();
  std::unique_ptr<netlink::NetlinkQdiscDriver> qdiscs = *netlink::NetlinkQdiscDriver::Open();
  std::unique_ptr<bpf::BpfIdentityDriver> identity;

  drivers::LeafKind leaf;

  explicit Lab(const Choice& choice)
      : identity(
            *bpf::BpfIdentityDriver::Open({{}, choice.mode.value_or(testing::WorkingRedirect())})),
        leaf(choice.leaf) {}

  static drivers::HtbClass ClassOf(std::uint32_t minor, std::uint64_t rate, std::uint32_t burst);
  static drivers::TapSpec SpecOf(std::uint32_t number);
  static drivers::IdentityEntry EntryOf(std::uint32_t number);

  void Build();
  // In the order of architecture.md 5: everything before up.
  void AddClone(std::uint32_t number);
  void Equip(std::uint32_t number);
  // A bridge carries frames some time after its first port is up (linkwatch); a guest asks again.
  void Settle(std::uint32_t number);

  Guest GuestOf(std::uint32_t number) { return Guest(*taps->Dup(number)); }
  drivers::IdentityCounters CountersOf(std::uint32_t number) {
    return *identity->Counters(number == 0 ? 0 : TapIndex(number));
  }
  std::uint64_t Drops(std::uint32_t number, drivers::DropReason reason) {
    return CountersOf(number).Drops(reason);
  }
  drivers::ObservedClass ClassSeen(std::uint32_t minor);
};

class LabTest : public ::testing::TestWithParam<Choice> {
 protected:
  void InLab(const std::function<void(Lab&)>& body);
};

}  // namespace forkplane::traffic
