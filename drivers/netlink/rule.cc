// The one rule of policy routing that is ours.
#include <linux/fib_rules.h>
#include <sys/socket.h>

#include <cerrno>

#include "controller/base/network_names.h"
#include "drivers/netlink/route.h"

namespace forkplane::netlink {
namespace {

Message UnjudgedRuleMessage(std::uint16_t type, int flags) {
  fib_rule_hdr header = {};
  header.family = AF_INET;
  header.action = FR_ACT_BLACKHOLE;
  Message message(type, flags);
  message.Header(header).U32(FRA_PRIORITY, kUnjudgedRulePreference);
  message.U32(FRA_FWMARK, kUnjudgedMark).U32(FRA_FWMASK, kMarkRangeMask);
  message.U8(FRA_PROTOCOL, drivers::kRouteProtocol);
  return message;
}

// One that holds for other packets besides, or for fewer, is not ours.
bool IsUnjudgedRule(const nlmsghdr* part) {
  const auto* header = HeaderOf<fib_rule_hdr>(part);
  if (header == nullptr || header->action != FR_ACT_BLACKHOLE) return false;
  const Attributes attributes(part, sizeof *header);
  const bool narrowed = header->src_len != 0 || header->dst_len != 0 || header->tos != 0 ||
                        (header->flags & FIB_RULE_INVERT) != 0 ||
                        attributes.Get(FRA_IIFNAME) != nullptr ||
                        attributes.Get(FRA_OIFNAME) != nullptr;
  return !narrowed && attributes.U32(FRA_PRIORITY).value_or(0) == kUnjudgedRulePreference &&
         attributes.U32(FRA_FWMARK) == kUnjudgedMark &&
         attributes.U32(FRA_FWMASK) == kMarkRangeMask &&
         attributes.U8(FRA_PROTOCOL) == drivers::kRouteProtocol;
}

// A kernel without policy routing knows no rules; as NotFound, like other features of it.
Status ExplainRules(Status status) {
  const int number = status.ok() ? 0 : status.error().sys_errno;
  if (number != EOPNOTSUPP && number != EAFNOSUPPORT) return status;
  return KernelError(ENOENT, "rules of policy routing (CONFIG_IP_MULTIPLE_TABLES)");
}

}  // namespace

Result<bool> NetlinkRouteDriver::HasUnjudgedRule() {
  bool found = false;
  const auto make = [] {
    fib_rule_hdr header = {};
    header.family = AF_INET;
    Message message(RTM_GETRULE, 0);
    message.Header(header);
    return message;
  };
  const Status status = socket_.Dump(
      make, "list rules", [&] { found = false; },
      [&](const nlmsghdr* part) { found = found || IsUnjudgedRule(part); });
  RETURN_IF_ERROR(ExplainRules(status));
  return found;
}

Status NetlinkRouteDriver::AddUnjudgedRule() {
  Message message = UnjudgedRuleMessage(RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL);
  return ExplainRules(socket_.Request(message, "add rule of unjudged packets"));
}

Status NetlinkRouteDriver::DeleteUnjudgedRule() {
  Message message = UnjudgedRuleMessage(RTM_DELRULE, 0);
  return socket_.Request(message, "delete rule of unjudged packets");
}

}  // namespace forkplane::netlink
