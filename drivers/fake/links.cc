#include <algorithm>

#include "drivers/fake/drivers.h"

namespace forkplane::fake {
namespace {

using drivers::Link;
using drivers::LinkEventKind;
using drivers::LinkKind;

constexpr std::size_t kAliasSizeMax = 255;
constexpr std::size_t kNameSizeMax = 15;
constexpr std::ptrdiff_t kBridgePortsMax = 1023;

Status CheckOwned(std::string_view what, std::uint32_t index) {
  if (IsOwnedIndex(index)) return OkStatus();
  return Invalid(fmt::format("{} link {:#x}: not an index of ours", what, index));
}

// Changes one field of an existing link of ours.
template <typename Edit>
Status EditLink(FakeKernel& kernel, std::string_view what, std::uint32_t index, const Edit& edit) {
  RETURN_IF_ERROR(CheckOwned(what, index));
  return kernel.Change([&](State& state) -> Status {
    FakeLink* link = Find(state, index);
    if (link == nullptr) return NoDevice(what, index);
    const bool was_up = link->link.up;
    edit(*link);
    AnnounceLink(state, index, link->link.up != was_up);
    state.events.back().down = was_up && !link->link.up;
    return OkStatus();
  });
}

Lookup<Link> LinkWhere(FakeKernel& kernel, const std::function<bool(const Link&)>& matches) {
  return kernel.Change([&](State& state) -> Lookup<Link> {
    for (const auto& [index, link] : state.links) {
      if (!matches(link.link)) continue;
      Link seen = link.link;
      seen.carrier = seen.kind == LinkKind::kTap;
      return std::optional<Link>(seen);
    }
    return std::optional<Link>();
  });
}

}  // namespace

Lookup<Link> FakeLinkDriver::Observe(std::uint32_t index) {
  return LinkWhere(kernel_, [&](const Link& link) { return link.index == index; });
}

Lookup<Link> FakeLinkDriver::ObserveByName(const std::string& name) {
  return LinkWhere(kernel_, [&](const Link& link) { return link.name == name; });
}

Result<std::vector<Link>> FakeLinkDriver::ListOwned() {
  return kernel_.Change([&](State& state) -> Result<std::vector<Link>> {
    std::vector<Link> links;
    for (const auto& [index, link] : state.links) {
      if (!IsOwnedIndex(index)) continue;
      links.push_back(link.link);
      links.back().carrier = link.link.kind == LinkKind::kTap;
    }
    return links;
  });
}

Status FakeLinkDriver::CreateBridge(const drivers::BridgeSpec& spec) {
  if (spec.n > kBridgeMax) return Invalid(fmt::format("create bridge {}: number", spec.n));
  Link link;
  link.index = BridgeIndex(spec.n);
  link.name = BridgeName(spec.n);
  link.kind = LinkKind::kBridge;
  link.alias = spec.alias;
  link.mac = spec.mac;
  link.mtu = spec.mtu;
  link.queue_length = kIfbQueueLength;
  return kernel_.Change([&](State& state) { return AddLink(state, link); });
}

Status FakeLinkDriver::CreateIfb(const drivers::IfbSpec& spec) {
  if (spec.ifb > kIfbMax) return Invalid(fmt::format("create ifb {}: number", spec.ifb));
  Link link;
  link.index = IfbIndex(spec.ifb);
  link.name = IfbName(spec.ifb);
  link.kind = LinkKind::kIfb;
  link.alias = spec.alias;
  link.mtu = kMtuDefault;
  link.queue_length = kIfbQueueLength;
  return kernel_.Change([&](State& state) { return AddLink(state, link); });
}

Status FakeLinkDriver::SetUp(std::uint32_t index, bool up) {
  return EditLink(kernel_, "set up", index, [up](FakeLink& link) {
    link.link.up = up;
    if (up) return;
    link.host_routes.clear();
    link.neighbours.clear();
  });
}

Status FakeLinkDriver::SetMac(std::uint32_t index, const MacAddress& mac) {
  return EditLink(kernel_, "set MAC of", index, [&](FakeLink& link) { link.link.mac = mac; });
}

Status FakeLinkDriver::SetMtu(std::uint32_t index, std::uint32_t mtu) {
  return EditLink(kernel_, "set MTU of", index, [&](FakeLink& link) { link.link.mtu = mtu; });
}

Status FakeLinkDriver::SetName(std::uint32_t index, const std::string& name) {
  if (name.empty() || name.size() > kNameSizeMax) return Invalid("set name: length");
  RETURN_IF_ERROR(CheckOwned("set name of", index));
  return kernel_.Change([&](State& state) -> Status {
    FakeLink* link = Find(state, index);
    if (link == nullptr) return NoDevice("set name of", index);
    const bool taken = std::any_of(state.links.begin(), state.links.end(), [&](const auto& other) {
      return other.first != index && other.second.link.name == name;
    });
    if (taken) return Exists("set name: File exists");
    link->link.name = name;
    AnnounceLink(state, index, false);
    return OkStatus();
  });
}

Status FakeLinkDriver::SetAlias(std::uint32_t index, const std::string& alias) {
  if (alias.size() > kAliasSizeMax) return Invalid("set alias: too long");
  return EditLink(kernel_, "set alias of", index, [&](FakeLink& link) { link.link.alias = alias; });
}

Status FakeLinkDriver::SetMaster(std::uint32_t index, std::uint32_t master) {
  RETURN_IF_ERROR(CheckOwned("set master of", index));
  return kernel_.Change([&](State& state) -> Status {
    FakeLink* link = Find(state, index);
    if (link == nullptr) return NoDevice("set master of", index);
    const FakeLink* bridge = Find(state, master);
    if (master != 0 && bridge == nullptr) return NoDevice("set master: ", master);
    if (master != 0 && bridge->link.kind != LinkKind::kBridge) {
      return Invalid("set master: Operation not supported");
    }
    const auto ports = std::count_if(state.links.begin(), state.links.end(),
                                     [&](const auto& l) { return l.second.link.master == master; });
    if (master != 0 && ports >= kBridgePortsMax) return Exhausted("set master: Exchange full");
    if (link->link.master != master) link->link.isolated = false;
    link->link.master = master;
    AnnounceLink(state, index, false);
    if (master != 0) AnnounceLink(state, master, false);
    return OkStatus();
  });
}

Status FakeLinkDriver::SetPort(std::uint32_t index, bool isolated, bool up) {
  RETURN_IF_ERROR(CheckOwned("set port", index));
  return kernel_.Change([&](State& state) -> Status {
    FakeLink* link = Find(state, index);
    if (link == nullptr) return NoDevice("set port", index);
    if (link->link.master == 0) return Conflict("set port: Operation not supported");
    link->link.isolated = isolated;
    const bool turned = up && !link->link.up;
    link->link.up = link->link.up || up;
    AnnounceLink(state, index, turned);
    return OkStatus();
  });
}

Status FakeLinkDriver::SetPortUp(std::uint32_t index, bool isolated) {
  return SetPort(index, isolated, true);
}

Status FakeLinkDriver::SetPortIsolation(std::uint32_t index, bool isolated) {
  return SetPort(index, isolated, false);
}

Status FakeLinkDriver::Delete(std::uint32_t index) {
  RETURN_IF_ERROR(CheckOwned("delete", index));
  return kernel_.Change([&](State& state) { return RemoveLink(state, index); });
}

}  // namespace forkplane::fake
