// The two hosts the contract is held against: the kernel, in a network namespace of its own, and
// the in-memory one that simulations use.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>

#include "controller/base/network_names.h"
#include "drivers/fake/kernel.h"
#include "drivers/firewall_driver.h"
#include "drivers/flow_driver.h"
#include "drivers/forwarding_probe.h"
#include "drivers/identity_driver.h"
#include "drivers/link_driver.h"
#include "drivers/link_events.h"
#include "drivers/qdisc_driver.h"
#include "drivers/route_driver.h"
#include "drivers/sysctl_driver.h"
#include "drivers/tap_driver.h"

namespace forkplane::drivers {

struct World {
  std::unique_ptr<LinkDriver> links;
  std::unique_ptr<RouteDriver> routes;
  std::unique_ptr<TapDriver> taps;
  std::unique_ptr<QdiscDriver> qdiscs;
  std::unique_ptr<IdentityDriver> identity;
  std::unique_ptr<FirewallDriver> firewall;
  std::unique_ptr<SysctlDriver> sysctls;
  std::unique_ptr<FlowDriver> flows;
  std::unique_ptr<ForwardingProbe> forwarding;
  std::unique_ptr<LinkEvents> events;
  // What others do on the host. An entry of connection tracking, as a packet would make it:
  std::function<void(const fake::FakeFlow&)> add_flow;
  // A link with the default route.
  std::function<void()> add_uplink;
  // A table ip filter whose chain FORWARD has policy drop comes, or goes.
  std::function<void(bool)> drop_forwarding;
  std::function<bool(bool)> bridged_frames_meet_ip_rules;  // false: no br_netfilter
};

enum class Host { kKernel, kFake };

class DriversContract : public ::testing::TestWithParam<Host> {
 protected:
  // Runs `body` on a fresh host of the parameter's kind.
  void OnHost(const std::function<void(World&)>& body);
  void OnHost(RedirectMode mode, const std::function<void(World&)>& body);
};

// The code a call ended with; empty text is success.
template <typename T>
std::string CodeOf(const Result<T>& result) {
  return result.ok() ? "" : std::string(ToString(result.error().code));
}
template <typename T>
std::string MessageOf(const Result<T>& result) {
  return result.ok() ? "" : result.error().message;
}

#define EXPECT_OK(call)                                                 \
  do {                                                                  \
    const auto outcome_ = (call);                                       \
    EXPECT_TRUE(outcome_.ok()) << #call << ": " << MessageOf(outcome_); \
  } while (false)
#define ASSERT_OK(call)                                                 \
  do {                                                                  \
    const auto outcome_ = (call);                                       \
    ASSERT_TRUE(outcome_.ok()) << #call << ": " << MessageOf(outcome_); \
  } while (false)
#define EXPECT_CODE(call, wanted)                                                          \
  do {                                                                                     \
    const auto outcome_ = (call);                                                          \
    EXPECT_EQ(CodeOf(outcome_), ToString(wanted)) << #call << ": " << MessageOf(outcome_); \
  } while (false)

inline constexpr std::uint32_t kNumber = MakeNumber(0, 1);
inline constexpr std::uint32_t kTap = TapIndex(kNumber);
inline constexpr std::uint32_t kIfb = IfbIndex(0);
inline constexpr std::uint32_t kBridge = BridgeIndex(0);
inline constexpr std::uint32_t kMissing = TapIndex(MakeNumber(0, 77));

inline TapSpec SpecOf(std::uint32_t number) {
  TapSpec spec;
  spec.number = number;
  spec.alias = "uid-of-owner";
  return spec;
}

}  // namespace forkplane::drivers
