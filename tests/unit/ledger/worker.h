// One of the 25 threads that use the ledger of a process which is going to be killed. Each says
// what it is about to do and what it was answered (promises.h).
#pragma once

#include "controller/base/rng.h"
#include "controller/ledger/ledger.h"
#include "tests/unit/ledger/promises.h"

namespace forkplane::ledger {

inline constexpr std::uint32_t kWorkers = 25;
inline constexpr std::array kSlotPools = {"qemu", "firecracker"};

// Two that stay, full to the brim; and one that comes and goes.
NetworkParameters NetworkOf(int n);

class Worker {
 public:
  struct World {
    Ledger& ledger;
    ManualClock& clock;
    std::uint64_t seed;
    int steps;
    int out;  // a pipe
  };

  Worker(const World& world, std::uint32_t id)
      : world_(world), id_(id), rng_(world.seed * 1000 + id) {}

  // Worker 0 sets totals and lets time pass, 1 claims and releases a Network, 2 and 3 confirm
  // classes of a whole shaping domain; the others have VMs.
  void Run();
  void ClaimNetwork(int n);

 private:
  using Call = Record::Call;

  void Budget();
  void Bridges();
  void Network();
  void Shaping();
  void Vm();

  InterfaceClaim Wanted(std::uint32_t ordinal, const std::optional<VmLease>& held);
  void Claim(const std::string& uid, const std::optional<VmLease>& held);
  void UseVm(const VmLease& vm);
  void LetGo(const VmLease& vm);
  void Confirm(const std::vector<InterfaceLease>& leases, Part part);

  bool OneIn(std::uint64_t n) { return rng_.Below(n) == 0; }
  Record Begin(Call call, const std::string& name, std::uint32_t number = 0);
  void Say(const Record& record) const;
  template <typename T>
  void Answer(Record record, const Result<T>& got);

  const World world_;
  const std::uint32_t id_;
  SeededRng rng_;
};

}  // namespace forkplane::ledger
