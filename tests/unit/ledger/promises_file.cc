// What the file holds against what was promised.
#include <fmt/format.h>

#include "controller/base/net_address.h"
#include "tests/unit/ledger/promises.h"

namespace forkplane::ledger {
namespace {

std::map<std::string, FileJudge::Row> ByFirst(const FileJudge& file, const std::string& sql) {
  std::map<std::string, FileJudge::Row> rows;
  for (const auto& row : file.Query(sql)) rows[row.at(0)] = row;
  return rows;
}

}  // namespace

void Promises::CheckFile(const FileJudge& file) {
  CheckLeases(file);
  CheckVms(file);
  CheckSlots(file);
  CheckNetworks(file);
  for (auto& text : file.Wrong(totals_)) Wrong(std::move(text));
}

void Promises::CheckHeldLease(const Lease& lease, const FileJudge::Row& row) {
  const std::string what = fmt::format("lease {} of {}", lease.item.lease, lease.owner);
  if (lease.IsGone()) Wrong(what + " was acknowledged as gone and is held");
  const FileJudge::Row want = {row[0], lease.owner, fmt::format("{}", lease.item.ordinal),
                               fmt::format("{}", lease.item.number),
                               ToString(Ipv4{lease.item.address})};
  if (!std::equal(want.begin(), want.end(), row.begin())) Wrong(what + " is another in the file");
  const bool begun = lease.release_begun || lives_[lease.owner].release_begun;
  const bool active = row[5] == "Active";
  if (!begun && !active) Wrong(what + " is let go, and nobody said so");
  if (lease.released && active) Wrong(what + " was released and is active");
  const auto part = [&](const Part& told, const std::string& absent, const char* name) {
    if (told.answered && absent != "1") Wrong(fmt::format("{}: {} absent was lost", what, name));
    if (!told.begun && absent != "0") Wrong(fmt::format("{}: {} nobody confirmed", what, name));
  };
  part(lease.tap, row[6], "tap");
  part(lease.klass, row[7], "class");
}

void Promises::CheckLeases(const FileJudge& file) {
  const auto rows = ByFirst(file,
                            "SELECT id, owner_uid, ordinal, number, address, state, tap_absent, "
                            "class_absent FROM interfaces");
  const auto rests = ByFirst(file, "SELECT address, network_uid FROM rests");
  for (const auto& [id, lease] : leases_) {
    const auto row = rows.find(std::to_string(id));
    if (row != rows.end()) {
      CheckHeldLease(lease, row->second);
      continue;
    }
    const std::string address = ToString(Ipv4{lease.item.address});
    if (!lease.MayBeGone()) Wrong(fmt::format("lease {} of {} was lost", id, lease.owner));
    const bool rests_still = lease.item.rest_ms > 0 && clock_ms_ < lease.RestEndsMs();
    if (rests_still && !rests.contains(address)) Wrong("the rest of " + address + " was lost");
  }
  for (const auto& [id, row] : rows) {
    if (leases_.contains(std::stoll(id))) continue;
    const auto life = lives_.find(row[1]);
    const bool on_its_way = life != lives_.end() && life->second.claim_begun;
    if (!on_its_way) Wrong(fmt::format("lease {} of {}: nobody was told", id, row[1]));
  }
}

void Promises::CheckVms(const FileJudge& file) {
  const auto rows =
      ByFirst(file, "SELECT owner_uid, releasing, vmm_uid, coalesce(vmm_pid, 0) FROM vms");
  for (const auto& [owner, life] : lives_) {
    const auto row = rows.find(owner);
    CheckVm(owner, life, row == rows.end() ? nullptr : &row->second);
  }
  for (const auto& [owner, row] : rows) {
    if (!lives_.contains(owner)) Wrong(owner + ": nobody ever claimed for it");
  }
}

void Promises::CheckVm(const std::string& owner, const Life& life, const FileJudge::Row* row) {
  if (life.held && !life.release_begun) {
    if (row == nullptr) return Wrong(owner + ": the VM was lost");
    if ((*row)[1] != "0") Wrong(owner + " is let go, and nobody said so");
    if ((*row)[2] != fmt::format("{}", life.vmm_uid)) Wrong(owner + ": another VMM uid");
    if (life.vmm_known && (*row)[3] != fmt::format("{}", life.pid)) {
      Wrong(fmt::format("{}: pid {} in the file instead of {}", owner, (*row)[3], life.pid));
    }
    return;
  }
  if (row == nullptr || life.claim_begun) return;
  if (!life.held) return Wrong(owner + ": a refused claim took something");
  if (!life.released) return;
  if ((*row)[1] != "1") Wrong(owner + " was released and is not");
  const bool gone = std::all_of(life.leases.begin(), life.leases.end(), [&](const auto& lease) {
    return leases_.at(lease.second).IsGone();
  });
  if (gone) Wrong(owner + ": every interface was confirmed gone, the VM is held");
}

void Promises::CheckSlots(const FileJudge& file) {
  const auto rows = ByFirst(file, "SELECT owner_uid, granted FROM slots");
  for (const auto& [owner, life] : lives_) {
    const auto row = rows.find(owner);
    if (life.claim_begun || life.release_begun != life.released) continue;
    const bool held = row != rows.end();
    using Slot = Life::Slot;
    if (life.slot == Slot::kNone && held) Wrong(owner + ": its slot was given back and is held");
    if (life.slot == Slot::kHeld && !held) Wrong(owner + ": its place in the queue was lost");
    if (life.slot == Slot::kGranted && (!held || row->second[1] != "1")) {
      Wrong(owner + ": its slot was lost");
    }
  }
}

void Promises::CheckNetworks(const FileJudge& file) {
  const auto rows = ByFirst(file, "SELECT uid, releasing, bridge FROM networks");
  for (const auto& [uid, network] : networks_) {
    using State = Network::State;
    const auto row = rows.find(uid);
    if (network.state == State::kUnknown) continue;
    const bool want = network.state != State::kAbsent;
    if (want != (row != rows.end())) {
      Wrong(fmt::format("network {}: held is {}", uid, !want));
    } else if (want && (row->second[1] == "1") != (network.state == State::kReleasing)) {
      Wrong(fmt::format("network {}: releasing is {}", uid, row->second[1]));
    } else if (want && row->second[2] != fmt::format("{}", network.bridge)) {
      Wrong(fmt::format("network {}: another bridge", uid));
    }
  }
}

}  // namespace forkplane::ledger
