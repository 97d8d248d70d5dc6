// Network and Host to JSON and back, and the facts derived from their specs.
#include <nlohmann/json.hpp>

#include "controller/base/network_names.h"
#include "crd/fields_host.h"
#include "crd/kind_codec.h"

namespace forkplane::crd {

FORKPLANE_KIND(Network);
FORKPLANE_KIND(Host);

Result<NetworkAddresses> NetworkAddresses::Of(const NetworkSpec& spec) {
  ASSIGN_OR_RETURN(const Cidr cidr, ParseCidr(spec.cidr));
  NetworkAddresses addresses{cidr, DefaultGateway(cidr), InnerAddress(cidr)};
  if (!spec.gateway.empty()) {
    ASSIGN_OR_RETURN(addresses.gateway, ParseIpv4(spec.gateway));
  }
  return addresses;
}

Status NetworkAddresses::CheckLeasable(Ipv4 address) const {
  const auto refuse = [&](std::string_view what) {
    return Invalid(fmt::format("{} is {} of {}: choose another address", ToString(address), what,
                               ToString(cidr)));
  };
  if (!cidr.Contains(address)) {
    return Invalid(fmt::format("{} is outside {}: choose an address inside it", ToString(address),
                               ToString(cidr)));
  }
  if (address == cidr.base) return refuse("the network address");
  if (address == cidr.broadcast()) return refuse("the broadcast address");
  if (address == gateway) return refuse("the gateway");
  if (address == inner) return refuse("the constant inner address");
  return OkStatus();
}

}  // namespace forkplane::crd
