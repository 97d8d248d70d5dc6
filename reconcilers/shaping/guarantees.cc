#include "reconcilers/shaping/guarantees.h"

#include <algorithm>
#include <tuple>

namespace forkplane::shaping {
namespace {

// Firm before soft, old before new.
template <typename Entry>
bool Precedes(const Entry* a, const Entry* b) {
  return std::tuple(!a->wanted.firm, a->wanted.lease) <
         std::tuple(!b->wanted.firm, b->wanted.lease);
}

}  // namespace

bool Guarantees::Knows(std::uint32_t ifb) const {
  const MutexLock lock(mu_);
  return known_.contains(ifb);
}

void Guarantees::Learn(std::uint32_t ifb, const std::vector<Share>& held) {
  const MutexLock lock(mu_);
  known_.insert(ifb);
  for (const Share& share : held) {
    const auto [entry, is_new] = entries_.try_emplace(share.number, Entry{share});
    if (is_new) Set(entry->second, share.rate);
  }
}

Guarantees::Others Guarantees::Ask(const Share& wanted, std::uint64_t capacity_bytes_per_second) {
  Others others;
  const MutexLock lock(mu_);
  capacity_ = capacity_bytes_per_second;
  Entry& entry = entries_[wanted.number];
  const std::uint64_t had = entry.wanted.lease == wanted.lease ? entry.granted : 0;
  entry.wanted = wanted;
  Set(entry, std::clamp(had, wanted.least, wanted.rate));
  if (total_ > capacity_) Take(total_ - capacity_, true, 0, others);
  Set(entry, entry.granted + std::min(entry.Missing(), Room()));
  if (wanted.firm && entry.Missing() > 0) {
    Take(entry.Missing(), false, wanted.number, others);
    Set(entry, entry.granted + std::min(entry.Missing(), Room()));
  }
  Rouse(wanted.number, others);
  std::erase(others, wanted.number);
  return others;
}

Guarantees::Others Guarantees::Drop(std::uint32_t number, ledger::LeaseId lease) {
  Others others;
  const MutexLock lock(mu_);
  const auto entry = entries_.find(number);
  if (entry == entries_.end() || entry->second.wanted.lease != lease) return others;
  total_ -= entry->second.granted;
  short_.erase(number);
  entries_.erase(entry);
  Rouse(number, others);
  return others;
}

std::uint64_t Guarantees::Granted(std::uint32_t number) const {
  const MutexLock lock(mu_);
  const auto entry = entries_.find(number);
  return entry == entries_.end() ? 0 : entry->second.granted;
}

void Guarantees::Set(Entry& entry, std::uint64_t granted) {
  total_ += granted - entry.granted;
  entry.granted = granted;
  if (entry.Missing() == 0) {
    short_.erase(entry.wanted.number);
  } else {
    short_.insert(entry.wanted.number);
  }
}

void Guarantees::Take(std::uint64_t excess, bool firm, std::uint32_t spared, Others& others) {
  std::vector<Entry*> holders;
  for (auto& [number, entry] : entries_) {
    const bool may = entry.Spare() > 0 && number != spared && (firm || !entry.wanted.firm);
    if (may) holders.push_back(&entry);
  }
  std::sort(holders.begin(), holders.end(), Precedes<Entry>);
  while (excess > 0 && !holders.empty()) {
    Entry& last = *holders.back();
    holders.pop_back();
    const std::uint64_t taken = std::min(excess, last.Spare());
    Set(last, last.granted - taken);
    others.push_back(last.wanted.number);
    excess -= taken;
  }
}

std::uint64_t Guarantees::Room() const { return capacity_ > total_ ? capacity_ - total_ : 0; }

void Guarantees::Rouse(std::uint32_t but, Others& others) const {
  std::uint64_t room = Room();
  if (room == 0 || short_.empty()) return;
  std::vector<const Entry*> waiting;
  for (const std::uint32_t number : short_) {
    if (number != but) waiting.push_back(&entries_.at(number));
  }
  std::sort(waiting.begin(), waiting.end(), Precedes<Entry>);
  for (const Entry* entry : waiting) {
    if (room == 0) return;
    others.push_back(entry->wanted.number);
    room -= std::min(room, entry->Missing());
  }
}

}  // namespace forkplane::shaping
