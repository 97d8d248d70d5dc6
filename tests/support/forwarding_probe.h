// The kernel's forwarding probe, wired as the daemon does it.
#pragma once

#include <memory>

#include "drivers/bpf/packet_injector.h"
#include "drivers/nftables/forwarding_probe.h"

namespace forkplane::testing {

inline std::unique_ptr<nftables::NftForwardingProbe> OpenForwardingProbe() {
  const std::shared_ptr<bpf::PacketInjector> injector = *bpf::PacketInjector::Open();
  return *nftables::NftForwardingProbe::Open(
      [injector](std::uint32_t index, std::span<const std::uint8_t> frame) {
        return injector->Inject(index, frame);
      });
}

}  // namespace forkplane::testing
