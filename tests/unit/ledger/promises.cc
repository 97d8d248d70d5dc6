#include "tests/unit/ledger/promises.h"

#include "controller/base/result.h"

namespace forkplane::ledger {
namespace {

using Call = Record::Call;

// The refusals that a caller of this suite may meet; anything else is an error of the ledger.
bool MayBeRefused(Call call, Code code) {
  switch (call) {
    case Call::kClaim:
      return code == Code::kNotFound || code == Code::kConflict || code == Code::kExhausted ||
             code == Code::kUnavailable;
    case Call::kSetVmm:  // the loops may have ended a VM that was released
      return code == Code::kConflict || code == Code::kNotFound;
    case Call::kRelease:
    case Call::kBeginReleaseNetwork:
    case Call::kConfirmNetwork:
      return code == Code::kConflict;
    case Call::kClaimNetwork:
      return code == Code::kUnavailable;
    case Call::kClearVmm:
    case Call::kFreeSlot:
    case Call::kReleaseInterface:
    case Call::kConfirmTap:
    case Call::kConfirmClass:
    case Call::kGrantSlots:
    case Call::kTime:
      return false;
  }
  return false;
}

}  // namespace

void Promises::Take(const Record& record) {
  ++taken_;
  if (!record.answered) return Begin(record);
  const Code refusal = static_cast<Code>(record.refusal);
  if (!record.ok && !MayBeRefused(record.call, refusal)) {
    Wrong(fmt::format("call {} for {} was refused: {}", static_cast<int>(record.call), record.name,
                      ToString(refusal)));
  }
  Answer(record);
}

// A lease that somebody uses was told of before.
Promises::Lease& Promises::Told(std::int64_t id) {
  if (!leases_.contains(id)) Wrong(fmt::format("lease {} is there, and nobody was told", id));
  return leases_[id];
}

void Promises::Begin(const Record& record) {
  switch (record.call) {
    case Call::kReleaseInterface:
      Told(record.items[0].lease).release_begun = true;
      return;
    case Call::kConfirmTap:
    case Call::kConfirmClass:
      for (std::size_t i = 0; i < record.items_count; ++i) {
        Lease& lease = Told(record.items[i].lease);
        Part& part = record.call == Call::kConfirmTap ? lease.tap : lease.klass;
        if (!part.begun) part = {true, false, record.clock_ms};
      }
      return;
    case Call::kGrantSlots:
      totals_[record.name] = std::max(totals_[record.name], record.number);
      return;
    case Call::kTime:
      clock_ms_ += record.number;
      return;
    case Call::kClaimNetwork:
    case Call::kBeginReleaseNetwork:
    case Call::kConfirmNetwork:
      return BeginNetwork(record);
    case Call::kClaim:
    case Call::kSetVmm:
    case Call::kClearVmm:
    case Call::kFreeSlot:
    case Call::kRelease:
      return BeginVm(record.call, lives_[record.name]);
  }
}

void Promises::BeginVm(Record::Call call, Life& life) {
  if (call == Call::kClaim) {
    life.claim_begun = true;
    if (life.slot == Life::Slot::kNone) life.slot = Life::Slot::kUnknown;
  } else if (call == Call::kFreeSlot) {
    life.slot = Life::Slot::kUnknown;
  } else if (call == Call::kRelease) {
    life.release_begun = true;
  } else {
    life.vmm_known = false;
  }
}

void Promises::Answer(const Record& record) {
  switch (record.call) {
    case Call::kClaim:
      return AnswerClaim(record);
    case Call::kSetVmm: {
      Life& life = lives_[record.name];
      life.vmm_known = true;  // a refusal changes nothing
      if (record.ok) life.pid = record.number;
      if (record.ok == life.released)
        Wrong(fmt::format("{}: set vmm at a wrong time", record.name));
      return;
    }
    case Call::kClearVmm:
      lives_[record.name].vmm_known = true;
      lives_[record.name].pid = 0;
      return;
    case Call::kFreeSlot:
      lives_[record.name].slot = Life::Slot::kNone;
      return;
    case Call::kRelease: {
      Life& life = lives_[record.name];
      if (record.ok != (life.pid == 0)) {
        Wrong(fmt::format("{}: released under pid {}: {}", record.name, life.pid, record.ok));
      }
      if (record.ok) return AnswerRelease(record.name);
      life.release_begun = life.released;
      return;
    }
    case Call::kReleaseInterface:
      Told(record.items[0].lease).released = true;
      return;
    case Call::kConfirmTap:
    case Call::kConfirmClass:
      for (std::size_t i = 0; record.ok && i < record.items_count; ++i) {
        Lease& lease = Told(record.items[i].lease);
        (record.call == Call::kConfirmTap ? lease.tap : lease.klass).answered = true;
      }
      return;
    case Call::kClaimNetwork:
    case Call::kBeginReleaseNetwork:
    case Call::kConfirmNetwork:
      return AnswerNetwork(record);
    case Call::kGrantSlots:
    case Call::kTime:
      return;
  }
}

void Promises::AnswerRelease(const std::string& owner) {
  Life& life = lives_[owner];
  life.released = true;
  life.slot = Life::Slot::kNone;
  for (auto& [id, lease] : leases_) {
    if (lease.owner == owner) lease.released = lease.release_begun = true;
  }
}

bool Promises::MayBeGone(const Life& life) const {
  return life.release_begun &&
         std::all_of(life.leases.begin(), life.leases.end(),
                     [&](const auto& lease) { return leases_.at(lease.second).MayBeGone(); });
}

void Promises::AnswerClaim(const Record& record) {
  const std::string owner = record.name;
  Life& life = lives_[owner];
  life.claim_begun = false;
  if (!record.ok) {
    if (life.slot == Life::Slot::kUnknown) life.slot = Life::Slot::kNone;
    return;
  }
  if (life.released) {
    if (!MayBeGone(life)) Wrong(owner + ": claimed again before its leases were gone");
    life = {};
  }
  const auto other = by_uid_.find(record.number);
  if (!life.held && other != by_uid_.end() && other->second != owner) {
    const Life& holder = lives_[other->second];
    if (holder.held && holder.vmm_uid == record.number && !MayBeGone(holder)) {
      Wrong(fmt::format("VMM uid {} of {} was handed out to {}", record.number, other->second,
                        owner));
    }
  }
  if (life.held && life.vmm_uid != record.number) Wrong(owner + ": its VMM uid changed");
  life.held = true;
  life.vmm_uid = record.number;
  by_uid_[record.number] = owner;
  life.slot = record.slot == 2 ? Life::Slot::kGranted
                               : (record.slot == 1 ? Life::Slot::kHeld : Life::Slot::kNone);
  std::set<std::int64_t> told;
  for (std::size_t i = 0; i < record.items_count; ++i) {
    told.insert(record.items[i].lease);
    AnswerLease(owner, life, record.items[i]);
  }
  for (const auto& [ordinal, id] : life.leases) {
    if (!told.contains(id) && !leases_.at(id).MayBeGone()) {
      Wrong(fmt::format("{}: a repeated claim does not tell of lease {}", owner, id));
    }
  }
}

void Promises::AnswerLease(const std::string& owner, Life& life, const Record::Item& item) {
  const auto known = life.leases.find(item.ordinal);
  if (known != life.leases.end() && known->second == item.lease) {
    const Record::Item& before = leases_.at(item.lease).item;
    if (before.number != item.number || before.address != item.address) {
      Wrong(fmt::format("{}: lease {} changed under it", owner, item.lease));
    }
    return;
  }
  if (known != life.leases.end() && !leases_.at(known->second).MayBeGone()) {
    Wrong(fmt::format("{}: ordinal {} was leased twice", owner, item.ordinal));
  }
  if (leases_.contains(item.lease)) Wrong(fmt::format("lease id {} was used twice", item.lease));
  Lease lease;
  lease.owner = owner;
  lease.item = item;
  HandOut(item.lease, lease);
  leases_[item.lease] = lease;
  life.leases[item.ordinal] = item.lease;
}

void Promises::HandOut(std::int64_t id, const Lease& lease) {
  const auto address = by_address_.find(lease.item.address);
  if (address != by_address_.end()) {
    const Lease& before = leases_.at(address->second);
    if (!before.MayBeGone()) {
      Wrong(fmt::format("an address of {} was handed out to {}", before.owner, lease.owner));
    } else if (before.item.rest_ms > 0 && clock_ms_ < before.RestEndsMs()) {
      Wrong(fmt::format("an address of {} was handed out to {} during its rest", before.owner,
                        lease.owner));
    }
  }
  const auto number = by_number_.find(lease.item.number);
  if (number != by_number_.end() && !leases_.at(number->second).MayBeGone()) {
    Wrong(fmt::format("number {} was handed out to {} too", lease.item.number, lease.owner));
  }
  by_address_[lease.item.address] = id;
  by_number_[lease.item.number] = id;
}

void Promises::BeginNetwork(const Record& record) {
  Network& network = networks_[record.name];
  network.before = network.state;
  network.state = Network::State::kUnknown;
}

void Promises::AnswerNetwork(const Record& record) {
  using State = Network::State;
  Network& network = networks_[record.name];
  const State before = network.before;
  network.state = before;
  if (record.call == Call::kClaimNetwork && record.ok == (before == State::kReleasing)) {
    Wrong(fmt::format("{}: claimed while it is let go: {}", record.name, record.ok));
  }
  if (!record.ok) return;
  if (record.call == Call::kClaimNetwork) {
    if (before == State::kActive && network.bridge != record.number) {
      Wrong(fmt::format("{}: its bridge changed", record.name));
    }
    for (const auto& [uid, other] : networks_) {
      const bool held = other.state == State::kActive || other.state == State::kReleasing;
      if (uid != record.name && held && other.bridge == record.number) {
        Wrong(fmt::format("bridge {} of {} was handed out to {}", record.number, uid, record.name));
      }
    }
    network.bridge = record.number;
    network.state = State::kActive;
  } else if (record.call == Call::kBeginReleaseNetwork) {
    network.state = before == State::kActive ? State::kReleasing : before;
  } else {
    if (before == State::kActive) Wrong(fmt::format("{}: gone and never let go", record.name));
    network.state = State::kAbsent;
  }
}

}  // namespace forkplane::ledger
