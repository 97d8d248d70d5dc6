// Goal: flushing an address removes the same flows on the fake host and on the kernel: all that
// have it at any of the four places, and no other.
#include "tests/kernel/drivers_contract/world.h"

namespace forkplane::drivers {
namespace {

const Ipv4 kGuest = *ParseIpv4("10.77.0.5");
const Ipv4 kOtherGuest = *ParseIpv4("10.77.0.6");
const Ipv4 kPeer = *ParseIpv4("192.0.2.7");
const Ipv4 kOtherPeer = *ParseIpv4("192.0.2.8");
const Ipv4 kHostAddress = *ParseIpv4("198.51.100.1");

TEST_P(DriversContract, WithoutFlowsThereIsNothingToFlush) {
  OnHost([](World& world) { EXPECT_EQ(*world.flows->FlushAddress(kGuest), 0u); });
}

TEST_P(DriversContract, AFlowIsFoundByEachOfItsAddressesAndOthersStay) {
  OnHost([](World& world) {
    const fake::FakeFlow masqueraded = {kGuest, kPeer, kPeer, kHostAddress};
    const fake::FakeFlow forwarded_in = {kPeer, kHostAddress, kGuest, kPeer};
    const fake::FakeFlow diverted = {kPeer, kGuest, kHostAddress, kPeer};
    const fake::FakeFlow disguised = {kHostAddress, kPeer, kPeer, kGuest};
    for (const fake::FakeFlow& flow : {masqueraded, forwarded_in, diverted, disguised}) {
      world.add_flow(flow);
      world.add_flow({kOtherGuest, kOtherPeer, kOtherPeer, kHostAddress});
      EXPECT_EQ(*world.flows->FlushAddress(kGuest), 1u);
      EXPECT_EQ(*world.flows->FlushAddress(kGuest), 0u);
      EXPECT_EQ(*world.flows->FlushAddress(kOtherGuest), 1u) << "another's was taken along";
    }
  });
}

TEST_P(DriversContract, AFlowWithTheAddressAtTwoPlacesCountsOnce) {
  OnHost([](World& world) {
    world.add_flow({kGuest, kPeer, kPeer, kGuest});
    world.add_flow({kGuest, kOtherPeer, kOtherPeer, kGuest});
    world.add_flow({kOtherGuest, kPeer, kPeer, kOtherGuest});
    EXPECT_EQ(*world.flows->FlushAddress(kGuest), 2u);
    EXPECT_EQ(*world.flows->FlushAddress(kPeer), 1u);
  });
}

}  // namespace
}  // namespace forkplane::drivers
