#include <algorithm>

#include "drivers/fake/drivers.h"

namespace forkplane::fake {
namespace {

using drivers::LinkEventKind;
using drivers::Neighbour;
using drivers::Route;
using drivers::Uplink;

// `kind`: what is announced when the edit succeeds, of which address, with which MAC.
struct News {
  LinkEventKind kind;
  Ipv4 address = {};
  std::optional<MacAddress> mac = {};
};

template <typename Edit>
Status OnLink(FakeKernel& kernel, std::string_view what, std::uint32_t index,
              const std::optional<News>& news, const Edit& edit) {
  if (!IsOwnedIndex(index)) {
    return Invalid(fmt::format("{} on {:#x}: not an index of ours", what, index));
  }
  return kernel.Change([&](State& state) -> Status {
    FakeLink* link = Find(state, index);
    if (link == nullptr) return NoDevice(what, index);
    RETURN_IF_ERROR(edit(*link));
    if (news) state.events.push_back({news->kind, index, 0, false, news->address, news->mac});
    return OkStatus();
  });
}

// What an absent link has is nothing.
template <typename T, typename Read>
Result<std::vector<T>> ListOf(FakeKernel& kernel, std::uint32_t index, const Read& read) {
  return kernel.Change([&](State& state) -> Result<std::vector<T>> {
    std::vector<T> items;
    const FakeLink* link = Find(state, index);
    if (link != nullptr) read(*link, items);
    return items;
  });
}

// True: erased.
template <typename Container, typename Key>
Status EraseFrom(Container& container, const Key& key, std::string_view what) {
  if (container.erase(key) != 0) return OkStatus();
  return NotFound(fmt::format("{} {}: none", what, ToString(key)));
}

}  // namespace

Result<std::vector<Ipv4Prefix>> FakeRouteDriver::ListAddresses(std::uint32_t index) {
  return ListOf<Ipv4Prefix>(kernel_, index, [](const FakeLink& link, auto& items) {
    items.assign(link.addresses.begin(), link.addresses.end());
  });
}

Status FakeRouteDriver::AddAddress(std::uint32_t index, const Ipv4Prefix& address) {
  return OnLink(kernel_, "add address", index, News{LinkEventKind::kAddress},
                [&](FakeLink& link) -> Status {
                  if (!link.addresses.insert(address).second)
                    return Exists("add address: File exists");
                  return OkStatus();
                });
}

Status FakeRouteDriver::DeleteAddress(std::uint32_t index, const Ipv4Prefix& address) {
  return OnLink(kernel_, "delete address", index, News{LinkEventKind::kAddressGone},
                [&](FakeLink& link) {
                  Status status = EraseFrom(link.addresses, address, "delete address");
                  if (!link.addresses.empty()) return status;
                  // Without an address a link has no IPv4.
                  link.host_routes.clear();
                  link.neighbours.clear();
                  return status;
                });
}

Result<std::vector<Route>> FakeRouteDriver::ListRoutes() {
  return kernel_.Change([](State& state) -> Result<std::vector<Route>> {
    std::vector<Route> routes = state.foreign_routes;
    for (const auto& [index, link] : state.links) {
      if (!link.link.up) continue;
      for (const Ipv4Prefix& net : link.connected) {
        routes.push_back({net, index, link.link.name, std::nullopt, 0});
      }
      for (const Ipv4& address : link.host_routes) {
        routes.push_back({{address, 32}, index, link.link.name, std::nullopt, 0});
      }
    }
    return routes;
  });
}

Result<drivers::CidrRoutes> FakeRouteDriver::ObserveCidr(std::uint32_t index,
                                                         const Ipv4Prefix& cidr) {
  return kernel_.Change([&](State& state) -> Result<drivers::CidrRoutes> {
    const FakeLink* link = Find(state, index);
    return drivers::CidrRoutes{state.blackholes.contains(cidr),
                               link != nullptr && link->connected.contains(cidr)};
  });
}

Status FakeRouteDriver::AddBlackhole(const Ipv4Prefix& cidr) {
  return kernel_.Change([&](State& state) -> Status {
    if (!state.blackholes.insert(cidr).second) return Exists("add blackhole: File exists");
    return OkStatus();
  });
}

Status FakeRouteDriver::DeleteBlackhole(const Ipv4Prefix& cidr) {
  return kernel_.Change([&](State& state) -> Status {
    RETURN_IF_ERROR(EraseFrom(state.blackholes, cidr, "delete blackhole"));
    state.events.push_back({LinkEventKind::kBlackholeGone, 0, 0, false, cidr.address});
    return OkStatus();
  });
}

Status FakeRouteDriver::DeleteConnectedRoute(std::uint32_t index, const Ipv4Prefix& cidr) {
  return OnLink(kernel_, "delete connected route", index, std::nullopt, [&](FakeLink& link) {
    return EraseFrom(link.connected, cidr, "delete connected route");
  });
}

Result<bool> FakeRouteDriver::HasUnjudgedRule() {
  return kernel_.Change([](State& state) -> Result<bool> { return state.unjudged_rule; });
}

Status FakeRouteDriver::AddUnjudgedRule() {
  return kernel_.Change([](State& state) -> Status {
    if (state.unjudged_rule) return Exists("add rule: File exists");
    state.unjudged_rule = true;
    return OkStatus();
  });
}

Status FakeRouteDriver::DeleteUnjudgedRule() {
  return kernel_.Change([](State& state) -> Status {
    if (!state.unjudged_rule) return NotFound("delete rule: No such file or directory");
    state.unjudged_rule = false;
    state.events.push_back({LinkEventKind::kUnjudgedRuleGone});
    return OkStatus();
  });
}

Result<std::vector<Ipv4>> FakeRouteDriver::ListHostRoutes(std::uint32_t index) {
  return ListOf<Ipv4>(kernel_, index, [](const FakeLink& link, auto& items) {
    items.assign(link.host_routes.begin(), link.host_routes.end());
  });
}

Result<bool> FakeRouteDriver::HasHostRoute(std::uint32_t index, Ipv4 address) {
  return kernel_.Change([&](State& state) -> Result<bool> {
    const FakeLink* link = Find(state, index);
    return link != nullptr && link->host_routes.contains(address);
  });
}

Status FakeRouteDriver::AddHostRoute(std::uint32_t index, Ipv4 address) {
  return OnLink(kernel_, "add route", index, std::nullopt, [&](FakeLink& link) -> Status {
    if (!link.link.up) return Conflict("add route: Network is down");
    if (!link.host_routes.insert(address).second) return Exists("add route: File exists");
    return OkStatus();
  });
}

Status FakeRouteDriver::DeleteHostRoute(std::uint32_t index, Ipv4 address) {
  return OnLink(
      kernel_, "delete route", index, News{LinkEventKind::kRoute, address},
      [&](FakeLink& link) { return EraseFrom(link.host_routes, address, "delete route"); });
}

Result<std::vector<Neighbour>> FakeRouteDriver::ListNeighbours(std::uint32_t index) {
  return ListOf<Neighbour>(kernel_, index, [](const FakeLink& link, auto& items) {
    for (const auto& [address, mac] : link.neighbours) items.push_back({address, mac});
  });
}

Lookup<MacAddress> FakeRouteDriver::ObserveNeighbour(std::uint32_t index, Ipv4 address) {
  return kernel_.Change([&](State& state) -> Lookup<MacAddress> {
    const FakeLink* link = Find(state, index);
    if (link == nullptr) return std::optional<MacAddress>();
    const auto found = link->neighbours.find(address);
    return found == link->neighbours.end() ? std::optional<MacAddress>() : found->second;
  });
}

Status FakeRouteDriver::SetNeighbour(std::uint32_t index, const Neighbour& neighbour) {
  return OnLink(kernel_, "set neighbour", index,
                News{LinkEventKind::kNeighbour, neighbour.address, neighbour.mac},
                [&](FakeLink& link) -> Status {
                  link.neighbours[neighbour.address] = neighbour.mac;
                  return OkStatus();
                });
}

Status FakeRouteDriver::DeleteNeighbour(std::uint32_t index, Ipv4 address) {
  return OnLink(
      kernel_, "delete neighbour", index, News{LinkEventKind::kNeighbour, address},
      [&](FakeLink& link) { return EraseFrom(link.neighbours, address, "delete neighbour"); });
}

Lookup<Uplink> FakeRouteDriver::DefaultUplink() {
  return kernel_.Change([](State& state) -> Lookup<Uplink> { return state.uplink; });
}

Lookup<Uplink> FakeRouteDriver::UplinkByName(const std::string& name) {
  return kernel_.Change([&](State& state) -> Lookup<Uplink> {
    if (state.uplink && state.uplink->name == name) return state.uplink;
    for (const auto& [index, link] : state.links) {
      if (link.link.name == name) return std::optional<Uplink>({index, name, std::nullopt});
    }
    return std::optional<Uplink>();
  });
}

}  // namespace forkplane::fake
