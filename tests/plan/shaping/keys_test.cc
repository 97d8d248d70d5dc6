// Goal: which events of the kernel and which facts wake a shaping domain. Method: values in, keys
// out; nothing is reconciled.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "controller/base/network_names.h"
#include "controller/base/rng.h"
#include "drivers/fake/drivers.h"
#include "reconcilers/shaping/reconciler.h"

namespace forkplane::shaping {
namespace {

using drivers::LinkEvent;
using drivers::LinkEventKind;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class NoSpecs final : public Specs {
 public:
  std::shared_ptr<const crd::VirtualMachine> Vm(const std::string&) const override {
    return nullptr;
  }
  std::shared_ptr<const crd::Network> Network(const std::string&) const override { return nullptr; }
};

class ShapingKeysTest : public ::testing::Test {
 protected:
  ShapingKeysTest() {
    ledger::Options options;
    options.path = ":memory:";
    options.boot_id = "boot";
    ledger_ = std::move(ledger::Ledger::Open(options, RealClock(), rng_)).value();
    loop_ = std::make_unique<ShapingReconciler>(*ledger_, specs_, qdiscs_, facts_, Options{});
  }

  SeededRng rng_{1};
  NoSpecs specs_;
  fake::FakeKernel kernel_;
  fake::FakeQdiscDriver qdiscs_{kernel_};
  runtime::InterfaceFactBoard facts_;
  std::unique_ptr<ledger::Ledger> ledger_;
  std::unique_ptr<ShapingReconciler> loop_;
};

TEST_F(ShapingKeysTest, WhatHoldsRatesWakesItsDomain) {
  const std::uint32_t tap = TapIndex(MakeNumber(0, 7));
  const std::uint32_t ifb = IfbIndex(0);
  for (const LinkEvent& event :
       {LinkEvent{LinkEventKind::kClass, ifb, kHtbHandle | 7},
        LinkEvent{LinkEventKind::kQdisc, ifb, kHtbHandle}, LinkEvent{LinkEventKind::kLinkGone, ifb},
        LinkEvent{LinkEventKind::kLink, ifb, 0, true},
        LinkEvent{LinkEventKind::kQdisc, tap, kTbfHandle},
        LinkEvent{LinkEventKind::kQdisc, tap, 0x80010000}, LinkEvent{LinkEventKind::kLinkGone, tap},
        LinkEvent{LinkEventKind::kLost}}) {
    EXPECT_THAT(loop_->KeysOf(event), ElementsAre("0")) << event.index << " " << event.handle;
  }
}

TEST_F(ShapingKeysTest, WhatDoesNotIsNoNews) {
  const std::uint32_t tap = TapIndex(MakeNumber(0, 7));
  for (const LinkEvent& event :
       {LinkEvent{LinkEventKind::kQdisc, tap, kClsactHandle},
        LinkEvent{LinkEventKind::kFilter, tap}, LinkEvent{LinkEventKind::kLink, tap},
        LinkEvent{LinkEventKind::kLink, BridgeIndex(0), 0, true}}) {
    EXPECT_THAT(loop_->KeysOf(event), IsEmpty()) << event.index << " " << event.handle;
  }
}

}  // namespace
}  // namespace forkplane::shaping
