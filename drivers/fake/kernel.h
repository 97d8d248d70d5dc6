// An in-memory host: links, tun files, qdiscs, classes, programs, addresses, routes, neighbours,
// firewall, flows and switches, with the kernel's errors and cascades.
// tests/kernel/drivers_contract holds it to the real kernel, call by call.
//
// NOTE Threading: thread-safe; one lock, never held during a callback.
// NOTE Events: delivered in the thread of the call that caused them, after it has taken effect.
// NOTE Limits of honesty: no packets flow (counters stay zero), nothing takes time, and deleted
// TAPs are gone at once.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "controller/base/mutex.h"
#include "controller/base/network_names.h"
#include "drivers/firewall_driver.h"
#include "drivers/flow_driver.h"
#include "drivers/forwarding_probe.h"
#include "drivers/identity_driver.h"
#include "drivers/link_driver.h"
#include "drivers/link_events.h"
#include "drivers/qdisc_driver.h"
#include "drivers/route_driver.h"
#include "drivers/sysctl_driver.h"
#include "drivers/tap_driver.h"

namespace forkplane::fake {

// An open file of /dev/net/tun. The device goes when its last file does.
struct TunFile {
  std::uint32_t number = 0;  // of the TAP it is attached to; 0: detached
};
using TunFilePtr = std::shared_ptr<TunFile>;

struct FakeLink {
  drivers::Link link;
  bool ipv6_disabled = false;
  std::optional<drivers::ObservedRoot> root = {};
  // Its TBF may hold a packet that is larger than its bucket (QdiscDriver::ChangeTbf).
  bool blocked = false;
  std::map<std::uint32_t, drivers::ObservedClass> classes = {};  // by minor
  bool clsact = false;
  drivers::AttachedPrograms programs = {};
  bool mirred = false;  // ingress redirects by act_mirred
  drivers::ProgramState classifier = drivers::ProgramState::kNone;  // of its HTB
  std::set<Ipv4Prefix> addresses = {};
  std::set<Ipv4> host_routes = {};
  std::set<Ipv4Prefix> connected = {};          // routes of the nets of its addresses
  std::set<drivers::LinkSwitch> switches = {};  // that are on
  std::map<Ipv4, MacAddress> neighbours = {};
};

// Nothing flows here: tests put them in.
using FakeFlow = drivers::Flow;

struct State {
  std::map<std::uint32_t, FakeLink> links = {};   // by index
  std::map<std::uint32_t, TunFilePtr> kept = {};  // files of this process, by number
  std::map<pid_t, std::vector<TunFilePtr>> processes = {};
  std::map<std::uint32_t, drivers::IdentityEntry> entries = {};
  std::optional<drivers::FirewallRules> firewall = {};
  std::vector<drivers::RefusedFlows> refused = {};  // nothing flows here: tests put them in
  std::vector<FakeFlow> flows = {};
  std::vector<drivers::ForwardChain> forward_drops = {};  // of others
  bool bridged_frames_meet_ip_rules = false;              // br_netfilter
  bool ipv4_forwarding = false;                           // of the host; ip_forward
  std::map<std::string, bool> foreign_forwarding = {};    // of links that are not ours
  bool pinned = true;                                     // programs and maps
  std::vector<drivers::Route> foreign_routes = {};
  std::set<Ipv4Prefix> blackholes = {};  // ours
  bool unjudged_rule = false;
  std::optional<drivers::Uplink> uplink = {};
  bool has_fq_codel = false;
  std::vector<drivers::LinkEvent> events = {};  // caused by the call under way
};

class FakeKernel {
 public:
  FakeKernel();

  // Runs `body` on the state as one atomic change, then delivers the events it caused. Drivers and
  // tests that play "somebody else" use it alike.
  template <typename Body>
  auto Change(const Body& body) EXCLUDES(mutex_) {
    std::vector<drivers::LinkEvent> events;
    auto result = [&] {
      const MutexLock lock(mutex_);
      auto inner = body(state_);
      events.swap(state_.events);
      return inner;
    }();
    Deliver(events);
    return result;
  }

  // A VMM of that pid now holds the file of this TAP, as if it was given a Dup of it.
  void Hold(std::uint32_t number, pid_t pid);
  // That process is gone, and with it every file only it held.
  void ExitProcess(pid_t pid);

  void SetCallback(drivers::LinkEvents::Callback callback) EXCLUDES(mutex_);

 private:
  void Deliver(const std::vector<drivers::LinkEvent>& events) EXCLUDES(mutex_);

  Mutex mutex_;
  State state_ GUARDED_BY(mutex_);
  drivers::LinkEvents::Callback callback_ GUARDED_BY(mutex_);
};

// nullptr: no such link.
FakeLink* Find(State& state, std::uint32_t index);
// NotFound with the kernel's text.
Error NoDevice(std::string_view what, std::uint32_t index);
void Announce(State& state, drivers::LinkEventKind kind, std::uint32_t index,
              std::uint32_t handle = 0);
// kLink of a link that is new, or went up or down (`turned`), or else changed.
void AnnounceLink(State& state, std::uint32_t index, bool turned);
// Exists when the index or the name is taken.
Status AddLink(State& state, drivers::Link link);
// The link and everything that goes with it.
Status RemoveLink(State& state, std::uint32_t index);
// Removes TAPs that no file is attached to any more.
void SweepTaps(State& state);

}  // namespace forkplane::fake
