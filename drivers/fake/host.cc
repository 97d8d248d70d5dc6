// Identity, firewall, flows, switches and events of the in-memory host.
#include <algorithm>

#include "drivers/fake/drivers.h"

namespace forkplane::fake {
namespace {

using drivers::AttachedPrograms;
using drivers::Direction;
using drivers::FirewallRules;
using drivers::IdentityCounters;
using drivers::IdentityEntry;
using drivers::IdentityEntryAt;
using drivers::LinkEventKind;
using drivers::ProgramState;
using drivers::RedirectMode;

Status CheckTap(std::string_view what, std::uint32_t index) {
  if (IsTapIndex(index)) return OkStatus();
  return Invalid(fmt::format("{} link {:#x}: not a TAP of ours", what, index));
}

Error NoLinkNamed(const std::string& link) {
  return NotFound(fmt::format("{}: No such file or directory", link));
}

FakeLink* FindByName(State& state, const std::string& name) {
  const auto found = std::find_if(state.links.begin(), state.links.end(),
                                  [&](const auto& l) { return l.second.link.name == name; });
  return found == state.links.end() ? nullptr : &found->second;
}

bool IsOurs(const std::string& link) { return link.starts_with("fk"); }

}  // namespace

Result<bool> FakeIdentityDriver::ArePinned() {
  return kernel_.Change([](State& state) -> Result<bool> { return state.pinned; });
}

Status FakeIdentityDriver::Pin() {
  return kernel_.Change([](State& state) -> Status {
    state.pinned = true;
    return OkStatus();
  });
}

Lookup<IdentityEntry> FakeIdentityDriver::ObserveEntry(std::uint32_t index) {
  return kernel_.Change([&](State& state) -> Lookup<IdentityEntry> {
    const auto entry = state.entries.find(index);
    if (entry == state.entries.end()) return std::optional<IdentityEntry>();
    return std::optional<IdentityEntry>(entry->second);
  });
}

Result<std::vector<IdentityEntryAt>> FakeIdentityDriver::ListEntries() {
  return kernel_.Change([](State& state) -> Result<std::vector<IdentityEntryAt>> {
    std::vector<IdentityEntryAt> entries;
    for (const auto& [index, entry] : state.entries) entries.push_back({index, entry});
    return entries;
  });
}

Status FakeIdentityDriver::SetEntry(std::uint32_t index, const IdentityEntry& entry) {
  RETURN_IF_ERROR(CheckTap("set identity of", index));
  return kernel_.Change([&](State& state) -> Status {
    state.entries[index] = entry;
    return OkStatus();
  });
}

Status FakeIdentityDriver::DeleteEntry(std::uint32_t index) {
  RETURN_IF_ERROR(CheckTap("delete identity of", index));
  return kernel_.Change([&](State& state) -> Status {
    if (state.entries.erase(index) != 0) return OkStatus();
    return NotFound("delete identity: none");
  });
}

Result<IdentityCounters> FakeIdentityDriver::Counters(std::uint32_t index) {
  return kernel_.Change([&](State& state) -> Result<IdentityCounters> {
    if (index == 0 || state.entries.contains(index)) return IdentityCounters();
    return NotFound("count identity: none");
  });
}

Result<AttachedPrograms> FakeIdentityDriver::ObservePrograms(std::uint32_t index) {
  return kernel_.Change([&](State& state) -> Result<AttachedPrograms> {
    const FakeLink* link = Find(state, index);
    if (link == nullptr) return NoDevice("observe programs of", index);
    AttachedPrograms programs = link->programs;
    const bool other_mode = link->mirred != (mode_ == RedirectMode::kMirred);
    if (programs.ingress == ProgramState::kOurs && other_mode) {
      programs.ingress = ProgramState::kStale;
    }
    return programs;
  });
}

Status FakeIdentityDriver::Attach(std::uint32_t index, Direction direction) {
  RETURN_IF_ERROR(CheckTap("attach to", index));
  return kernel_.Change([&](State& state) -> Status {
    FakeLink* link = Find(state, index);
    if (link == nullptr) return NoDevice("attach to", index);
    if (!link->clsact) return NotFound("attach: no clsact");
    Announce(state, LinkEventKind::kFilter, index);
    if (direction == Direction::kEgress) {
      link->programs.egress = ProgramState::kOurs;
      return OkStatus();
    }
    const std::uint32_t ifb = IfbIndex(IfbOf(NumberOfTap(index)));
    link->mirred = mode_ == RedirectMode::kMirred;
    if (link->mirred && Find(state, ifb) == nullptr) return NoDevice("redirect to", ifb);
    link->programs.ingress = ProgramState::kOurs;
    return OkStatus();
  });
}

Status FakeIdentityDriver::Detach(std::uint32_t index, Direction direction) {
  RETURN_IF_ERROR(CheckTap("detach from", index));
  return kernel_.Change([&](State& state) -> Status {
    FakeLink* link = Find(state, index);
    if (link == nullptr) return NoDevice("detach from", index);
    ProgramState& program =
        direction == Direction::kIngress ? link->programs.ingress : link->programs.egress;
    if (program == ProgramState::kNone) return NotFound("detach: no program");
    program = ProgramState::kNone;
    Announce(state, LinkEventKind::kFilter, index);
    return OkStatus();
  });
}

Result<ProgramState> FakeIdentityDriver::ObserveClassifier(std::uint32_t index) {
  return kernel_.Change([&](State& state) -> Result<ProgramState> {
    const FakeLink* link = Find(state, index);
    return link == nullptr ? ProgramState::kNone : link->classifier;
  });
}

Status FakeIdentityDriver::AttachClassifier(std::uint32_t index) {
  return kernel_.Change([&](State& state) -> Status {
    FakeLink* link = Find(state, index);
    if (link == nullptr) return NoDevice("attach classifier to", index);
    if (!link->root || link->root->handle != kHtbHandle) {
      return NotFound("attach classifier: no HTB");
    }
    link->classifier = ProgramState::kOurs;
    Announce(state, LinkEventKind::kFilter, index);
    state.events.back().parent = kHtbHandle;
    return OkStatus();
  });
}

Lookup<FirewallRules> FakeFirewallDriver::Observe() {
  return kernel_.Change([](State& state) -> Lookup<FirewallRules> { return state.firewall; });
}

Status FakeFirewallDriver::Replace(const FirewallRules& rules) {
  RETURN_IF_ERROR(Validate(rules));
  return kernel_.Change([&](State& state) -> Status {
    state.firewall = Canonical(rules);
    Announce(state, LinkEventKind::kFirewall, 0);
    return OkStatus();
  });
}

Status FakeFirewallDriver::Remove() {
  return kernel_.Change([](State& state) -> Status {
    if (!state.firewall) return NotFound("remove firewall: No such file or directory");
    state.firewall.reset();
    Announce(state, LinkEventKind::kFirewall, 0);
    return OkStatus();
  });
}

Result<std::vector<drivers::RefusedFlows>> FakeFirewallDriver::ListRefused() {
  return kernel_.Change([](State& state) -> Result<std::vector<drivers::RefusedFlows>> {
    if (!state.firewall) return std::vector<drivers::RefusedFlows>();
    return state.refused;
  });
}

Result<std::size_t> FakeFlowDriver::FlushAddress(Ipv4 address) {
  return kernel_.Change([&](State& state) -> Result<std::size_t> {
    return std::erase_if(state.flows, [&](const FakeFlow& flow) {
      return flow.source == address || flow.destination == address ||
             flow.reply_source == address || flow.reply_destination == address;
    });
  });
}

Result<std::size_t> FakeFlowDriver::FlushIf(const std::function<bool(const drivers::Flow&)>& ends) {
  return kernel_.Change(
      [&](State& state) -> Result<std::size_t> { return std::erase_if(state.flows, ends); });
}

Result<bool> FakeSysctlDriver::BridgedFramesMeetIpRules() {
  return kernel_.Change(
      [](State& state) -> Result<bool> { return state.bridged_frames_meet_ip_rules; });
}

Result<bool> FakeSysctlDriver::Ipv4Forwarding() {
  return kernel_.Change([](State& state) -> Result<bool> { return state.ipv4_forwarding; });
}

Result<std::map<std::string, bool>> FakeSysctlDriver::ForeignForwarding() {
  return kernel_.Change(
      [](State& state) -> Result<std::map<std::string, bool>> { return state.foreign_forwarding; });
}

Status FakeSysctlDriver::SetForeignForwarding(const std::string& link, bool on) {
  if (IsOurs(link) || link == "lo") {
    return Invalid(fmt::format("forwarding of \"{}\": no link of others", link));
  }
  return kernel_.Change([&](State& state) -> Status {
    const auto found = state.foreign_forwarding.find(link);
    if (found == state.foreign_forwarding.end()) return NoLinkNamed(link);
    found->second = on;
    return OkStatus();
  });
}

Result<bool> FakeSysctlDriver::Ipv6Disabled(const std::string& link) {
  if (!IsOurs(link)) return Invalid(fmt::format("IPv6 of {}: not a link of ours", link));
  return kernel_.Change([&](State& state) -> Result<bool> {
    const FakeLink* found = FindByName(state, link);
    if (found == nullptr) return NoLinkNamed(link);
    return found->ipv6_disabled;
  });
}

Status FakeSysctlDriver::DisableIpv6(const std::string& link) {
  if (!IsOurs(link)) return Invalid(fmt::format("disable IPv6 of {}: not a link of ours", link));
  return kernel_.Change([&](State& state) -> Status {
    FakeLink* found = FindByName(state, link);
    if (found == nullptr) return NoLinkNamed(link);
    found->ipv6_disabled = true;
    return OkStatus();
  });
}

Result<bool> FakeSysctlDriver::IsOn(const std::string& link, drivers::LinkSwitch which) {
  if (!IsOurs(link)) return Invalid(fmt::format("switch of {}: not a link of ours", link));
  return kernel_.Change([&](State& state) -> Result<bool> {
    const FakeLink* found = FindByName(state, link);
    if (found == nullptr) return NoLinkNamed(link);
    return found->switches.contains(which);
  });
}

Status FakeSysctlDriver::SwitchOn(const std::string& link, drivers::LinkSwitch which) {
  if (!IsOurs(link)) return Invalid(fmt::format("switch of {}: not a link of ours", link));
  return kernel_.Change([&](State& state) -> Status {
    FakeLink* found = FindByName(state, link);
    if (found == nullptr) return NoLinkNamed(link);
    found->switches.insert(which);
    return OkStatus();
  });
}

Status FakeLinkEvents::Start(Callback callback) {
  if (started_) return Conflict("link events: already started");
  started_ = true;
  kernel_.SetCallback(std::move(callback));
  return OkStatus();
}

void FakeLinkEvents::Stop() {
  if (!started_) return;
  started_ = false;
  kernel_.SetCallback(nullptr);
}

}  // namespace forkplane::fake
