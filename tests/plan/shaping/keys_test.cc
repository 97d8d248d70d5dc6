// Goal: which events of the kernel wake a shaping domain, which one interface of it, and which
// none; what one interface alone cannot get right. Method: values in, keys out; the last on the
// fake host.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "controller/base/network_names.h"
#include "controller/base/rng.h"
#include "drivers/fake/drivers.h"
#include "reconcilers/shaping/reconciler.h"
#include "tests/support/memory_ledger.h"

namespace forkplane::shaping {
namespace {

using drivers::LinkEvent;
using drivers::LinkEventKind;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class OneSpec final : public Specs {
 public:
  std::shared_ptr<const crd::VirtualMachine> Vm(const std::string&) const override {
    return std::make_shared<const crd::VirtualMachine>();
  }
  std::shared_ptr<const crd::Network> Network(const std::string&) const override { return nullptr; }
};

class ShapingKeysTest : public ::testing::Test {
 protected:
  ShapingKeysTest() {
    ledger_ = testing::MemoryLedgerWith(testing::NetworkOf(), RealClock(), rng_);
    loop_ = std::make_unique<ShapingReconciler>(*ledger_, specs_, qdiscs_, facts_, Options{});
  }

  // The first IFB with a root class, ready to shape.
  void RaiseIfb() {
    ASSERT_TRUE(fake::FakeLinkDriver(kernel_).CreateIfb({0, "host"}).ok());
    ASSERT_TRUE(qdiscs_.AddHtb(IfbIndex(0), kDefaultClassMinor).ok());
    ASSERT_TRUE(AddClass(kRootClassMinor, 0));
  }
  bool AddClass(std::uint32_t minor, std::uint32_t parent) {
    return qdiscs_
        .AddClass(IfbIndex(0), {minor, parent, 1'000'000, 1'000'000, 20'000, 20'000, 20'000})
        .ok();
  }

  // The number of the one interface that is leased.
  std::uint32_t Lease() { return testing::ClaimOne(*ledger_, "uid", "vm").number; }

  SeededRng rng_{1};
  OneSpec specs_;
  fake::FakeKernel kernel_;
  fake::FakeQdiscDriver qdiscs_{kernel_};
  runtime::InterfaceFactBoard facts_;
  std::unique_ptr<ledger::Ledger> ledger_;
  std::unique_ptr<ShapingReconciler> loop_;
};

TEST_F(ShapingKeysTest, WhatHoldsRatesWakesItsInterface) {
  const std::uint32_t number = Lease();
  const std::uint32_t tap = TapIndex(number);
  const std::uint32_t ifb = IfbIndex(0);
  LinkEvent leaf{LinkEventKind::kQdisc, ifb, 0x80020000};
  leaf.parent = ClassHandle(number);
  for (const LinkEvent& event : {LinkEvent{LinkEventKind::kClass, ifb, ClassHandle(number)}, leaf,
                                 LinkEvent{LinkEventKind::kQdisc, tap, kTbfHandle},
                                 LinkEvent{LinkEventKind::kQdisc, tap, 0x80010000},
                                 LinkEvent{LinkEventKind::kLinkGone, tap}}) {
    EXPECT_THAT(loop_->KeysOf(event), ElementsAre("0:1")) << event.index << " " << event.handle;
  }
}

TEST_F(ShapingKeysTest, WhatConcernsAllOrNobodysInterfaceWakesTheDomain) {
  const std::uint32_t released = Lease();
  ASSERT_TRUE(ledger_->Release("uid").ok());
  const std::uint32_t ifb = IfbIndex(0);
  for (const LinkEvent& event :
       {LinkEvent{LinkEventKind::kQdisc, ifb, kHtbHandle}, LinkEvent{LinkEventKind::kLinkGone, ifb},
        LinkEvent{LinkEventKind::kLink, ifb, 0, true},
        LinkEvent{LinkEventKind::kClass, ifb, kHtbHandle | kRootClassMinor},
        LinkEvent{LinkEventKind::kClass, ifb, kHtbHandle | 0x77},
        LinkEvent{LinkEventKind::kClass, ifb, 0x10001},
        LinkEvent{LinkEventKind::kClass, ifb, ClassHandle(released)},
        LinkEvent{LinkEventKind::kLinkGone, TapIndex(released)}, LinkEvent{LinkEventKind::kLost}}) {
    EXPECT_THAT(loop_->KeysOf(event), ElementsAre("0")) << event.index << " " << event.handle;
  }
}

TEST_F(ShapingKeysTest, WhatDoesNotIsNoNews) {
  const std::uint32_t tap = TapIndex(Lease());
  for (const LinkEvent& event :
       {LinkEvent{LinkEventKind::kQdisc, tap, kClsactHandle},
        LinkEvent{LinkEventKind::kFilter, tap}, LinkEvent{LinkEventKind::kLink, tap},
        LinkEvent{LinkEventKind::kLink, tap, 0, true},
        LinkEvent{LinkEventKind::kLink, BridgeIndex(0), 0, true}}) {
    EXPECT_THAT(loop_->KeysOf(event), IsEmpty()) << event.index << " " << event.handle;
  }
}

TEST_F(ShapingKeysTest, OfTheFactsOnlyThoseWakeThatAPassCanChange) {
  const auto lease = ledger_->GetInterfaceByNumber(Lease());
  const std::string key = ledger::KeyOf(lease->id);
  const auto keys = [&](const runtime::InterfaceFacts& facts) {
    facts_.Publish(key, facts);
    return loop_->KeyOfFact(key);
  };
  EXPECT_THAT(keys({.ready = true}), ElementsAre("0:1"));
  EXPECT_THAT(keys({.ready = true, .shaped = true}), IsEmpty());
  EXPECT_THAT(keys({.ready = false, .shaped = true}), IsEmpty());
  // It comes again by itself, later each time.
  EXPECT_THAT(keys({.ready = true, .shaped_reason = "Retrying"}), IsEmpty());
}

TEST_F(ShapingKeysTest, AKeyThatMeansNothingIsRefused) {
  for (const char* key : {"", "x", "0:", "0:0", "0:fffe", "0:1g", "256", "256:1", "0:1:1", "-1"}) {
    EXPECT_EQ(loop_->Reconcile(key, {}).error().code, Code::kInvalid) << key;
  }
  EXPECT_TRUE(loop_->Reconcile("0:7", {}).ok()) << "nobody leased it: nothing to do";
}

// Whoever hangs a class of his own below one of ours keeps it from being deleted.
TEST_F(ShapingKeysTest, WhatOneInterfaceAloneDoesNotGetRightItsDomainDoes) {
  const std::uint32_t minor = MinorOf(Lease());
  facts_.Publish("1", {.ready = true});
  RaiseIfb();
  ASSERT_TRUE(AddClass(minor, 0));  // not below the root class: must be made anew
  ASSERT_TRUE(AddClass(0x77, minor));
  const auto pass = loop_->Reconcile("0:1", {});
  ASSERT_TRUE(pass.ok()) << pass.error().message;
  const auto classes = qdiscs_.ObserveUplink(IfbIndex(0))->classes;
  ASSERT_EQ(classes.size(), 2u);
  EXPECT_EQ(classes[0].htb.parent_minor, kRootClassMinor);
}

}  // namespace
}  // namespace forkplane::shaping
