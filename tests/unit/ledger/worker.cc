#include "tests/unit/ledger/worker.h"

#include <unistd.h>

#include "controller/base/check.h"

namespace forkplane::ledger {
namespace {

constexpr std::uint32_t kOwnersEach = 3;
constexpr std::array kUids = {"net-a", "net-b", "net-c"};

std::uint32_t RestMs(const std::string& network_uid) {
  for (int n = 0; n < 3; ++n) {
    const NetworkParameters network = NetworkOf(n);
    if (network.uid == network_uid) {
      return static_cast<std::uint32_t>(network.address_rest.count());
    }
  }
  return 0;
}

void PutItem(Record& record, const InterfaceLease& lease) {
  CHECK(record.items_count < Record::kItemsMax);
  record.items[record.items_count++] = {lease.id, lease.ordinal, lease.number, lease.address.value,
                                        RestMs(lease.network_uid)};
}

}  // namespace

NetworkParameters NetworkOf(int n) {
  constexpr std::array kBlocks = {"10.0.0.0/27", "10.0.1.0/28", "10.0.2.0/29"};
  constexpr std::array kRests = {400, 0, 100};
  const auto at = static_cast<std::size_t>(n);
  NetworkParameters network;
  network.uid = kUids.at(at);
  network.name = network.uid;
  network.cidr = ParseCidr(kBlocks.at(at)).value();
  network.gateway = network.cidr.At(1);
  network.address_rest = std::chrono::milliseconds(kRests.at(at));
  return network;
}

Record Worker::Begin(Call call, const std::string& name, std::uint32_t number) {
  Record record = {};
  record.call = call;
  record.worker = id_;
  record.number = number;
  record.clock_ms =
      std::chrono::duration_cast<std::chrono::milliseconds>(world_.clock.Now().time_since_epoch())
          .count();
  CHECK(name.size() < sizeof record.name);
  name.copy(record.name, name.size());
  return record;
}

void Worker::Say(const Record& record) const {
  CHECK(::write(world_.out, &record, sizeof record) == static_cast<ssize_t>(sizeof record));
}

template <typename T>
void Worker::Answer(Record record, const Result<T>& got) {
  record.answered = true;
  record.ok = got.ok();
  if (!got.ok()) record.refusal = static_cast<std::uint8_t>(got.error().code);
  Say(record);
}

void Worker::Run() {
  for (int i = 0; i < world_.steps; ++i) {
    switch (id_) {
      case 0:
        Budget();
        break;
      case 1:
        Network();
        break;
      case 2:
      case 3:
        Shaping();
        break;
      default:
        Vm();
    }
  }
}

void Worker::Budget() {
  if (OneIn(2)) {
    const auto by = static_cast<std::uint32_t>(rng_.Below(120));
    Say(Begin(Call::kTime, "", by));
    world_.clock.Advance(std::chrono::milliseconds(by));
    return;
  }
  const std::string pool = kSlotPools[rng_.Below(kSlotPools.size())];
  const auto total = static_cast<std::uint32_t>(rng_.Below(5));
  const Record record = Begin(Call::kGrantSlots, pool, total);
  Say(record);
  Answer(record, world_.ledger.GrantSlots(pool, total));
}

void Worker::ClaimNetwork(int n) {
  const NetworkParameters network = NetworkOf(n);
  Record record = Begin(Call::kClaimNetwork, network.uid);
  Say(record);
  const auto got = world_.ledger.ClaimNetwork(network);
  if (got.ok()) record.number = got->bridge;
  Answer(record, got);
}

// Nobody remembers what was said of bridges: the judge reads the file.
void Worker::Bridges() {
  for (const NetworkLease& network : world_.ledger.ListAll().networks) {
    for (const FurtherBridge& further : network.further) {
      const Status gone = further.releasing ? world_.ledger.ConfirmBridgeAbsent(further.number)
                                            : world_.ledger.BeginReleaseBridge(further.number);
      CHECK(gone.ok() || gone.error().code == Code::kConflict);
    }
  }
}

void Worker::Network() {
  const std::string uid = kUids[2];
  if (OneIn(3)) return Bridges();
  switch (rng_.Below(4)) {
    case 0: {
      const Record record = Begin(Call::kBeginReleaseNetwork, uid);
      Say(record);
      return Answer(record, world_.ledger.BeginReleaseNetwork(uid));
    }
    case 1: {
      const Record record = Begin(Call::kConfirmNetwork, uid);
      Say(record);
      return Answer(record, world_.ledger.ConfirmNetworkAbsent(uid));
    }
    default:
      return ClaimNetwork(2);
  }
}

// As the shaping loop does it: one pass sees a domain.
void Worker::Shaping() {
  std::vector<InterfaceLease> releasing;
  for (const InterfaceLease& lease : world_.ledger.InterfacesOfDomain(id_ - 2)) {
    if (lease.state == InterfaceState::kReleasing && releasing.size() < Record::kItemsMax) {
      releasing.push_back(lease);
    }
  }
  if (!releasing.empty()) Confirm(releasing, Part::kClass);
}

void Worker::Confirm(const std::vector<InterfaceLease>& leases, Part part) {
  Record record = Begin(part == Part::kTap ? Call::kConfirmTap : Call::kConfirmClass, "");
  std::vector<LeaseId> ids;
  for (const InterfaceLease& lease : leases) {
    PutItem(record, lease);
    ids.push_back(lease.id);
  }
  Say(record);
  const bool single = ids.size() == 1 && OneIn(2);
  Answer(record, single ? world_.ledger.ConfirmAbsent(ids[0], part)
                        : world_.ledger.ConfirmAbsent(ids, part));
}

void Worker::Vm() {
  const std::string uid = fmt::format("uid-{}-{}", id_, rng_.Below(kOwnersEach));
  const auto vm = world_.ledger.GetVm(uid);
  if (!vm || OneIn(vm->releasing ? 12 : 4)) return Claim(uid, vm);
  if (vm->releasing || OneIn(3)) return LetGo(*vm);
  UseVm(*vm);
}

InterfaceClaim Worker::Wanted(std::uint32_t ordinal, const std::optional<VmLease>& held) {
  const NetworkParameters network = NetworkOf(OneIn(40) ? 2 : (OneIn(3) ? 1 : 0));
  InterfaceClaim wanted{
      .ordinal = ordinal, .name = "eth" + std::to_string(ordinal), .network_uid = network.uid};
  if (OneIn(5)) {
    wanted.address = network.cidr.At(static_cast<std::uint32_t>(3 + rng_.Below(4)));
  }
  if (!held) return wanted;
  for (const InterfaceLease& lease : held->interfaces) {
    // What it holds it asks for as it is, most of the time.
    if (lease.ordinal != ordinal || OneIn(6)) continue;
    wanted.network_uid = lease.network_uid;
    wanted.address = OneIn(2) ? std::optional(lease.address) : std::nullopt;
  }
  return wanted;
}

void Worker::Claim(const std::string& uid, const std::optional<VmLease>& held) {
  VmClaim claim{.owner = {uid, "default", uid}};
  const std::uint64_t interfaces = rng_.Below(4);
  for (std::uint32_t i = 0; i < interfaces; ++i) claim.interfaces.push_back(Wanted(i, held));
  if (!OneIn(3)) claim.slot_pool = kSlotPools[OneIn(4) ? 1 : 0];
  claim.fail_fast = OneIn(4);
  Record record = Begin(Call::kClaim, uid);
  Say(record);
  const auto got = world_.ledger.Claim(claim);
  if (got.ok()) {
    record.number = got->vmm_uid;
    record.slot = static_cast<std::uint8_t>(!got->slot ? 0 : (got->slot->granted ? 2 : 1));
    for (const InterfaceLease& lease : got->interfaces) PutItem(record, lease);
  }
  Answer(record, got);
}

void Worker::UseVm(const VmLease& vm) {
  const std::string& uid = vm.owner.uid;
  switch (rng_.Below(4)) {
    case 0: {
      const VmmRecord vmm{static_cast<std::int32_t>(1 + rng_.Below(9000)), 8, "boot", "x"};
      const Record record = Begin(Call::kSetVmm, uid, static_cast<std::uint32_t>(vmm.pid));
      Say(record);
      return Answer(record, world_.ledger.SetVmm(uid, vmm));
    }
    case 1: {
      const Record record = Begin(Call::kClearVmm, uid);
      Say(record);
      return Answer(record, world_.ledger.ClearVmm(uid));
    }
    case 2: {
      const Record record = Begin(Call::kFreeSlot, uid);
      Say(record);
      return Answer(record, world_.ledger.FreeSlot(uid));
    }
    default: {
      if (vm.interfaces.empty()) return;
      const InterfaceLease& lease = vm.interfaces[rng_.Below(vm.interfaces.size())];
      Record record = Begin(Call::kReleaseInterface, uid);
      PutItem(record, lease);
      Say(record);
      return Answer(record, world_.ledger.ReleaseInterface(lease.id));
    }
  }
}

// A release that is said (again), or what the two loops say of what is on its way out.
void Worker::LetGo(const VmLease& vm) {
  const std::string& uid = vm.owner.uid;
  std::vector<InterfaceLease> releasing;
  for (const InterfaceLease& lease : vm.interfaces) {
    if (lease.state == InterfaceState::kReleasing) releasing.push_back(lease);
  }
  if (vm.releasing && OneIn(8)) {
    const Record record = Begin(Call::kSetVmm, uid, 7);
    Say(record);
    return Answer(record, world_.ledger.SetVmm(uid, {7, 8, "boot", "x"}));
  }
  if (releasing.empty() || OneIn(6)) {
    const Record record = Begin(Call::kRelease, uid);
    Say(record);
    return Answer(record, world_.ledger.Release(uid));
  }
  if (OneIn(3)) releasing.resize(1);
  Confirm(releasing, OneIn(3) ? Part::kClass : Part::kTap);
}

}  // namespace forkplane::ledger
