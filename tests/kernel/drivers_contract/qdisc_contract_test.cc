// Goal: qdiscs, classes and leaves behave the same, to the error code and to what dies with what,
// on the fake host and on the kernel.
#include "tests/kernel/drivers_contract/world.h"

namespace forkplane::drivers {
namespace {

constexpr Tbf kTbf{1'250'000, 12'500, 65'536};
constexpr HtbClass kRoot{kRootClassMinor, 0,           12'500'000'000, 12'500'000'000,
                         125'000'000,     125'000'000, kQuantumBytes};
constexpr HtbClass kClass{1, kRootClassMinor, 1'250'000, 2'500'000, 12'500, 25'000, kQuantumBytes};

TEST_P(DriversContract, ATbfIsAddedOnceAndChangedInPlace) {
  OnHost([](World& world) {
    EXPECT_CODE(world.qdiscs->ObservePort(kTap), Code::kNotFound);
    EXPECT_CODE(world.qdiscs->AddTbf(kTap, kTbf), Code::kNotFound);
    ASSERT_OK(world.taps->Create(SpecOf(kNumber)));
    EXPECT_FALSE(world.qdiscs->ObservePort(kTap)->root.has_value());
    EXPECT_CODE(world.qdiscs->ChangeTbf(kTap, kTbf, Queue::kKeep), Code::kNotFound);
    EXPECT_OK(world.qdiscs->AddTbf(kTap, kTbf));
    EXPECT_CODE(world.qdiscs->AddTbf(kTap, kTbf), Code::kExists);
    PortQdiscs port = *world.qdiscs->ObservePort(kTap);
    ASSERT_TRUE(port.root && port.root->tbf);
    EXPECT_EQ(port.root->handle, kTbfHandle);
    EXPECT_TRUE(Equivalent(kTbf, *port.root->tbf)) << port.root->tbf->burst_bytes;
    const Tbf faster{6'000'000'000, 60'000'000, 300'000'000};  // beyond 32 bits
    EXPECT_OK(world.qdiscs->ChangeTbf(kTap, faster, Queue::kKeep));
    port = *world.qdiscs->ObservePort(kTap);
    EXPECT_TRUE(Equivalent(faster, *port.root->tbf)) << port.root->tbf->burst_bytes;
    for (int i = 0; i < 2; ++i) {  // the second time, the queue is one that we made
      EXPECT_OK(world.qdiscs->ChangeTbf(kTap, kTbf, Queue::kDrop));
      port = *world.qdiscs->ObservePort(kTap);
      ASSERT_TRUE(port.root && port.root->tbf);
      EXPECT_TRUE(Equivalent(kTbf, *port.root->tbf)) << port.root->tbf->limit_bytes;
    }
    EXPECT_OK(world.qdiscs->DeleteRoot(kTap));
    EXPECT_FALSE(world.qdiscs->ObservePort(kTap)->root.has_value());
    EXPECT_CODE(world.qdiscs->DeleteRoot(kTap), Code::kNotFound);
    EXPECT_CODE(world.qdiscs->ChangeTbf(kTap, kTbf, Queue::kDrop), Code::kNotFound);
  });
}

TEST_P(DriversContract, ImpossibleRatesAreRefused) {
  OnHost([](World& world) {
    ASSERT_OK(world.taps->Create(SpecOf(kNumber)));
    EXPECT_CODE(world.qdiscs->AddTbf(kTap, {0, 1000, 1000}), Code::kInvalid);
    EXPECT_CODE(world.qdiscs->AddTbf(kTap, {1000, 0, 1000}), Code::kInvalid);
    EXPECT_CODE(world.qdiscs->AddTbf(kTap, {1000, 1000, 0}), Code::kInvalid);
    HtbClass htb = kClass;
    htb.quantum_bytes = 0;
    EXPECT_CODE(world.qdiscs->AddClass(kIfb, htb), Code::kInvalid);
    htb = kClass;
    htb.minor = 0;
    EXPECT_CODE(world.qdiscs->AddClass(kIfb, htb), Code::kInvalid);
  });
}

TEST_P(DriversContract, ClsactStandsBesideTheRoot) {
  OnHost([](World& world) {
    EXPECT_CODE(world.qdiscs->AddClsact(kTap), Code::kNotFound);
    ASSERT_OK(world.taps->Create(SpecOf(kNumber)));
    EXPECT_FALSE(world.qdiscs->ObservePort(kTap)->clsact);
    EXPECT_OK(world.qdiscs->AddClsact(kTap));
    EXPECT_CODE(world.qdiscs->AddClsact(kTap), Code::kExists);
    EXPECT_OK(world.qdiscs->AddTbf(kTap, kTbf));
    EXPECT_TRUE(world.qdiscs->ObservePort(kTap)->clsact);
    EXPECT_OK(world.qdiscs->DeleteClsact(kTap));
    EXPECT_CODE(world.qdiscs->DeleteClsact(kTap), Code::kNotFound);
    EXPECT_TRUE(world.qdiscs->ObservePort(kTap)->root.has_value());
  });
}

TEST_P(DriversContract, QdiscsGoWithTheirLink) {
  OnHost([](World& world) {
    ASSERT_OK(world.taps->Create(SpecOf(kNumber)));
    ASSERT_OK(world.qdiscs->AddTbf(kTap, kTbf));
    ASSERT_OK(world.qdiscs->AddClsact(kTap));
    ASSERT_OK(world.taps->Delete(kNumber));
    EXPECT_CODE(world.qdiscs->ObservePort(kTap), Code::kNotFound);
    ASSERT_OK(world.taps->Create(SpecOf(kNumber)));
    const PortQdiscs port = *world.qdiscs->ObservePort(kTap);
    EXPECT_FALSE(port.root.has_value() || port.clsact);
  });
}

TEST_P(DriversContract, ATbfOfOursIsFoundOnItsLinkAlone) {
  OnHost([](World& world) {
    EXPECT_FALSE(*world.qdiscs->HasTbf(kTap));
    ASSERT_OK(world.taps->Create(SpecOf(kNumber)));
    EXPECT_FALSE(*world.qdiscs->HasTbf(kTap));
    ASSERT_OK(world.qdiscs->AddClsact(kTap));
    EXPECT_FALSE(*world.qdiscs->HasTbf(kTap));
    ASSERT_OK(world.qdiscs->AddTbf(kTap, kTbf));
    EXPECT_TRUE(*world.qdiscs->HasTbf(kTap));
    EXPECT_FALSE(*world.qdiscs->HasTbf(kTap + 1));
    ASSERT_OK(world.qdiscs->ChangeTbf(kTap, {5'000'000, 50'000, 65'536}, Queue::kKeep));
    EXPECT_TRUE(*world.qdiscs->HasTbf(kTap)) << "whatever its rate";
    ASSERT_OK(world.qdiscs->DeleteRoot(kTap));
    EXPECT_FALSE(*world.qdiscs->HasTbf(kTap));
    // Another root, with classes of its own.
    ASSERT_OK(world.qdiscs->AddHtb(kTap, kDefaultClassMinor));
    ASSERT_OK(world.qdiscs->AddClass(kTap, kRoot));
    EXPECT_FALSE(*world.qdiscs->HasTbf(kTap));
  });
}

TEST_P(DriversContract, OneLookTellsOfAnIfbAndAllTapsWithQdiscs) {
  OnHost([](World& world) {
    ASSERT_OK(world.taps->Create(SpecOf(kNumber)));
    ASSERT_OK(world.taps->Create(SpecOf(kNumber + 1)));
    ASSERT_OK(world.taps->Create(SpecOf(kNumber + 2)));
    EXPECT_FALSE(world.qdiscs->ObserveDomain(kIfb)->uplink.has_value());
    EXPECT_TRUE(world.qdiscs->ObserveDomain(kIfb)->ports.empty());
    ASSERT_OK(world.links->CreateIfb({0, ""}));
    EXPECT_FALSE(world.qdiscs->ObserveDomain(kIfb)->uplink->root.has_value());
    ASSERT_OK(world.qdiscs->AddHtb(kIfb, kDefaultClassMinor));
    ASSERT_OK(world.qdiscs->AddClass(kIfb, kRoot));
    ASSERT_OK(world.qdiscs->AddClass(kIfb, kClass));
    ASSERT_OK(world.qdiscs->SetLeaf(kIfb, kClass.minor, {LeafKind::kBfifo, 65'536}));
    ASSERT_OK(world.qdiscs->AddTbf(kTap, kTbf));
    ASSERT_OK(world.qdiscs->AddClsact(kTap));
    ASSERT_OK(world.qdiscs->AddClsact(kTap + 1));
    const DomainQdiscs domain = *world.qdiscs->ObserveDomain(kIfb);
    ASSERT_TRUE(domain.uplink && domain.uplink->root);
    EXPECT_EQ(domain.uplink->root->handle, kHtbHandle);
    ASSERT_EQ(domain.uplink->classes.size(), 2u);
    EXPECT_TRUE(Equivalent(kClass, domain.uplink->classes[0].htb));
    EXPECT_EQ(domain.uplink->classes[0].leaf, (Leaf{LeafKind::kBfifo, 65'536}));
    const auto& ports = domain.ports;
    ASSERT_EQ(ports.size(), 2u);
    EXPECT_TRUE(ports.at(kTap).clsact);
    ASSERT_TRUE(ports.at(kTap).root && ports.at(kTap).root->tbf);
    EXPECT_TRUE(Equivalent(kTbf, *ports.at(kTap).root->tbf));
    EXPECT_TRUE(ports.at(kTap + 1).clsact && !ports.at(kTap + 1).root);
    ASSERT_OK(world.taps->Delete(kNumber));
    EXPECT_EQ(world.qdiscs->ObserveDomain(kIfb)->ports.size(), 1u);
  });
}

TEST_P(DriversContract, OneLookTellsOfOneInterfaceAmongMany) {
  OnHost([](World& world) {
    const auto look = [&] { return world.qdiscs->ObserveInterface(kIfb, kClass.minor, kTap); };
    EXPECT_FALSE(look()->uplink.has_value());
    EXPECT_TRUE(look()->ports.empty());
    ASSERT_OK(world.links->CreateIfb({0, ""}));
    EXPECT_FALSE(look()->uplink->root.has_value());
    ASSERT_OK(world.qdiscs->AddHtb(kIfb, kDefaultClassMinor));
    EXPECT_TRUE(look()->uplink->root.has_value());
    EXPECT_TRUE(look()->uplink->classes.empty());
    ASSERT_OK(world.qdiscs->AddClass(kIfb, kRoot));
    HtbClass other = kClass;
    for (const std::uint32_t minor : {kClass.minor + 1, kClass.minor}) {
      other.minor = minor;
      ASSERT_OK(world.qdiscs->AddClass(kIfb, other));
    }
    EXPECT_FALSE(look()->uplink->classes[0].leaf.has_value());
    ASSERT_OK(world.qdiscs->SetLeaf(kIfb, kClass.minor, {LeafKind::kBfifo, 65'536}));
    ASSERT_OK(world.taps->Create(SpecOf(kNumber)));
    ASSERT_OK(world.taps->Create(SpecOf(kNumber + 1)));
    EXPECT_TRUE(look()->ports.empty());
    ASSERT_OK(world.qdiscs->AddTbf(kTap, kTbf));
    ASSERT_OK(world.qdiscs->AddTbf(kTap + 1, kTbf));
    const DomainQdiscs domain = *look();
    ASSERT_EQ(domain.uplink->classes.size(), 2u);
    EXPECT_TRUE(Equivalent(kClass, domain.uplink->classes[0].htb));
    EXPECT_EQ(domain.uplink->classes[0].leaf, (Leaf{LeafKind::kBfifo, 65'536}));
    EXPECT_TRUE(Equivalent(kRoot, domain.uplink->classes[1].htb));
    ASSERT_EQ(domain.ports.size(), 1u);
    EXPECT_TRUE(Equivalent(kTbf, *domain.ports.at(kTap).root->tbf));
    ASSERT_OK(world.qdiscs->DeleteClass(kIfb, kClass.minor));
    EXPECT_EQ(look()->uplink->classes.size(), 1u);
  });
}

TEST_P(DriversContract, AForeignLinkMayStandInForTheFirstIfb) {
  OnHost([](World& world) {
    constexpr std::uint32_t kForeign = 1;  // the loopback
    QdiscDriver& qdiscs = *world.qdiscs;
    EXPECT_CODE(qdiscs.AddHtb(kForeign, kDefaultClassMinor), Code::kInvalid);
    EXPECT_CODE(qdiscs.AddHtb(kIfb, kDefaultClassMinor), Code::kNotFound);
    qdiscs.ShapeOn(kForeign);
    EXPECT_TRUE(qdiscs.ForeignLinksWithHtb()->empty());
    EXPECT_CODE(qdiscs.DeleteRoot(kIfb), Code::kInvalid);  // nothing of ours stands there
    EXPECT_CODE(world.identity->AttachClassifier(kForeign), Code::kNotFound);
    EXPECT_OK(qdiscs.AddHtb(kIfb, kDefaultClassMinor));
    EXPECT_EQ(*qdiscs.ForeignLinksWithHtb(), std::vector<std::uint32_t>{kForeign});
    EXPECT_OK(qdiscs.AddClass(kIfb, kRoot));
    EXPECT_OK(qdiscs.AddClass(kIfb, kClass));
    EXPECT_OK(qdiscs.ChangeClass(kIfb, kClass));
    EXPECT_OK(qdiscs.SetLeaf(kIfb, kClass.minor, {LeafKind::kBfifo, 65'536}));
    EXPECT_EQ(qdiscs.ObserveUplink(kIfb)->classes.size(), 2u);
    EXPECT_EQ(qdiscs.ObserveUplink(kForeign)->classes.size(), 2u);
    const auto classes = *qdiscs.ObserveClasses(kIfb);
    ASSERT_EQ(classes.size(), 2u);
    EXPECT_TRUE(Equivalent(kClass, classes[0].htb));
    EXPECT_FALSE(classes[0].leaf) << "nothing is said of leaves";
    EXPECT_EQ(qdiscs.ObserveDomain(kIfb)->uplink->classes.size(), 2u);
    EXPECT_EQ(qdiscs.ObserveInterface(kIfb, kClass.minor, kTap)->uplink->classes.size(), 2u);
    EXPECT_EQ(*world.identity->ObserveClassifier(kForeign), ProgramState::kNone);
    EXPECT_OK(world.identity->AttachClassifier(kForeign));
    EXPECT_OK(world.identity->AttachClassifier(kForeign));
    EXPECT_EQ(*world.identity->ObserveClassifier(kForeign), ProgramState::kOurs);
    EXPECT_OK(qdiscs.DeleteClass(kIfb, kClass.minor));
    qdiscs.ShapeOn(0);
    EXPECT_CODE(qdiscs.ObserveUplink(kIfb), Code::kNotFound);
    EXPECT_TRUE(qdiscs.ObserveClasses(kIfb)->empty());
    EXPECT_OK(qdiscs.DeleteRoot(kForeign));
    EXPECT_TRUE(qdiscs.ForeignLinksWithHtb()->empty());
    EXPECT_EQ(*world.identity->ObserveClassifier(kForeign), ProgramState::kNone);
  });
}

TEST_P(DriversContract, ClassesComeAndGoBelowTheHtb) {
  OnHost([](World& world) {
    EXPECT_CODE(world.qdiscs->ObserveUplink(kIfb), Code::kNotFound);
    EXPECT_CODE(world.qdiscs->AddHtb(kIfb, kDefaultClassMinor), Code::kNotFound);
    ASSERT_OK(world.links->CreateIfb({0, ""}));
    EXPECT_CODE(world.qdiscs->AddClass(kIfb, kRoot), Code::kNotFound);
    EXPECT_OK(world.qdiscs->AddHtb(kIfb, kDefaultClassMinor));
    EXPECT_CODE(world.qdiscs->AddHtb(kIfb, kDefaultClassMinor), Code::kExists);
    EXPECT_CODE(world.qdiscs->AddClass(kIfb, kClass), Code::kNotFound);  // its parent
    EXPECT_OK(world.qdiscs->AddClass(kIfb, kRoot));
    EXPECT_CODE(world.qdiscs->ChangeClass(kIfb, kClass), Code::kNotFound);
    EXPECT_OK(world.qdiscs->AddClass(kIfb, kClass));
    EXPECT_CODE(world.qdiscs->AddClass(kIfb, kClass), Code::kExists);
    EXPECT_CODE(world.qdiscs->DeleteClass(kIfb, kRootClassMinor), Code::kConflict);
    const UplinkQdiscs uplink = *world.qdiscs->ObserveUplink(kIfb);
    ASSERT_TRUE(uplink.root);
    EXPECT_EQ(uplink.root->kind, "htb");
    EXPECT_EQ(uplink.root->handle, kHtbHandle);
    EXPECT_EQ(uplink.root->default_minor, kDefaultClassMinor);
    ASSERT_EQ(uplink.classes.size(), 2u);
    EXPECT_TRUE(Equivalent(kClass, uplink.classes[0].htb));
    EXPECT_TRUE(Equivalent(kRoot, uplink.classes[1].htb));
    EXPECT_OK(world.qdiscs->DeleteClass(kIfb, 1));
    EXPECT_CODE(world.qdiscs->DeleteClass(kIfb, 1), Code::kNotFound);
    EXPECT_OK(world.qdiscs->DeleteClass(kIfb, kRootClassMinor));
  });
}

TEST_P(DriversContract, AClassChangesInPlaceButNotItsParent) {
  OnHost([](World& world) {
    ASSERT_OK(world.links->CreateIfb({0, ""}));
    ASSERT_OK(world.qdiscs->AddHtb(kIfb, kDefaultClassMinor));
    ASSERT_OK(world.qdiscs->AddClass(kIfb, kRoot));
    ASSERT_OK(world.qdiscs->AddClass(kIfb, kClass));
    HtbClass other = kClass;
    other.rate_bytes_per_second = 2'000'000;
    other.ceil_bytes_per_second = 9'000'000'000;
    other.quantum_bytes = 30'000;
    EXPECT_OK(world.qdiscs->ChangeClass(kIfb, other));
    EXPECT_TRUE(Equivalent(other, world.qdiscs->ObserveUplink(kIfb)->classes[0].htb));
    other.parent_minor = 0;
    EXPECT_OK(world.qdiscs->ChangeClass(kIfb, other));
    EXPECT_EQ(world.qdiscs->ObserveUplink(kIfb)->classes[0].htb.parent_minor, kRootClassMinor);
  });
}

TEST_P(DriversContract, ALeafIsMadeAndChanged) {
  OnHost([](World& world) {
    ASSERT_OK(world.links->CreateIfb({0, ""}));
    EXPECT_CODE(world.qdiscs->SetLeaf(kIfb, 1, {LeafKind::kBfifo, 65'536}), Code::kNotFound);
    ASSERT_OK(world.qdiscs->AddHtb(kIfb, kDefaultClassMinor));
    EXPECT_CODE(world.qdiscs->SetLeaf(kIfb, 1, {LeafKind::kBfifo, 65'536}), Code::kNotFound);
    HtbClass htb = kClass;
    htb.parent_minor = 0;
    ASSERT_OK(world.qdiscs->AddClass(kIfb, htb));
    EXPECT_FALSE(world.qdiscs->ObserveUplink(kIfb)->classes[0].leaf.has_value());
    for (const std::uint32_t limit : {65'536u, 100'000u}) {
      EXPECT_OK(world.qdiscs->SetLeaf(kIfb, 1, {LeafKind::kBfifo, limit}));
      const Leaf wanted{LeafKind::kBfifo, limit};
      EXPECT_EQ(world.qdiscs->ObserveUplink(kIfb)->classes[0].leaf, wanted);
    }
  });
}

TEST_P(DriversContract, DeletingTheHtbTakesItsClasses) {
  OnHost([](World& world) {
    ASSERT_OK(world.links->CreateIfb({0, ""}));
    ASSERT_OK(world.qdiscs->AddHtb(kIfb, kDefaultClassMinor));
    ASSERT_OK(world.qdiscs->AddClass(kIfb, kRoot));
    ASSERT_OK(world.qdiscs->AddClass(kIfb, kClass));
    EXPECT_OK(world.qdiscs->DeleteRoot(kIfb));
    const UplinkQdiscs uplink = *world.qdiscs->ObserveUplink(kIfb);
    EXPECT_FALSE(uplink.root.has_value());
    EXPECT_TRUE(uplink.classes.empty());
    EXPECT_OK(world.qdiscs->AddHtb(kIfb, kDefaultClassMinor));
    EXPECT_TRUE(world.qdiscs->ObserveUplink(kIfb)->classes.empty());
  });
}

TEST_P(DriversContract, AskingForFqCodelChangesNothing) {
  OnHost([](World& world) {
    const auto has = world.qdiscs->HasFqCodel();
    ASSERT_TRUE(has.ok()) << MessageOf(has);
    EXPECT_EQ(*has, *world.qdiscs->HasFqCodel());
    if (!*has) return;
    ASSERT_OK(world.links->CreateIfb({0, ""}));
    ASSERT_OK(world.qdiscs->AddHtb(kIfb, kDefaultClassMinor));
    ASSERT_OK(world.qdiscs->AddClass(kIfb, kRoot));
    EXPECT_OK(world.qdiscs->SetLeaf(kIfb, kRootClassMinor, {LeafKind::kFqCodel, 1'000'000}));
    const Leaf wanted{LeafKind::kFqCodel, 1'000'000};
    EXPECT_EQ(world.qdiscs->ObserveUplink(kIfb)->classes[0].leaf, wanted);
  });
}

}  // namespace
}  // namespace forkplane::drivers
