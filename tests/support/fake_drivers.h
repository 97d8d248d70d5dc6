// The drivers of the tap loop on one fake kernel, bare and behind a hook. The kernel, the bare ones
// and the hook must outlive what is made of them.
#pragma once

#include "drivers/fake/drivers.h"
#include "drivers/hooked/network.h"

namespace forkplane::testing {

struct FakeDrivers {
  explicit FakeDrivers(fake::FakeKernel& kernel)
      : links(kernel),
        taps(kernel),
        qdiscs(kernel),
        identities(kernel, drivers::RedirectMode::kBpf),
        routes(kernel),
        sysctls(kernel),
        flows(kernel) {}

  fake::FakeLinkDriver links;
  fake::FakeTapDriver taps;
  fake::FakeQdiscDriver qdiscs;
  fake::FakeIdentityDriver identities;
  fake::FakeRouteDriver routes;
  fake::FakeSysctlDriver sysctls;
  fake::FakeFlowDriver flows;
};

struct HookedDrivers {
  HookedDrivers(FakeDrivers& bare, drivers::CallHook& hook)
      : links(bare.links, hook),
        taps(bare.taps, hook),
        qdiscs(bare.qdiscs, hook),
        identities(bare.identities, hook),
        routes(bare.routes, hook),
        sysctls(bare.sysctls, hook),
        flows(bare.flows, hook) {}

  drivers::HookedLinkDriver links;
  drivers::HookedTapDriver taps;
  drivers::HookedQdiscDriver qdiscs;
  drivers::HookedIdentityDriver identities;
  drivers::HookedRouteDriver routes;
  drivers::HookedSysctlDriver sysctls;
  drivers::HookedFlowDriver flows;
};

}  // namespace forkplane::testing
