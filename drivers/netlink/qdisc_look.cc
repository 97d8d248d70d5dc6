// Looks at the qdiscs of one interface.
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>

#include <cerrno>
#include <utility>

#include "controller/base/network_names.h"
#include "drivers/netlink/qdisc.h"
#include "drivers/netlink/tc_codec.h"

namespace forkplane::netlink {
namespace {

using drivers::DomainQdiscs;
using drivers::ObservedClass;
using drivers::ObservedRoot;
using drivers::PortQdiscs;
using drivers::UplinkQdiscs;

Status Look(QuietSocket& socket, std::uint16_t type, const tcmsg& asked,
            const std::function<void(const tcmsg&, const Attributes&)>& visit) {
  Message message(type, 0);
  message.Header(asked);
  const std::string what = fmt::format("look at {:x}/{:x} of link {:#x}", asked.tcm_parent,
                                       asked.tcm_handle, asked.tcm_ifindex);
  Status status = socket.Look(message, what, [&](const nlmsghdr* part) {
    const auto* header = HeaderOf<tcmsg>(part);
    if (header != nullptr) visit(*header, Attributes(part, sizeof *header));
  });
  if (!status.ok() && status.error().sys_errno == ENOENT) return OkStatus();
  return status;
}

bool IsOurHtb(const std::optional<ObservedRoot>& root) {
  return root && root->handle == kHtbHandle && root->kind == "htb";
}

}  // namespace

Status NetlinkQdiscDriver::LookAtQdisc(std::uint32_t index, std::uint32_t parent,
                                       const Visit& visit) {
  return Look(*quiet_, RTM_GETQDISC, TcHeader(index, parent, 0), visit);
}

Status NetlinkQdiscDriver::LookAtClass(std::uint32_t index, std::uint32_t minor,
                                       const Visit& visit) {
  return Look(*quiet_, RTM_GETTCLASS, TcHeader(index, 0, kHtbHandle | minor), visit);
}

Result<PortQdiscs> NetlinkQdiscDriver::ObservePort(std::uint32_t index) {
  PortQdiscs port;
  RETURN_IF_ERROR(
      LookAtQdisc(index, TC_H_ROOT, [&](const tcmsg& header, const Attributes& attributes) {
        // Handle 0 is the default qdisc, which nobody made.
        if (header.tcm_handle != 0) port.root = RootOf(header, attributes);
      }));
  RETURN_IF_ERROR(LookAtQdisc(index, TC_H_CLSACT, [&](const tcmsg&, const Attributes& attributes) {
    port.clsact = attributes.Text(TCA_KIND) == "clsact";
    port.foreign_ingress = !port.clsact;
  }));
  return port;
}

// The root class is asked for by the handle of our HTB, which stands if the class does: that saves
// the look at the root. (Ours below somebody else's root would pass for the root; his coming is an
// event, and the domain's to see.)
Status NetlinkQdiscDriver::LookAtUplink(std::uint32_t index, std::uint32_t minor,
                                        UplinkQdiscs& uplink) {
  std::optional<ObservedClass> found;
  const auto note = [&](const tcmsg& header, const Attributes& attributes) {
    found = ClassOf(header, attributes);
    if (attributes.Text(TCA_KIND) == "htb")
      uplink.root = {.kind = "htb", .handle = kHtbHandle, .counters = {}};
  };
  RETURN_IF_ERROR(LookAtClass(index, kRootClassMinor, note));
  if (!uplink.root) {
    RETURN_IF_ERROR(
        LookAtQdisc(index, TC_H_ROOT, [&](const tcmsg& header, const Attributes& attributes) {
          if (header.tcm_handle != 0) uplink.root = RootOf(header, attributes);
        }));
  }
  if (!IsOurHtb(uplink.root)) return OkStatus();
  const std::optional<ObservedClass> root = std::exchange(found, std::nullopt);
  RETURN_IF_ERROR(LookAtClass(index, minor, note));
  if (found) {
    RETURN_IF_ERROR(LookAtQdisc(
        index, kHtbHandle | minor,
        [&](const tcmsg&, const Attributes& attributes) { found->leaf = LeafOf(attributes); }));
    uplink.classes.push_back(*found);
  }
  if (root) uplink.classes.push_back(*root);
  return OkStatus();
}

Result<DomainQdiscs> NetlinkQdiscDriver::ObserveInterface(std::uint32_t index, std::uint32_t minor,
                                                          std::uint32_t tap) {
  DomainQdiscs domain;
  UplinkQdiscs uplink;
  Status status = LookAtUplink(At(index), minor, uplink);
  if (status.ok()) {
    domain.uplink = std::move(uplink);
  } else if (status.error().code != Code::kNotFound) {
    return std::move(status).error();
  }
  status = LookAtQdisc(tap, TC_H_ROOT, [&](const tcmsg& header, const Attributes& attributes) {
    if (header.tcm_handle != 0) domain.ports[tap].root = RootOf(header, attributes);
  });
  if (!status.ok() && status.error().code != Code::kNotFound) return std::move(status).error();
  return domain;
}

}  // namespace forkplane::netlink
