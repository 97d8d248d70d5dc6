// What one loop observed and another needs now. In memory only and never a source of truth: after a
// restart every fact is observed and published again, and who reads one must be right without it,
// only later.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "controller/base/mutex.h"

namespace forkplane::runtime {

// NOTE Threading: everything may be called from any thread. Subscribers are called on the
// publisher's thread, after the value is in place, with no lock held; they only add a key to a
// queue. Subscribers are never removed: they must outlive the last Publish.
template <typename V>
class FactBoard {
 public:
  using Subscriber = std::function<void(const std::string& key)>;

  // Subscribers hear of it when the value differs from the one before.
  void Publish(const std::string& key, V value) {
    Amend(key, [&value](V& slot) { slot = std::move(value); });
  }

  // Changes a part of the value (made if absent): for boards two loops write. `change` runs under
  // the board's lock: assignments only.
  void Amend(const std::string& key, const std::function<void(V&)>& change) {
    {
      MutexLock lock(mu_);
      auto [it, inserted] = facts_.try_emplace(key);
      V before = it->second;
      change(it->second);
      if (!inserted && before == it->second) return;
    }
    Notify(key);
  }

  void Retract(const std::string& key) {
    {
      MutexLock lock(mu_);
      if (facts_.erase(key) == 0) return;
    }
    Notify(key);
  }

  std::optional<V> Get(const std::string& key) const {
    MutexLock lock(mu_);
    auto it = facts_.find(key);
    if (it == facts_.end()) return std::nullopt;
    return it->second;
  }

  std::map<std::string, V> All() const {
    MutexLock lock(mu_);
    return facts_;
  }

  void Subscribe(Subscriber subscriber) {
    MutexLock lock(mu_);
    subscribers_.push_back(std::move(subscriber));
  }

 private:
  void Notify(const std::string& key) {
    std::vector<Subscriber> subscribers;
    {
      MutexLock lock(mu_);
      subscribers = subscribers_;
    }
    for (const Subscriber& subscriber : subscribers) subscriber(key);
  }

  mutable Mutex mu_;
  std::map<std::string, V> facts_ GUARDED_BY(mu_);
  std::vector<Subscriber> subscribers_ GUARDED_BY(mu_);
};

// By interface lease id. The tap loop amends ready and reason, the shaping loop the rest.
struct InterfaceFacts {
  bool ready = false;       // the TAP is up, programmed and routed
  std::string reason = {};  // CamelCase; why not ready
  bool shaped = false;      // the kernel was seen to hold the wanted rates, both directions
  std::string shaped_reason = {};
  bool above_capacity = false;  // the upload rate wanted is the uplink's, being less than asked for
  bool short_of_guarantee = false;  // less is held than the upload rate: others hold the rest
  bool beyond_kernel = false;  // a rate or burst wanted was brought within what the kernel can keep
  // As observed; 0: none in place.
  std::uint64_t download_rate_bits_per_second = 0;
  std::uint64_t download_burst_bytes = 0;
  std::uint64_t upload_rate_bits_per_second = 0;
  std::uint64_t upload_ceil_bits_per_second = 0;
  std::uint64_t upload_burst_bytes = 0;
  bool operator==(const InterfaceFacts&) const = default;
};
using InterfaceFactBoard = FactBoard<InterfaceFacts>;

// By VirtualMachine uid; published by the virtual_machine loop.
struct VmmFacts {
  int pid = 0;
  bool running = false;         // the guest has run, and runs or is paused for a snapshot
  std::string hypervisor = {};  // whose driver has it
  std::int64_t cpus = 0;        // as started, whatever the spec says by now
  bool holds_taps = true;       // false: no process stands behind its TAPs (simulated)
  bool operator==(const VmmFacts&) const = default;
};
using VmmFactBoard = FactBoard<VmmFacts>;

// By VirtualMachine uid; published by the snapshot_alias loop, shown in the VM's status: how the
// paths inside its snapshot find their files.
struct AliasFacts {
  std::string strategy;     // none, rewrite, mount
  std::string reason = {};  // CamelCase
  bool operator==(const AliasFacts&) const = default;
};
using AliasFactBoard = FactBoard<AliasFacts>;

// By host name; published by the orphan loop, shown in the Host's condition OrphansHeld.
struct OrphanFacts {
  std::vector<std::string> held;  // "namespace/name", sorted; VMs the ledger has and the store not
  bool operator==(const OrphanFacts&) const = default;
};
using OrphanFactBoard = FactBoard<OrphanFacts>;

// By host name; published by the host loop.
struct UplinkFacts {
  std::int64_t upload_bits_per_second = 0;  // that the uplink carries, or is taken to carry
  // A link by which uploads would pass unshaped, as long as they cannot be shaped there (--redirect
  // mark); "": none.
  std::string unshaped = {};
  bool operator==(const UplinkFacts&) const = default;
};
using UplinkFactBoard = FactBoard<UplinkFacts>;

// By condition type (crd::condition): what a room that does not write Host.status has to say there.
// The host loop shows each as a condition of this host that is True; retracted, it goes.
struct HostCondition {
  std::string reason;  // CamelCase, explained in docs/conditions.md
  std::string message;
  bool operator==(const HostCondition&) const = default;
};
using HostConditionBoard = FactBoard<HostCondition>;

}  // namespace forkplane::runtime
