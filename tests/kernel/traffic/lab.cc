#include "tests/kernel/traffic/lab.h"

#include "drivers/netlink/sysctl.h"
#include "tests/support/netns.h"

namespace forkplane::traffic {

using drivers::Direction;

#define MUST(call)                                          \
  do {                                                      \
    const auto outcome_ = (call);                           \
    ASSERT_TRUE(outcome_.ok()) << outcome_.error().message; \
  } while (false)

drivers::HtbClass Lab::ClassOf(std::uint32_t minor, std::uint64_t rate, std::uint32_t burst) {
  const std::uint32_t parent = minor == kRootClassMinor ? 0 : kRootClassMinor;
  return {minor, parent, rate, rate, burst, burst, drivers::kQuantumBytes};
}

drivers::TapSpec Lab::SpecOf(std::uint32_t number) {
  drivers::TapSpec spec;
  spec.number = number;
  spec.alias = "vm-uid";
  return spec;
}

drivers::IdentityEntry Lab::EntryOf(std::uint32_t number) {
  drivers::IdentityEntry entry = {kMac, OuterMac(number), kInner, OuterOf(number), kGateway};
  entry.prefix_length = 16;
  return entry;
}

std::string NameOf(const ::testing::TestParamInfo<Choice>& choice) {
  if (!choice.param.mode) return "FqCodel";
  return choice.param.mode == drivers::RedirectMode::kBpf ? "Bpf" : "Mirred";
}

void Lab::Build() {
  MUST(links->CreateBridge({0, kGatewayMac, "", 1500}));
  MUST(routes->AddAddress(BridgeIndex(0), {kGateway, 16}));
  MUST(links->SetUp(BridgeIndex(0), true));
  MUST(links->CreateIfb({0, ""}));
  // Else its own router solicitations are counted in the default class.
  MUST(netlink::ProcSysctlDriver().DisableIpv6(IfbName(0)));
  MUST(qdiscs->AddHtb(IfbIndex(0), kDefaultClassMinor));
  MUST(qdiscs->AddClass(IfbIndex(0), ClassOf(kRootClassMinor, kWide, 1'250'000)));
  MUST(qdiscs->AddClass(IfbIndex(0), ClassOf(kDefaultClassMinor, 125'000, 3'036)));
  MUST(links->SetUp(IfbIndex(0), true));
}

void Lab::AddClone(std::uint32_t number) {
  MUST(taps->Create(SpecOf(number)));
  Equip(number);
  MUST(qdiscs->AddClass(IfbIndex(0), ClassOf(number, kWide, 1'250'000)));
  MUST(qdiscs->SetLeaf(IfbIndex(0), number, {leaf, 65'536}));
  MUST(routes->AddHostRoute(BridgeIndex(0), OuterOf(number)));
  MUST(routes->SetNeighbour(BridgeIndex(0), {OuterOf(number), OuterMac(number)}));
}

void Lab::Equip(std::uint32_t number) {
  const std::uint32_t index = TapIndex(number);
  MUST(qdiscs->AddClsact(index));
  MUST(identity->SetEntry(index, EntryOf(number)));
  MUST(identity->Attach(index, Direction::kIngress));
  MUST(identity->Attach(index, Direction::kEgress));
  MUST(qdiscs->AddTbf(index, kWideTbf));
  MUST(links->SetMaster(index, BridgeIndex(0)));
  MUST(links->SetPortUp(index, true));
}

void Lab::Settle(std::uint32_t number) {
  const Guest guest = GuestOf(number);
  const auto is_arp = [](const Bytes& f) { return Read16(f, 12) == 0x0806; };
  for (int i = 0; i < 50; ++i) {
    ASSERT_TRUE(guest.Send(ArpRequest(kMac, kInner, kGateway)));
    if (guest.Receive(is_arp, 200)) return;
  }
  FAIL() << "clone " << number << " gets no ARP answer";
}

drivers::ObservedClass Lab::ClassSeen(std::uint32_t minor) {
  const auto uplink = *qdiscs->ObserveUplink(IfbIndex(0));
  for (const auto& observed : uplink.classes) {
    if (observed.htb.minor == minor) return observed;
  }
  return {};
}

void LabTest::InLab(const std::function<void(Lab&)>& body) {
  const std::string reason = testing::WhyNoNetworkNamespace();
  if (!reason.empty()) GTEST_SKIP() << reason;
  if (GetParam().mode == drivers::RedirectMode::kBpf &&
      testing::WorkingRedirect() != drivers::RedirectMode::kBpf) {
    GTEST_SKIP() << "a packet that bpf_redirect brings back passes clsact again on this kernel";
  }
  testing::RunInNetworkNamespace([&] {
    Lab lab(GetParam());
    if (lab.leaf == drivers::LeafKind::kFqCodel && !*lab.qdiscs->HasFqCodel()) {
      GTEST_SKIP() << "this kernel has no fq_codel";
    }
    lab.Build();
    lab.AddClone(1);
    lab.AddClone(2);
    lab.Settle(1);
    lab.Settle(2);
    if (!HasFatalFailure()) body(lab);
  });
}

}  // namespace forkplane::traffic
