#include "drivers/bpf/filter.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/tc_act/tc_mirred.h>
#include <sys/socket.h>

#include <cerrno>

#include "controller/base/network_names.h"
#include "drivers/netlink/qdisc.h"

namespace forkplane::bpf {
namespace {

using drivers::Direction;
using netlink::Attributes;
using netlink::Message;

constexpr int kFirstAction = 1;  // actions are numbered from one

tcmsg Header(std::uint32_t index, std::uint32_t parent, std::uint16_t preference,
             std::uint32_t handle) {
  tcmsg header = {};
  header.tcm_family = AF_UNSPEC;
  header.tcm_ifindex = static_cast<int>(index);
  header.tcm_parent = parent;
  header.tcm_handle = handle;
  // Preference above, protocol below.
  header.tcm_info = std::uint32_t{preference} << 16 | (preference == 0 ? 0U : htons(ETH_P_ALL));
  return header;
}

std::string What(std::string_view verb, const FilterSpec& spec) {
  const char* where = spec.parent == ParentOf(Direction::kIngress)  ? "ingress"
                      : spec.parent == ParentOf(Direction::kEgress) ? "egress"
                                                                    : "HTB";
  return fmt::format("{} {} filter {} on link {:#x}", verb, where, spec.preference, spec.index);
}

void PutMirred(Message& options, std::uint32_t index) {
  tc_mirred mirred = {};
  mirred.action = TC_ACT_STOLEN;
  mirred.eaction = TCA_EGRESS_REDIR;
  mirred.ifindex = index;
  options.Nest(TCA_BPF_ACT, [&](Message& actions) {
    actions.Nest(kFirstAction, [&](Message& action) {
      action.Text(TCA_ACT_KIND, "mirred").Nest(TCA_ACT_OPTIONS, [&](Message& parameters) {
        parameters.Struct(TCA_MIRRED_PARMS, mirred);
      });
    });
  });
}

std::uint32_t MirredIndexOf(const Attributes& options) {
  const Attributes action = options.Nested(TCA_BPF_ACT).Nested(kFirstAction);
  if (action.Text(TCA_ACT_KIND) != "mirred") return 0;
  const auto mirred = action.Nested(TCA_ACT_OPTIONS).Read<tc_mirred>(TCA_MIRRED_PARMS);
  return mirred && mirred->eaction == TCA_EGRESS_REDIR ? mirred->ifindex : 0;
}

Filter FilterOf(const tcmsg& header, const Attributes& attributes) {
  Filter filter;
  filter.preference = static_cast<std::uint16_t>(header.tcm_info >> 16);
  filter.handle = header.tcm_handle;
  if (attributes.Text(TCA_KIND) != "bpf") return filter;
  const Attributes options = attributes.Nested(TCA_OPTIONS);
  filter.program_id = options.U32(TCA_BPF_ID).value_or(0);
  filter.direct_action = (options.U32(TCA_BPF_FLAGS).value_or(0) & TCA_BPF_FLAG_ACT_DIRECT) != 0;
  filter.mirred_index = MirredIndexOf(options);
  filter.class_id = options.U32(TCA_BPF_CLASSID).value_or(0);
  return filter;
}

// The kernel says EINVAL both for a filter that cannot be and for a qdisc that is not there.
Status NotFoundWithoutQdisc(netlink::SharedSocket& socket, Status status, const FilterSpec& spec) {
  if (status.ok() || status.error().sys_errno != EINVAL) return status;
  ASSIGN_OR_RETURN(const drivers::PortQdiscs port, netlink::ListQdiscs(socket, spec.index));
  const bool below_root = port.root && port.root->handle == spec.parent;
  if (TC_H_MAJ(spec.parent) == TC_H_MAJ(TC_H_CLSACT) ? port.clsact : below_root) return status;
  return NotFound(status.error().message + " (no qdisc to hang below)");
}

}  // namespace

std::uint32_t ParentOf(Direction direction) {
  return TC_H_MAKE(TC_H_CLSACT,
                   direction == Direction::kIngress ? TC_H_MIN_INGRESS : TC_H_MIN_EGRESS);
}

Result<std::vector<Filter>> ListFilters(netlink::SharedSocket& socket, std::uint32_t index,
                                        std::uint32_t parent) {
  std::vector<Filter> filters;
  const auto make = [&] {
    Message message(RTM_GETTFILTER, 0);
    message.Header(Header(index, parent, 0, 0));
    return message;
  };
  RETURN_IF_ERROR(socket.Dump(
      make, fmt::format("list filters of link {:#x}", index), [&] { filters.clear(); },
      [&](const nlmsghdr* part) {
        const auto* header = netlink::HeaderOf<tcmsg>(part);
        if (header == nullptr || header->tcm_handle == 0) return;  // the chain's own line
        filters.push_back(FilterOf(*header, Attributes(part, sizeof *header)));
      }));
  return filters;
}

Status PutFilter(netlink::SharedSocket& socket, const FilterSpec& spec, const Program& program,
                 Put how) {
  Message message(RTM_NEWTFILTER, NLM_F_CREATE | (how == Put::kAdd ? NLM_F_EXCL : 0));
  message.Header(Header(spec.index, spec.parent, spec.preference, kFilterHandle));
  message.Text(TCA_KIND, "bpf").Nest(TCA_OPTIONS, [&](Message& options) {
    options.U32(TCA_BPF_FD, static_cast<std::uint32_t>(program.fd.get()));
    options.Text(TCA_BPF_NAME, program.name);
    if (spec.mirred_index == 0) {
      options.U32(TCA_BPF_FLAGS, TCA_BPF_FLAG_ACT_DIRECT);
      // Of a class the program says the minor; this is its major.
      if (spec.parent == kHtbHandle) options.U32(TCA_BPF_CLASSID, kHtbHandle);
    } else {
      PutMirred(options, spec.mirred_index);
    }
  });
  Status status = socket.Request(message, What("put", spec));
  return NotFoundWithoutQdisc(socket, std::move(status), spec);
}

Result<bool> PutOnlyFilter(netlink::SharedSocket& socket, const FilterSpec& spec,
                           const Program& program) {
  Status status = PutFilter(socket, spec, program, Put::kAdd);
  if (status.ok()) return false;
  if (status.error().sys_errno == EINVAL && status.error().code != Code::kNotFound) {
    RETURN_IF_ERROR(DeleteFilters(socket, spec));
    RETURN_IF_ERROR(PutFilter(socket, spec, program, Put::kAdd));
    return true;
  }
  if (status.error().code != Code::kExists) return std::move(status).error();
  RETURN_IF_ERROR(PutFilter(socket, spec, program, Put::kReplace));
  ASSIGN_OR_RETURN(const auto filters, ListFilters(socket, spec.index, spec.parent));
  for (const Filter& filter : filters) {
    if (filter.preference != spec.preference || filter.handle == kFilterHandle) continue;
    RETURN_IF_ERROR(DeleteFilters(socket, spec, filter.handle));
  }
  return true;
}

Status DeleteFilters(netlink::SharedSocket& socket, const FilterSpec& spec, std::uint32_t handle) {
  Message message(RTM_DELTFILTER, 0);
  tcmsg header = Header(spec.index, spec.parent, spec.preference, handle);
  header.tcm_info = std::uint32_t{spec.preference} << 16;  // for whatever protocol it is
  message.Header(header);
  Status status = socket.Request(message, What("delete", spec));
  return NotFoundWithoutQdisc(socket, std::move(status), spec);
}

}  // namespace forkplane::bpf
