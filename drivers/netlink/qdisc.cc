#include "drivers/netlink/qdisc.h"

#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>

#include <algorithm>
#include <cerrno>
#include <map>

#include "controller/base/network_names.h"
#include "drivers/netlink/link.h"
#include "drivers/netlink/tc_codec.h"

namespace forkplane::netlink {
namespace {

using drivers::DomainQdiscs;
using drivers::Leaf;
using drivers::ObservedClass;
using drivers::ObservedRoot;
using drivers::PortQdiscs;
using drivers::UplinkQdiscs;

// The kernel dumps the qdiscs of all links or none; 1000 TAPs take it a millisecond. It counts
// links to find where a part ends and the next begins, and does not mark the list when one of them
// went meanwhile (6.18): those of one link may be missing. What is then tried is refused with
// Exists.
Status DumpQdiscs(SharedSocket& socket, const std::function<void()>& reset,
                  const std::function<void(const tcmsg&, const Attributes&)>& visit) {
  return socket.Dump([] { return TcMessage(RTM_GETQDISC, 0, TcHeader(0, 0, 0)); }, "list qdiscs",
                     reset,
                     [&](const nlmsghdr* part) {
                       const auto* header = HeaderOf<tcmsg>(part);
                       if (header == nullptr) return;
                       visit(*header, Attributes(part, sizeof *header));
                     });
}

// Those of one link, which the kernel lists alone.
Status VisitClasses(SharedSocket& socket, std::uint32_t index, const std::function<void()>& reset,
                    const std::function<void(const tcmsg&, const Attributes&)>& visit) {
  return socket.Dump([index] { return TcMessage(RTM_GETTCLASS, 0, TcHeader(index, 0, 0)); },
                     fmt::format("list classes of link {:#x}", index), reset,
                     [&](const nlmsghdr* part) {
                       const auto* header = HeaderOf<tcmsg>(part);
                       if (header == nullptr || header->tcm_ifindex != static_cast<int>(index)) {
                         return;
                       }
                       visit(*header, Attributes(part, sizeof *header));
                     });
}

// Adds one qdisc of a link to what is known of it, if it is its root or clsact.
void Note(const tcmsg& header, const Attributes& attributes, PortQdiscs& port) {
  // Handle 0 is the default qdisc, which nobody made.
  if (header.tcm_parent == TC_H_ROOT && header.tcm_handle != 0) {
    port.root = RootOf(header, attributes);
  }
  if (header.tcm_parent == TC_H_CLSACT) {
    port.clsact = attributes.Text(TCA_KIND) == "clsact";
    port.foreign_ingress = !port.clsact;
  }
}

}  // namespace

// What a dump of all qdiscs tells of one IFB.
struct NetlinkQdiscDriver::UplinkDump {
  explicit UplinkDump(std::uint32_t i) : index(i) {}
  void Note(const tcmsg& header, const Attributes& attributes) {
    if (header.tcm_ifindex != static_cast<int>(index)) return;
    seen = true;
    netlink::Note(header, attributes, port);
    if (TC_H_MAJ(header.tcm_parent) != kHtbHandle) return;
    if (const auto leaf = LeafOf(attributes)) {
      leaves[TC_H_MIN(header.tcm_parent)] = {*leaf, CountersOf(attributes).drops};
    }
  }
  std::uint32_t index;
  PortQdiscs port = {};
  struct LeafAt {
    Leaf leaf;
    std::uint64_t drops = 0;
  };
  std::map<std::uint32_t, LeafAt> leaves = {};  // by the class's minor
  bool seen = false;
};

Result<std::unique_ptr<NetlinkQdiscDriver>> NetlinkQdiscDriver::Open(OwnChanges own) {
  ASSIGN_OR_RETURN(Socket changes, Socket::Open());
  ASSIGN_OR_RETURN(Socket looks, Socket::Open());
  ASSIGN_OR_RETURN(auto quiet, QuietSocket::Open());
  return std::unique_ptr<NetlinkQdiscDriver>(
      new NetlinkQdiscDriver(std::move(changes), std::move(looks), std::move(quiet), own));
}

Result<PortQdiscs> ListQdiscs(SharedSocket& socket, std::uint32_t index) {
  PortQdiscs port;
  bool seen = false;
  const auto reset = [&] {
    port = {};
    seen = false;
  };
  RETURN_IF_ERROR(DumpQdiscs(socket, reset, [&](const tcmsg& header, const Attributes& attributes) {
    if (header.tcm_ifindex != static_cast<int>(index)) return;
    seen = true;
    Note(header, attributes, port);
  }));
  if (seen) return port;
  // Of a link that is missing the kernel says nothing, as of one without qdiscs.
  ASSIGN_OR_RETURN(const auto link, ObserveLink(socket, index));
  if (!link) return NotFound(fmt::format("observe qdiscs: no link {:#x}", index));
  return port;
}

// By its class, which a TBF has one of: the kernel lists the classes of a link alone. A TBF of ours
// below somebody else's root would show together with that root's classes.
Result<bool> NetlinkQdiscDriver::HasTbf(std::uint32_t index) {
  int classes = 0;
  bool ours = false;
  const auto reset = [&] {
    classes = 0;
    ours = false;
  };
  RETURN_IF_ERROR(
      VisitClasses(socket_, index, reset, [&](const tcmsg& header, const Attributes& attributes) {
        ++classes;
        ours = TC_H_MAJ(header.tcm_handle) == kTbfHandle && attributes.Text(TCA_KIND) == "tbf";
      }));
  return ours && classes == 1;
}

std::uint32_t NetlinkQdiscDriver::At(std::uint32_t index) const {
  const std::uint32_t link = shaped_link_.load();
  return link != 0 && index == IfbIndex(0) ? link : index;
}

Result<std::vector<std::uint32_t>> NetlinkQdiscDriver::ForeignLinksWithHtb() {
  std::vector<std::uint32_t> links;
  RETURN_IF_ERROR(DumpQdiscs(
      socket_, [&] { links.clear(); },
      [&](const tcmsg& header, const Attributes& attributes) {
        const auto index = static_cast<std::uint32_t>(header.tcm_ifindex);
        const bool ours = header.tcm_parent == TC_H_ROOT && header.tcm_handle == kHtbHandle &&
                          attributes.Text(TCA_KIND) == "htb";
        if (ours && !IsOwnedIndex(index)) links.push_back(index);
      }));
  return links;
}

Result<UplinkQdiscs> NetlinkQdiscDriver::ObserveUplink(std::uint32_t ifb) {
  const std::uint32_t index = At(ifb);
  UplinkDump dump(index);
  RETURN_IF_ERROR(DumpQdiscs(
      socket_, [&] { dump = UplinkDump(index); },
      [&](const tcmsg& header, const Attributes& attributes) { dump.Note(header, attributes); }));
  if (!dump.seen) {
    ASSIGN_OR_RETURN(const auto link, ObserveLink(socket_, index));
    if (!link) return NotFound(fmt::format("observe qdiscs: no link {:#x}", index));
  }
  return Finish(std::move(dump));
}

Result<DomainQdiscs> NetlinkQdiscDriver::ObserveDomain(std::uint32_t ifb) {
  const std::uint32_t index = At(ifb);
  DomainQdiscs domain;
  UplinkDump dump(index);
  const auto reset = [&] {
    domain = {};
    dump = UplinkDump(index);
  };
  RETURN_IF_ERROR(
      DumpQdiscs(socket_, reset, [&](const tcmsg& header, const Attributes& attributes) {
        dump.Note(header, attributes);
        const auto link = static_cast<std::uint32_t>(header.tcm_ifindex);
        if (!IsTapIndex(link)) return;
        PortQdiscs port;
        Note(header, attributes, port);
        if (port.root) domain.ports[link].root = std::move(port.root);
        if (port.clsact) domain.ports[link].clsact = true;
      }));
  if (!dump.seen) {
    ASSIGN_OR_RETURN(const auto link, ObserveLink(socket_, index));
    if (!link) return domain;
  }
  ASSIGN_OR_RETURN(domain.uplink, Finish(std::move(dump)));
  return domain;
}

Result<UplinkQdiscs> NetlinkQdiscDriver::Finish(UplinkDump dump) {
  UplinkQdiscs uplink;
  uplink.root = std::move(dump.port.root);
  if (!uplink.root || uplink.root->handle != kHtbHandle || uplink.root->kind != "htb") {
    return uplink;
  }
  ASSIGN_OR_RETURN(uplink.classes, DumpClasses(dump.index));
  for (ObservedClass& observed : uplink.classes) {
    const auto leaf = dump.leaves.find(observed.htb.minor);
    if (leaf == dump.leaves.end()) continue;
    observed.leaf = leaf->second.leaf;
    // What its leaf refuses, the class counts too.
    observed.counters.drops = std::max(observed.counters.drops, leaf->second.drops);
  }
  return uplink;
}

Result<std::vector<ObservedClass>> NetlinkQdiscDriver::DumpClasses(std::uint32_t index) {
  std::vector<ObservedClass> classes;
  RETURN_IF_ERROR(VisitClasses(
      socket_, index, [&] { classes.clear(); },
      [&](const tcmsg& header, const Attributes& attributes) {
        if (TC_H_MAJ(header.tcm_handle) != kHtbHandle) return;
        classes.push_back(ClassOf(header, attributes));
      }));
  std::sort(classes.begin(), classes.end(), [](const ObservedClass& a, const ObservedClass& b) {
    return a.htb.minor < b.htb.minor;
  });
  return classes;
}

}  // namespace forkplane::netlink
