// Goal: every answer and every refusal of the ledger is the one its header promises, whatever a few
// owners ask for in whatever order, also when it is closed and opened between any two calls.
// Method: seeded random calls; a model foretells each outcome and is compared with everything the
// ledger says it holds after each call. Ledgers that lie must be told from the true one. The seed
// is printed; FORKPLANE_TEST_SEED sets it.
#include "tests/unit/ledger/model.h"

#include "tests/unit/ledger/fixture.h"
#include "tests/unit/ledger/lying_ledger.h"
#include "tests/unit/ledger/property_support.h"

namespace forkplane::ledger {
namespace {

using std::chrono::milliseconds;

constexpr std::uint32_t kUids = 5;  // for six owners
constexpr std::array kOwners = {"a", "b", "c", "d", "e", "f"};
constexpr std::array kPools = {"qemu", "firecracker"};
// The last two want blocks that others may hold; so some claims are refused.
constexpr std::array kNetworks = {
    std::array{"n1", "one", "10.0.0.0/29"}, std::array{"n2", "two", "10.0.1.0/29"},
    std::array{"n3", "three", "10.0.0.0/24"}, std::array{"n4", "two", "10.0.2.0/29"}};

class Walk {
 public:
  Walk(std::uint64_t seed, Lie lie, const std::string& path) : rng_(seed), lie_(lie) {
    options_.path = path;
    options_.boot_id = "boot-0";
    options_.uid_count = kUids;
    options_.slots_default = 1;
    options_.shaping_domains = 2;
    options_.classes_per_domain = 2;
    for (const char* suffix : {"", "-wal", "-shm"}) std::filesystem::remove(path + suffix);
    Open();
  }

  // The first broken promises, with the calls that led there.
  std::vector<std::string> Run(int steps) {
    for (int i = 0; i < steps && model_.wrong.empty(); ++i) {
      Step();
      model_.SetNow(clock_.Now());
      model_.Compare(*ledger_);
    }
    if (model_.wrong.empty()) return {};
    std::string way;
    const std::size_t from = calls_.size() > 12 ? calls_.size() - 12 : 0;
    for (std::size_t i = from; i < calls_.size(); ++i) way += "\n  " + calls_[i];
    model_.wrong.front() += fmt::format(" (call {}){}", calls_.size(), way);
    return model_.wrong;
  }

 private:
  void Open() {
    ledger_.reset();
    auto opened = Ledger::Open(options_, clock_, ids_);
    CHECK(opened.ok());
    ledger_ = std::make_unique<LyingLedger>(std::move(opened).value(), lie_);
  }

  void Note(std::string call) { calls_.push_back(std::move(call)); }
  bool OneIn(std::uint64_t n) { return rng_.Below(n) == 0; }
  template <typename List>
  auto Any(const List& list) {
    return list[rng_.Below(list.size())];
  }

  void Step() {
    if (OneIn(9)) return Reopen();
    if (OneIn(8)) clock_.Advance(milliseconds(rng_.Below(400)));
    model_.SetNow(clock_.Now());
    if (OneIn(7)) return NetworkCall();
    if (OneIn(3)) return Claim();
    VmCall(OwnerOf(Any(kOwners)).uid);
  }

  void Reopen() {
    const bool reboot = OneIn(4);
    Note(reboot ? "reboot" : "reopen");
    if (reboot) {
      options_.boot_id += "+";
      model_.OnReboot(clock_.Now());
    }
    // Another flag: there may be room for who waits, and no call yet that grants it.
    if (OneIn(4)) options_.slots_default = static_cast<std::uint32_t>(rng_.Below(4));
    model_.SetSlotsDefault(options_.slots_default);
    Open();
  }

  InterfaceClaim MakeInterface(std::uint32_t ordinal) {
    InterfaceClaim wanted;
    wanted.ordinal = ordinal;
    wanted.name = fmt::format("eth{}", ordinal);
    wanted.network_uid = OneIn(6) ? Any(kNetworks)[0] : OneIn(2) ? "n1" : "n2";
    if (OneIn(4)) {  // also the reserved ones, and some that are outside
      const char* block = wanted.network_uid == "n2" ? "10.0.1.0" : "10.0.0.0";
      wanted.address = Ipv4{Ip(block).value + static_cast<std::uint32_t>(rng_.Below(9))};
    }
    if (OneIn(15)) wanted.tap.vnet_header_bytes = 10;
    return wanted;
  }

  void Claim() {
    VmClaim claim{.owner = OwnerOf(Any(kOwners))};
    const auto interfaces = static_cast<std::uint32_t>(rng_.Below(4));
    for (std::uint32_t i = 0; i < interfaces; ++i) claim.interfaces.push_back(MakeInterface(i));
    if (interfaces > 1 && OneIn(12)) claim.interfaces[1].ordinal = 0;
    if (!OneIn(3)) claim.slot_pool = OneIn(4) ? kPools[1] : kPools[0];
    claim.fail_fast = OneIn(3);
    std::string note = fmt::format("claim {} pool={} fail_fast={}", claim.owner.name,
                                   claim.slot_pool.value_or("-"), claim.fail_fast);
    for (const auto& wanted : claim.interfaces) {
      note += fmt::format(" [{} {} {}]", wanted.ordinal, wanted.network_uid,
                          wanted.address ? ToString(*wanted.address) : "any");
    }
    Note(note);
    const int times = OneIn(4) ? 2 : 1;  // a repeated claim finds its own
    for (int i = 0; i < times; ++i) model_.OnClaim(claim, ledger_->Claim(claim));
  }

  // Leases of every state, ids that are long gone, and the same one twice.
  std::vector<LeaseId> SomeLeases() {
    std::vector<LeaseId> known = {1};
    for (const auto& [uid, vm] : model_.vms()) {
      for (const auto& lease : vm.interfaces) {
        if (lease.state == InterfaceState::kReleasing || OneIn(10)) known.push_back(lease.id);
      }
    }
    std::vector<LeaseId> some;
    for (std::uint64_t n = 1 + rng_.Below(4); n > 0; --n) some.push_back(Any(known));
    return some;
  }

  void Confirm() {
    const std::vector<LeaseId> leases = SomeLeases();
    const Part part = OneIn(2) ? Part::kTap : Part::kClass;
    Note(fmt::format("confirm {} {}", fmt::join(leases, ","), ToString(part)));
    if (leases.size() == 1) {
      return model_.OnConfirm(leases, part, ledger_->ConfirmAbsent(leases[0], part));
    }
    model_.OnConfirm(leases, part, ledger_->ConfirmAbsent(leases, part));
  }

  void VmCall(const std::string& uid) {
    switch (rng_.Below(9)) {
      case 0: {
        const VmmRecord record{static_cast<std::int32_t>(1 + rng_.Below(2)), 8, "boot", "x"};
        Note("set vmm " + uid);
        return model_.OnSetVmm(uid, record, ledger_->SetVmm(uid, record));
      }
      case 1:
        Note("clear vmm " + uid);
        return model_.OnSetVmm(uid, std::nullopt, ledger_->ClearVmm(uid));
      case 2:
        Note("release " + uid);
        return model_.OnRelease(uid, ledger_->Release(uid));
      case 3:
        Note("free slot " + uid);
        return model_.OnFreeSlot(uid, ledger_->FreeSlot(uid));
      case 4: {
        const auto vm = ledger_->GetVm(uid);
        const LeaseId id = vm && !vm->interfaces.empty() ? Any(vm->interfaces).id : 1;
        Note(fmt::format("release interface {} of {}", id, uid));
        return model_.OnReleaseInterface(id, ledger_->ReleaseInterface(id));
      }
      case 5: {
        const std::string pool = Any(kPools);
        const auto total = static_cast<std::uint32_t>(rng_.Below(4));
        Note(fmt::format("grant {} of {}", total, pool));
        return model_.OnGrantSlots(pool, total, ledger_->GrantSlots(pool, total));
      }
      default:
        return Confirm();
    }
  }

  void NetworkCall() {
    const auto& named = OneIn(2) ? kNetworks[rng_.Below(2)] : Any(kNetworks);
    NetworkParameters network = SmallNetwork(named[0], named[1], named[2]);
    const std::uint64_t dice = rng_.Below(8);
    if (dice == 0) {
      Note("begin release network " + network.uid);
      return model_.OnBeginReleaseNetwork(network.uid, ledger_->BeginReleaseNetwork(network.uid));
    }
    if (dice == 1) {
      Note("confirm network absent " + network.uid);
      return model_.OnConfirmNetwork(network.uid, ledger_->ConfirmNetworkAbsent(network.uid));
    }
    network.address_rest = milliseconds(OneIn(4) ? 0 : 500 * (1 + rng_.Below(3)));
    if (OneIn(5)) network.gateway = network.cidr.At(static_cast<std::uint32_t>(rng_.Below(4)));
    if (OneIn(6)) network.cidr = ParseCidr("10.0.3.0/29").value();
    if (OneIn(2)) network.gateway = network.cidr.At(1);
    Note(fmt::format("claim network {} {} gateway {} rest {}", network.uid, ToString(network.cidr),
                     ToString(network.gateway), network.address_rest.count()));
    model_.OnClaimNetwork(network, ledger_->ClaimNetwork(network));
  }

  SeededRng rng_;
  SeededRng ids_{1};
  ManualClock clock_;
  Options options_;
  const Lie lie_;
  std::unique_ptr<Ledger> ledger_;
  Model model_{Options{}.uid_first, kUids, 1};
  std::vector<std::string> calls_;
};

class LedgerModelTest : public ::testing::Test {
 protected:
  std::vector<std::string> RunWalk(std::uint64_t seed, Lie lie, int steps) {
    return Walk(seed, lie, dir_.File("ledger.db")).Run(steps);
  }
  MemoryDir dir_;
};

TEST_F(LedgerModelTest, EveryCallDoesWhatIsPromised) {
  const int walks = Depth() == 0 ? 4 : Depth() == 1 ? 40 : 1000;
  for (std::uint64_t seed = FirstSeed(); seed < FirstSeed() + static_cast<std::uint64_t>(walks);
       ++seed) {
    const auto wrong = RunWalk(seed, Lie::kNone, 600);
    for (const auto& text : wrong) ADD_FAILURE() << text;
    if (!wrong.empty()) FAIL() << "FORKPLANE_TEST_SEED=" << seed;
  }
}

TEST_F(LedgerModelTest, EveryLieIsFoundOut) {
  for (const NamedLie& lie : kLies) {
    bool found = false;
    for (std::uint64_t seed = FirstSeed(); seed < FirstSeed() + 5 && !found; ++seed) {
      const auto wrong = RunWalk(seed, lie.lie, 600);
      found = !wrong.empty();
      if (found)
        fmt::print("killed   {}: {}\n", lie.name,
                   wrong.front().substr(0, wrong.front().find('\n')));
    }
    EXPECT_TRUE(found) << "survived: " << lie.name;
  }
}

}  // namespace
}  // namespace forkplane::ledger
