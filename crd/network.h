// Network (net), cluster-scoped: an IPv4 subnet of VMs behind a bridge on each host.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "controller/base/net_address.h"
#include "controller/base/result.h"
#include "crd/virtual_machine.h"

namespace forkplane::crd {

enum class NetworkMode : std::uint8_t { kBridge, kRouted };
FORKPLANE_API_ENUM(NetworkMode, "Bridge", "Routed");

enum class Nat : std::uint8_t { kMasquerade, kNone };
FORKPLANE_API_ENUM(Nat, "Masquerade", "None");

enum class EgressPolicy : std::uint8_t { kInternet, kAll, kNone };
FORKPLANE_API_ENUM(EgressPolicy, "Internet", "All", "None");

enum class IngressPolicy : std::uint8_t { kNone, kAll };
FORKPLANE_API_ENUM(IngressPolicy, "None", "All");

enum class Access : std::uint8_t { kDenied, kAllowed };
FORKPLANE_API_ENUM(Access, "Denied", "Allowed");

enum class Transport : std::uint8_t { kTcp, kUdp, kSctp, kIcmp };
FORKPLANE_API_ENUM(Transport, "TCP", "UDP", "SCTP", "ICMP");

// As in a NetworkPolicy of Kubernetes.
struct PortRange {
  Transport protocol = Transport::kTcp;
  std::optional<std::int64_t> port;      // absent: all
  std::optional<std::int64_t> end_port;  // absent: port alone
  bool operator==(const PortRange&) const = default;
};

struct EgressPeer {
  std::string cidr;
  std::vector<PortRange> ports;  // empty: all of every protocol
  bool operator==(const EgressPeer&) const = default;
};

struct IngressPeer {
  std::string from;
  std::vector<PortRange> ports;  // as in EgressPeer
  bool operator==(const IngressPeer&) const = default;
};

struct NetworkEgress {
  std::optional<EgressPolicy> policy;  // see NetworkSpec::EgressPolicyInForce
  std::vector<EgressPeer> allow;
  bool operator==(const NetworkEgress&) const = default;
};

struct NetworkIngress {
  IngressPolicy policy = IngressPolicy::kNone;
  std::vector<IngressPeer> allow;
  bool operator==(const NetworkIngress&) const = default;
};

struct NetworkUplink {
  std::string interface;  // guests leave by it only; "": by the one that the route leads to
  bool operator==(const NetworkUplink&) const = default;
};

struct NetworkSpec {
  std::string cidr;
  std::string gateway;  // "": first address
  NetworkMode mode = NetworkMode::kBridge;
  bool isolation = true;
  NetworkUplink uplink;
  Nat nat = Nat::kMasquerade;
  std::int64_t mtu = 1500;
  std::vector<std::string> dns;
  NetworkEgress egress;
  NetworkIngress ingress;
  Access host_access = Access::kDenied;
  Access metadata_access = Access::kDenied;
  std::int64_t connections_max = 4096;  // tracked at once, per address of a guest
  std::optional<Bandwidth> default_bandwidth;
  Quantity unshaped_rate = Quantity::Of("5M");
  Duration address_rest = Duration::Of("30s");
  std::optional<std::int64_t> per_host_prefix;  // Routed in a cluster

  // Whoever routes addresses of guests (nat: None) means to see them everywhere.
  EgressPolicy EgressPolicyInForce() const {
    return egress.policy.value_or(nat == Nat::kNone ? EgressPolicy::kAll : EgressPolicy::kInternet);
  }
  bool operator==(const NetworkSpec&) const = default;
};

// The parsed facts of a spec that passed validation.
struct NetworkAddresses {
  Cidr cidr;
  Ipv4 gateway;
  Ipv4 inner;  // the constant inner address, never leased

  static Result<NetworkAddresses> Of(const NetworkSpec& spec);
  // May an interface have it: inside, and not network, broadcast, gateway or inner. The message
  // says which and what to do; used for static addresses and by the leasing of others.
  Status CheckLeasable(Ipv4 address) const;
};

struct AddressUse {
  std::int64_t used = 0;
  std::int64_t free = 0;
  bool operator==(const AddressUse&) const = default;
};

struct NetworkHostStatus {
  std::string name;
  std::vector<std::string> bridges;
  std::int64_t ports = 0;
  AddressUse addresses;
  Conditions conditions;
  bool operator==(const NetworkHostStatus&) const = default;
};

struct NetworkStatus {
  std::int64_t observed_generation = 0;
  std::string gateway;  // in use: spec.gateway, or the first host address
  std::vector<NetworkHostStatus> hosts;
  Conditions conditions;
  bool operator==(const NetworkStatus&) const = default;
};

struct Network {
  static constexpr std::string_view kKind = "Network";
  static constexpr std::string_view kPlural = "networks";
  static constexpr bool kNamespaced = false;

  ObjectMeta metadata;
  NetworkSpec spec;
  NetworkStatus status;

  static Result<Network> FromJson(const Json& json);  // see VirtualMachine
  static Result<Network> FromText(std::string_view text);
  Json ToJson() const;
  std::string ToText() const;
  bool operator==(const Network&) const = default;
};

// The interface's own bandwidth; where it names none, the Network's defaultBandwidth. Null: no
// Network is known.
Bandwidth EffectiveBandwidth(const Interface& interface, const Network* network);

}  // namespace forkplane::crd
