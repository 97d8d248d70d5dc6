// What the sides that are not ours share: a host with everything that VMs share, raised by our host
// loop, and what is done to it by our drivers, which are calls of netlink and nothing else.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "controller/base/network_names.h"
#include "reconcilers/shaping/rates.h"
#include "tests/bench/network/crew.h"
#include "tests/bench/network/sides.h"

namespace forkplane::bench {

// One program, waited for. Its stderr is dropped: `tc` warns of dumps that its neighbours disturb.
Status RunProgram(const std::vector<std::string>& words);

// What every VM of a bench is limited to, as the shaping loop works it out.
shaping::Rates RatesOf(std::uint32_t number);

// A host in the namespace of this thread. The ledger only answers the host loop's questions.
Result<std::unique_ptr<Drivers>> OpenHost(const std::string& path);

// `prefix`-1 to -count: claimed, and ready and shaped.
std::string VmUid(const std::string& prefix, std::size_t n);
Status RaiseVms(World& world, const std::string& prefix, std::uint32_t count);

class Foreign : public Side {
 public:
  explicit Foreign(std::unique_ptr<Drivers> drivers) : on_(std::move(drivers)) {}

  Status Drop() override;

 protected:
  Status MakeTap(std::uint32_t number);
  Status Plug(std::uint32_t number);
  // The entry and both programs; the clsact is there.
  Status Translate(std::uint32_t number);

  static Ipv4 AddressOf(std::uint32_t number);
  Drivers& on() { return *on_; }
  Crew& crew() { return crew_; }
  void SetCount(std::uint32_t count) { count_ = count; }
  std::uint32_t count() const { return count_; }

 private:
  Status DropOne(std::uint32_t number);

  std::unique_ptr<Drivers> on_;
  Crew crew_;
  std::uint32_t count_ = 0;
};

}  // namespace forkplane::bench
