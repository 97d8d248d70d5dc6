#include <algorithm>

#include "drivers/fake/drivers.h"

namespace forkplane::fake {
namespace {

using drivers::DomainQdiscs;
using drivers::HtbClass;
using drivers::LinkEventKind;
using drivers::ObservedClass;
using drivers::PortQdiscs;
using drivers::Tbf;
using drivers::UplinkQdiscs;

Error NoQdisc(std::string_view what, std::uint32_t index) {
  return NotFound(fmt::format("{} on link {:#x}: No such file or directory", what, index));
}

// Runs `edit` on the link `at` that stands for an index of ours.
template <typename Edit>
Status OnLink(FakeKernel& kernel, std::string_view what, std::uint32_t index, std::uint32_t at,
              const Edit& edit) {
  if (!IsOwnedIndex(index)) {
    return Invalid(fmt::format("{} on link {:#x}: not an index of ours", what, index));
  }
  return kernel.Change([&](State& state) -> Status {
    FakeLink* link = Find(state, at);
    if (link == nullptr) return NoDevice(what, at);
    return edit(state, *link);
  });
}
template <typename Edit>
Status OnLink(FakeKernel& kernel, std::string_view what, std::uint32_t index, const Edit& edit) {
  return OnLink(kernel, what, index, index, edit);
}

UplinkQdiscs UplinkOf(const FakeLink& link) {
  UplinkQdiscs uplink;
  uplink.root = link.root;
  for (const auto& [minor, observed] : link.classes) uplink.classes.push_back(observed);
  return uplink;
}

bool IsHtb(const FakeLink& link) { return link.root && link.root->handle == kHtbHandle; }

}  // namespace

Result<PortQdiscs> FakeQdiscDriver::ObservePort(std::uint32_t index) {
  return kernel_.Change([&](State& state) -> Result<PortQdiscs> {
    const FakeLink* link = Find(state, index);
    if (link == nullptr) return NoDevice("observe qdiscs of", index);
    return PortQdiscs{link->root, link->clsact};
  });
}

Result<bool> FakeQdiscDriver::HasTbf(std::uint32_t index) {
  return kernel_.Change([&](State& state) -> Result<bool> {
    const FakeLink* link = Find(state, index);
    if (link == nullptr || !link->root) return false;
    return link->root->tbf.has_value() && link->root->handle == kTbfHandle;
  });
}

Result<UplinkQdiscs> FakeQdiscDriver::ObserveUplink(std::uint32_t ifb) {
  const std::uint32_t index = At(ifb);
  return kernel_.Change([&](State& state) -> Result<UplinkQdiscs> {
    const FakeLink* link = Find(state, index);
    if (link == nullptr) return NoDevice("observe qdiscs of", index);
    return UplinkOf(*link);
  });
}

Result<std::vector<ObservedClass>> FakeQdiscDriver::ObserveClasses(std::uint32_t ifb) {
  const std::uint32_t index = At(ifb);
  return kernel_.Change([&](State& state) -> Result<std::vector<ObservedClass>> {
    const FakeLink* link = Find(state, index);
    if (link == nullptr) return std::vector<ObservedClass>();
    std::vector<ObservedClass> classes = UplinkOf(*link).classes;
    for (ObservedClass& is : classes) is.leaf.reset();
    return classes;
  });
}

Result<DomainQdiscs> FakeQdiscDriver::ObserveDomain(std::uint32_t ifb) {
  const std::uint32_t index = At(ifb);
  return kernel_.Change([&](State& state) -> Result<DomainQdiscs> {
    DomainQdiscs domain;
    if (const FakeLink* link = Find(state, index)) domain.uplink = UplinkOf(*link);
    for (const auto& [tap, link] : state.links) {
      if (IsTapIndex(tap) && (link.root || link.clsact)) {
        domain.ports[tap] = {link.root, link.clsact};
      }
    }
    return domain;
  });
}

Result<DomainQdiscs> FakeQdiscDriver::ObserveInterface(std::uint32_t index, std::uint32_t minor,
                                                       std::uint32_t tap) {
  Result<DomainQdiscs> domain = ObserveDomain(index);
  if (!domain.ok()) return domain;
  std::erase_if(domain->ports, [&](const auto& port) { return port.first != tap; });
  for (auto& [at, port] : domain->ports) port.clsact = false;
  if (!domain->uplink) return domain;
  if (auto& root = domain->uplink->root)
    root = {.kind = root->kind, .handle = root->handle, .counters = {}};
  std::erase_if(domain->uplink->classes, [&](const ObservedClass& is) {
    return is.htb.minor != minor && is.htb.minor != kRootClassMinor;
  });
  return domain;
}

Result<bool> FakeQdiscDriver::HasFqCodel() {
  return kernel_.Change([](State& state) -> Result<bool> { return state.has_fq_codel; });
}

Status FakeQdiscDriver::AddTbf(std::uint32_t index, const Tbf& tbf) {
  return OnLink(kernel_, "add tbf", index, [&](State& state, FakeLink& link) -> Status {
    RETURN_IF_ERROR(Validate(tbf));
    if (link.root) return Exists("add tbf: File exists");
    link.root = {"tbf", kTbfHandle, tbf, 0, {}};
    Announce(state, LinkEventKind::kQdisc, index, kTbfHandle);
    return OkStatus();
  });
}

Status FakeQdiscDriver::ChangeTbf(std::uint32_t index, const Tbf& tbf, drivers::Queue queue) {
  return OnLink(kernel_, "change tbf", index, [&](State& state, FakeLink& link) -> Status {
    RETURN_IF_ERROR(Validate(tbf));
    if (!link.root || link.root->handle != kTbfHandle) return NoQdisc("change tbf", index);
    const bool narrower = link.root->tbf && tbf.burst_bytes < link.root->tbf->burst_bytes;
    link.blocked = narrower && queue == drivers::Queue::kKeep;
    link.root->tbf = tbf;
    Announce(state, LinkEventKind::kQdisc, index, kTbfHandle);
    return OkStatus();
  });
}

Status FakeQdiscDriver::AddClsact(std::uint32_t index) {
  return OnLink(kernel_, "add clsact", index, [&](State& state, FakeLink& link) -> Status {
    if (link.clsact) return Exists("add clsact: File exists");
    link.clsact = true;
    Announce(state, LinkEventKind::kQdisc, index, kClsactHandle);
    return OkStatus();
  });
}

Status FakeQdiscDriver::DeleteClsact(std::uint32_t index) {
  return OnLink(kernel_, "delete clsact", index, [&](State& state, FakeLink& link) -> Status {
    if (!link.clsact) return NoQdisc("delete clsact", index);
    link.clsact = false;
    link.programs = {};
    Announce(state, LinkEventKind::kQdisc, index, kClsactHandle);
    return OkStatus();
  });
}

Status FakeQdiscDriver::AddHtb(std::uint32_t index, std::uint32_t default_minor) {
  return OnLink(kernel_, "add htb", index, At(index), [&](State& state, FakeLink& link) -> Status {
    if (link.root) return Exists("add htb: File exists");
    link.root = {"htb", kHtbHandle, std::nullopt, default_minor, {}};
    Announce(state, LinkEventKind::kQdisc, At(index), kHtbHandle);
    return OkStatus();
  });
}

Status FakeQdiscDriver::DeleteRoot(std::uint32_t index) {
  const std::uint32_t at = At(index);
  return kernel_.Change([&](State& state) -> Status {
    FakeLink* link = Find(state, at);
    if (link == nullptr) return NoDevice("delete root qdisc on", at);
    if (!IsOwnedIndex(at) && !IsHtb(*link)) return Invalid("delete root qdisc: Invalid handle");
    if (!link->root) return NoQdisc("delete root qdisc", at);
    Announce(state, LinkEventKind::kQdisc, at, link->root->handle);
    link->root.reset();
    link->classes.clear();
    link->classifier = drivers::ProgramState::kNone;
    return OkStatus();
  });
}

std::uint32_t FakeQdiscDriver::At(std::uint32_t index) const {
  const std::uint32_t link = shaped_link_.load();
  return link != 0 && index == IfbIndex(0) ? link : index;
}

Result<std::vector<std::uint32_t>> FakeQdiscDriver::ForeignLinksWithHtb() {
  return kernel_.Change([](State& state) -> Result<std::vector<std::uint32_t>> {
    std::vector<std::uint32_t> links;
    for (const auto& [index, link] : state.links) {
      if (IsHtb(link) && !IsOwnedIndex(index)) links.push_back(index);
    }
    return links;
  });
}

Status FakeQdiscDriver::AddClass(std::uint32_t index, const HtbClass& htb) {
  RETURN_IF_ERROR(Validate(htb));
  return OnLink(kernel_, "add class", index, At(index),
                [&](State& state, FakeLink& link) -> Status {
                  if (!IsHtb(link)) return NoQdisc("add class", index);
                  if (link.classes.contains(htb.minor)) return Exists("add class: File exists");
                  if (htb.parent_minor != 0 && !link.classes.contains(htb.parent_minor)) {
                    return NoQdisc("add class: no parent", index);
                  }
                  link.classes[htb.minor].htb = htb;
                  Announce(state, LinkEventKind::kClass, At(index), kHtbHandle | htb.minor);
                  return OkStatus();
                });
}

Status FakeQdiscDriver::ChangeClass(std::uint32_t index, const HtbClass& htb) {
  RETURN_IF_ERROR(Validate(htb));
  return OnLink(kernel_, "change class", index, At(index),
                [&](State& state, FakeLink& link) -> Status {
                  const auto found = link.classes.find(htb.minor);
                  if (!IsHtb(link) || found == link.classes.end())
                    return NoQdisc("change class", index);
                  const std::uint32_t parent = found->second.htb.parent_minor;
                  found->second.htb = htb;
                  found->second.htb.parent_minor = parent;  // the kernel says ok and leaves it
                  Announce(state, LinkEventKind::kClass, At(index), kHtbHandle | htb.minor);
                  return OkStatus();
                });
}

Status FakeQdiscDriver::DeleteClass(std::uint32_t index, std::uint32_t minor) {
  return OnLink(
      kernel_, "delete class", index, At(index), [&](State& state, FakeLink& link) -> Status {
        if (!IsHtb(link) || !link.classes.contains(minor)) return NoQdisc("delete class", index);
        const bool parent =
            std::any_of(link.classes.begin(), link.classes.end(),
                        [&](const auto& c) { return c.second.htb.parent_minor == minor; });
        if (parent) return Conflict("delete class: HTB class in use");
        link.classes.erase(minor);
        Announce(state, LinkEventKind::kClass, At(index), kHtbHandle | minor);
        return OkStatus();
      });
}

Status FakeQdiscDriver::SetLeaf(std::uint32_t index, std::uint32_t minor,
                                const drivers::Leaf& leaf) {
  return OnLink(kernel_, "set leaf", index, At(index), [&](State& state, FakeLink& link) -> Status {
    const auto found = link.classes.find(minor);
    if (!IsHtb(link) || found == link.classes.end()) return NoQdisc("set leaf", index);
    if (leaf.kind == drivers::LeafKind::kFqCodel && !state.has_fq_codel) {
      return NoQdisc("set leaf fq_codel", index);
    }
    found->second.leaf = leaf;
    Announce(state, LinkEventKind::kQdisc, At(index));
    state.events.back().parent = kHtbHandle | minor;
    return OkStatus();
  });
}

}  // namespace forkplane::fake
