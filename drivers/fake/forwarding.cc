// Forwarding of the in-memory host: no packet flows, so what stands between is asked directly.
#include "drivers/fake/drivers.h"

namespace forkplane::fake {

using drivers::Forwarding;
using drivers::ForwardingVerdict;

Result<ForwardingVerdict> FakeForwardingProbe::Probe(std::uint32_t bridge, Ipv4) {
  if (!IsBridgeIndex(bridge)) {
    return Invalid(fmt::format("probe link {:#x}: not a bridge of ours", bridge));
  }
  return kernel_.Change([&](State& state) -> Result<ForwardingVerdict> {
    const FakeLink* found = Find(state, bridge);
    if (found == nullptr) return NoDevice("probe", bridge);
    const bool forwards =
        state.ipv4_forwarding || found->switches.contains(drivers::LinkSwitch::kForwarding);
    if (!forwards || !state.uplink) {
      return ForwardingVerdict{Forwarding::kUnknown, "not forwarded at all", {}};
    }
    const bool open = state.forward_drops.empty();
    return ForwardingVerdict{
        open ? Forwarding::kOpen : Forwarding::kBlocked, {}, state.forward_drops};
  });
}

}  // namespace forkplane::fake
