#include "drivers/fake/kernel.h"

#include <algorithm>
#include <utility>

namespace forkplane::fake {

using drivers::LinkEvent;
using drivers::LinkEventKind;
using drivers::LinkKind;

FakeKernel::FakeKernel() {
  FakeLink loopback;
  loopback.link.index = 1;
  loopback.link.name = "lo";
  loopback.link.up = true;
  const MutexLock lock(mutex_);
  state_.links[1] = loopback;
}

void FakeKernel::Deliver(const std::vector<LinkEvent>& events) {
  drivers::LinkEvents::Callback callback;
  {
    const MutexLock lock(mutex_);
    callback = callback_;
  }
  if (!callback) return;
  for (const LinkEvent& event : events) {
    const bool of_htb = IsHtbHandle(event.handle) || IsHtbHandle(event.parent);
    if (IsOwnedIndex(event.index) || of_htb) callback(event);
  }
}

void FakeKernel::SetCallback(drivers::LinkEvents::Callback callback) {
  const MutexLock lock(mutex_);
  callback_ = std::move(callback);
}

void FakeKernel::Hold(std::uint32_t number, pid_t pid) {
  Change([&](State& state) {
    const auto file = state.kept.find(number);
    CHECK(file != state.kept.end());
    state.processes[pid].push_back(file->second);
    return true;
  });
}

void FakeKernel::ExitProcess(pid_t pid) {
  Change([&](State& state) {
    state.processes.erase(pid);
    SweepTaps(state);
    return true;
  });
}

FakeLink* Find(State& state, std::uint32_t index) {
  const auto link = state.links.find(index);
  return link == state.links.end() ? nullptr : &link->second;
}

Error NoDevice(std::string_view what, std::uint32_t index) {
  return NotFound(fmt::format("{} link {:#x}: No such device", what, index));
}

void Announce(State& state, LinkEventKind kind, std::uint32_t index, std::uint32_t handle) {
  state.events.push_back({kind, index, handle});
}

void AnnounceLink(State& state, std::uint32_t index, bool turned) {
  state.events.push_back({LinkEventKind::kLink, index, 0, turned});
}

Status AddLink(State& state, drivers::Link link) {
  const bool taken = std::any_of(state.links.begin(), state.links.end(), [&](const auto& entry) {
    return entry.first == link.index || entry.second.link.name == link.name;
  });
  if (taken) return Exists(fmt::format("create link {}: File exists", link.name));
  const std::uint32_t index = link.index;
  FakeLink made;
  made.link = std::move(link);
  state.links[index] = std::move(made);
  AnnounceLink(state, index, true);
  return OkStatus();
}

Status RemoveLink(State& state, std::uint32_t index) {
  const FakeLink* found = Find(state, index);
  if (found == nullptr) return NoDevice("delete", index);
  const LinkKind kind = found->link.kind;
  state.links.erase(index);
  for (auto& [other, link] : state.links) {
    if (link.link.master == index) {
      link.link.master = 0;
      link.link.isolated = false;
      Announce(state, LinkEventKind::kLink, other);
    }
    // act_mirred forgets a target that goes.
    const bool redirects =
        kind == LinkKind::kIfb && IsTapIndex(other) && IfbIndex(IfbOf(NumberOfTap(other))) == index;
    if (redirects && link.programs.ingress == drivers::ProgramState::kOurs && link.mirred) {
      link.programs.ingress = drivers::ProgramState::kStale;
    }
  }
  if (kind == LinkKind::kTap) {
    const std::uint32_t number = NumberOfTap(index);
    const auto detach = [number](const TunFilePtr& file) {
      if (file->number == number) file->number = 0;
    };
    for (const auto& [kept_number, file] : state.kept) detach(file);
    for (const auto& [pid, files] : state.processes) {
      for (const TunFilePtr& file : files) detach(file);
    }
  }
  Announce(state, LinkEventKind::kLinkGone, index);
  return OkStatus();
}

void SweepTaps(State& state) {
  std::set<std::uint32_t> attached;
  for (const auto& [number, file] : state.kept) attached.insert(file->number);
  for (const auto& [pid, files] : state.processes) {
    for (const TunFilePtr& file : files) attached.insert(file->number);
  }
  std::vector<std::uint32_t> lost;
  for (const auto& [index, link] : state.links) {
    if (link.link.kind == LinkKind::kTap && !attached.contains(NumberOfTap(index))) {
      lost.push_back(index);
    }
  }
  for (const std::uint32_t index : lost) CHECK(RemoveLink(state, index).ok());
}

}  // namespace forkplane::fake
