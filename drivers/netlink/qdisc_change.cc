// What is changed about qdiscs and classes.
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>

#include <cerrno>

#include "controller/base/network_names.h"
#include "drivers/netlink/qdisc.h"
#include "drivers/netlink/tc_codec.h"

namespace forkplane::netlink {
namespace {

using drivers::HtbClass;
using drivers::Leaf;
using drivers::Tbf;

constexpr std::uint32_t kLoopbackIndex = 1;

Result<std::string> WhatOn(std::string_view verb, std::uint32_t index) {
  std::string what = fmt::format("{} on link {:#x}", verb, index);
  if (!IsOwnedIndex(index)) return Invalid(what + ": not an index of ours");
  return what;
}

std::string WhatClass(std::string_view verb, std::uint32_t index, std::uint32_t minor) {
  return fmt::format("{} class 7f00:{:x} on link {:#x}", verb, minor, index);
}

}  // namespace

SharedSocket& NetlinkQdiscDriver::SocketOfClass(std::uint32_t minor) {
  const bool quiet = own_ == OwnChanges::kPassedOver && IsInterfaceNumber(minor);
  return quiet ? quiet_->socket() : socket_;
}

SharedSocket& NetlinkQdiscDriver::SocketOfLink(std::uint32_t index) {
  const bool quiet = own_ == OwnChanges::kPassedOver && IsTapIndex(index);
  return quiet ? quiet_->socket() : socket_;
}

// A memory limit of one byte length is refused by fq_codel itself, after the kernel has found (and
// loaded) the module; an unknown kind is ENOENT. Either way nothing is installed.
Result<bool> NetlinkQdiscDriver::HasFqCodel() {
  Message message = TcMessage(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_REPLACE,
                              TcHeader(kLoopbackIndex, TC_H_ROOT, kTbfHandle));
  message.Text(TCA_KIND, "fq_codel").Nest(TCA_OPTIONS, [](Message& options) {
    options.U8(TCA_FQ_CODEL_MEMORY_LIMIT, 0);
  });
  const Status status = socket_.Request(message, "probe fq_codel");
  if (status.ok()) return Internal("probe fq_codel: the kernel took an impossible option");
  if (status.error().sys_errno == ENOENT) return false;
  if (status.error().code == Code::kInvalid || status.error().sys_errno == ERANGE) return true;
  return status.error();
}

Status NetlinkQdiscDriver::AddTbf(std::uint32_t index, const Tbf& tbf) {
  ASSIGN_OR_RETURN(const std::string what, WhatOn("add tbf", index));
  RETURN_IF_ERROR(Validate(tbf));
  Message message =
      TcMessage(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, TcHeader(index, TC_H_ROOT, kTbfHandle));
  PutTbf(message, tbf);
  return SocketOfLink(index).Request(message, what);
}

// Found by its handle, so that a qdisc which somebody else made is never changed.
Status NetlinkQdiscDriver::ChangeTbf(std::uint32_t index, const Tbf& tbf, drivers::Queue queue) {
  ASSIGN_OR_RETURN(const std::string what, WhatOn("change tbf", index));
  RETURN_IF_ERROR(Validate(tbf));
  std::vector<Message> messages;
  messages.push_back(TcMessage(RTM_NEWQDISC, 0, TcHeader(index, 0, kTbfHandle)));
  PutTbf(messages.back(), tbf);
  SharedSocket& socket = SocketOfLink(index);
  if (queue == drivers::Queue::kKeep) return socket.Request(messages.back(), what);
  // A new queue takes the old one's place and its packets with it. Two, because the kernel would
  // only change a queue that is of the kind which is asked for.
  for (const char* kind : {"pfifo", "bfifo"}) {
    messages.push_back(
        TcMessage(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_REPLACE, TcHeader(index, kTbfHandle | 1, 0)));
    messages.back().Text(TCA_KIND, kind).Struct(TCA_OPTIONS, tc_fifo_qopt{tbf.limit_bytes});
  }
  return socket.RequestAll(messages, what);
}

Status NetlinkQdiscDriver::AddClsact(std::uint32_t index) {
  ASSIGN_OR_RETURN(const std::string what, WhatOn("add clsact", index));
  Message message = TcMessage(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL,
                              TcHeader(index, TC_H_CLSACT, kClsactHandle));
  message.Text(TCA_KIND, "clsact");
  return SocketOfLink(index).Request(message, what);
}

Status NetlinkQdiscDriver::DeleteClsact(std::uint32_t index) {
  ASSIGN_OR_RETURN(const std::string what, WhatOn("delete clsact", index));
  Message message = TcMessage(RTM_DELQDISC, 0, TcHeader(index, TC_H_CLSACT, 0));
  return SocketOfLink(index).Request(message, what);
}

Status NetlinkQdiscDriver::AddHtb(std::uint32_t index, std::uint32_t default_minor) {
  ASSIGN_OR_RETURN(const std::string what, WhatOn("add htb", index));
  Message message = TcMessage(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL,
                              TcHeader(At(index), TC_H_ROOT, kHtbHandle));
  PutHtbRoot(message, default_minor);
  return socket_.Request(message, what);
}

Status NetlinkQdiscDriver::DeleteRoot(std::uint32_t index) {
  const std::uint32_t at = At(index);
  // The kernel refuses when another handle stands there.
  const std::uint32_t handle = IsOwnedIndex(at) ? 0 : kHtbHandle;
  Message message = TcMessage(RTM_DELQDISC, 0, TcHeader(at, TC_H_ROOT, handle));
  return SocketOfLink(at).Request(message, fmt::format("delete root qdisc on link {:#x}", at));
}

Status NetlinkQdiscDriver::PutClass(std::uint32_t index, const HtbClass& htb, int flags,
                                    std::string_view verb) {
  RETURN_IF_ERROR(WhatOn(verb, index));
  RETURN_IF_ERROR(Validate(htb));
  Message message =
      TcMessage(RTM_NEWTCLASS, flags,
                TcHeader(At(index), kHtbHandle | htb.parent_minor, kHtbHandle | htb.minor));
  PutHtbClass(message, htb);
  bool at_root = false;
  RETURN_IF_ERROR(SocketOfClass(htb.minor).Get(
      message, WhatClass(verb, index, htb.minor), [&](const nlmsghdr* part) {
        const auto* header = HeaderOf<tcmsg>(part);
        at_root = header != nullptr && header->tcm_parent == TC_H_ROOT;
      }));
  if (htb.parent_minor == 0 || !at_root) return OkStatus();
  // HTB makes a class whose parent it does not find a root class, unbounded by anything, and says
  // nothing; only the echo of the message tells. It must not stay.
  RETURN_IF_ERROR(DeleteClass(index, htb.minor));
  return NotFound(
      fmt::format("{}: no parent 7f00:{:x}", WhatClass(verb, index, htb.minor), htb.parent_minor));
}

Status NetlinkQdiscDriver::AddClass(std::uint32_t index, const HtbClass& htb) {
  return PutClass(index, htb, NLM_F_CREATE | NLM_F_EXCL | NLM_F_ECHO, "add");
}

Status NetlinkQdiscDriver::ChangeClass(std::uint32_t index, const HtbClass& htb) {
  return PutClass(index, htb, 0, "change");
}

Status NetlinkQdiscDriver::DeleteClass(std::uint32_t index, std::uint32_t minor) {
  RETURN_IF_ERROR(WhatOn("delete class", index));
  Message message =
      TcMessage(RTM_DELTCLASS, 0, TcHeader(At(index), kHtbHandle, kHtbHandle | (minor & 0xffff)));
  return SocketOfClass(minor).Request(message, WhatClass("delete", index, minor));
}

Status NetlinkQdiscDriver::SetLeaf(std::uint32_t index, std::uint32_t minor, const Leaf& leaf) {
  RETURN_IF_ERROR(WhatOn("set leaf", index));
  Message message = TcMessage(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_REPLACE,
                              TcHeader(At(index), kHtbHandle | (minor & 0xffff), 0));
  PutLeaf(message, leaf);
  return SocketOfClass(minor).Request(message, WhatClass("set leaf of", index, minor));
}

}  // namespace forkplane::netlink
