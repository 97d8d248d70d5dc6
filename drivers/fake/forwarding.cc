// Forwarding of the in-memory host: no packet flows, so what stands between is asked directly.
#include <algorithm>

#include "drivers/fake/drivers.h"

namespace forkplane::fake {

using drivers::Forwarding;
using drivers::ForwardingVerdict;

namespace {

// A default route leads anywhere; without one, to the guests that a link leads to.
bool LeadsTo(const State& state, Ipv4 target) {
  return state.uplink.has_value() ||
         std::any_of(state.links.begin(), state.links.end(),
                     [&](const auto& link) { return link.second.host_routes.contains(target); });
}

}  // namespace

Result<ForwardingVerdict> FakeForwardingProbe::Probe(std::uint32_t bridge, Ipv4,
                                                     const std::vector<Ipv4>& targets) {
  if (!IsBridgeIndex(bridge)) {
    return Invalid(fmt::format("probe link {:#x}: not a bridge of ours", bridge));
  }
  return kernel_.Change([&](State& state) -> Result<ForwardingVerdict> {
    const FakeLink* found = Find(state, bridge);
    if (found == nullptr) return NoDevice("probe", bridge);
    const bool forwards =
        state.ipv4_forwarding || found->switches.contains(drivers::LinkSwitch::kForwarding);
    const bool leads = std::any_of(targets.begin(), targets.end(),
                                   [&](Ipv4 target) { return LeadsTo(state, target); });
    if (!forwards || !leads) {
      return ForwardingVerdict{Forwarding::kUnknown, "not forwarded at all", {}};
    }
    const bool open = state.forward_drops.empty();
    return ForwardingVerdict{
        open ? Forwarding::kOpen : Forwarding::kBlocked, {}, state.forward_drops};
  });
}

}  // namespace forkplane::fake
