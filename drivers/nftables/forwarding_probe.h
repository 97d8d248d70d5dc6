// ForwardingProbe: a table of ours that counts, there for as long as the probe lasts, and a packet
// put in by whoever can (drivers/bpf/packet_injector.h).
#pragma once

#include <functional>
#include <memory>
#include <span>

#include "drivers/forwarding_probe.h"
#include "drivers/nftables/context.h"

namespace forkplane::nftables {

class NftForwardingProbe final : public drivers::ForwardingProbe {
 public:
  // Makes the host receive a frame on a link. Invalid: this kernel cannot.
  using Inject = std::function<Status(std::uint32_t index, std::span<const std::uint8_t> frame)>;
  static Result<std::unique_ptr<NftForwardingProbe>> Open(Inject inject);

  Result<drivers::ForwardingVerdict> Probe(std::uint32_t bridge, Ipv4 source,
                                           const std::vector<Ipv4>& targets) override;

 private:
  NftForwardingProbe(std::unique_ptr<Context> context, Inject inject)
      : context_(std::move(context)), inject_(std::move(inject)) {}
  Result<drivers::ForwardingVerdict> SendProbes(std::uint32_t bridge, Ipv4 source,
                                                const std::vector<Ipv4>& targets);
  Result<std::vector<drivers::ForwardChain>> FindSuspects();

  std::unique_ptr<Context> context_;
  const Inject inject_;
};

}  // namespace forkplane::nftables
