// One ARP question through the whole path of a TAP, in a network namespace that nobody else sees.
#include <poll.h>
#include <sched.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <thread>

#include "controller/base/network_names.h"
#include "drivers/bpf/identity.h"
#include "drivers/netlink/link.h"
#include "drivers/netlink/qdisc.h"
#include "drivers/netlink/route.h"
#include "drivers/netlink/tap.h"

namespace forkplane::bpf {
namespace {

using drivers::Direction;
using drivers::IdentityEntry;

constexpr std::uint32_t kNumber = MakeNumber(0, 1);
constexpr Ipv4 kHost = {0x0a000001};   // 10.0.0.1
constexpr Ipv4 kInner = {0x0a000002};  // 10.0.0.2
constexpr Ipv4 kOuter = {0x0a000003};  // 10.0.0.3
constexpr std::size_t kVnetHeaderBytes = 12;
constexpr std::size_t kFrameBytes = kVnetHeaderBytes + 42;  // Ethernet and ARP
constexpr std::size_t kOperationOffset = kVnetHeaderBytes + 21;
constexpr auto kAnswerTimeout = std::chrono::seconds(2);

// "Who has kHost?", as a guest asks it.
std::array<std::uint8_t, kFrameBytes> Question() {
  std::array<std::uint8_t, kFrameBytes> frame = {};
  std::size_t at = kVnetHeaderBytes;
  const auto put = [&](std::initializer_list<std::uint8_t> bytes) {
    for (const std::uint8_t byte : bytes) frame[at++] = byte;
  };
  const auto put_mac = [&](const MacAddress& mac) {
    for (const std::uint8_t byte : mac.bytes) frame[at++] = byte;
  };
  const auto put_address = [&](Ipv4 address) {
    for (int shift = 24; shift >= 0; shift -= 8) {
      frame[at++] = static_cast<std::uint8_t>(address.value >> shift);
    }
  };
  put({0xff, 0xff, 0xff, 0xff, 0xff, 0xff});
  put_mac(InnerMac(0));
  put({0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 1});  // ARP, Ethernet, IPv4, request
  put_mac(InnerMac(0));
  put_address(kInner);
  put({0, 0, 0, 0, 0, 0});
  put_address(kHost);
  return frame;
}

// False when nothing comes: the program ran again after the redirect, saw the outer MAC and
// dropped.
Result<bool> IsAnswered(int tap) {
  const auto question = Question();
  if (write(tap, question.data(), question.size()) != static_cast<ssize_t>(question.size())) {
    return FromErrno(errno, "write the probe packet");
  }
  const auto deadline = std::chrono::steady_clock::now() + kAnswerTimeout;
  while (true) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0) return false;
    pollfd file = {tap, POLLIN, 0};
    if (poll(&file, 1, static_cast<int>(left.count())) < 0 && errno != EINTR) {
      return FromErrno(errno, "wait for the answer to the probe packet");
    }
    std::array<std::uint8_t, 2048> frame = {};
    const ssize_t size = read(tap, frame.data(), frame.size());
    constexpr std::uint8_t kReply = 2;
    if (size >= static_cast<ssize_t>(kFrameBytes) && frame[kOperationOffset] == kReply) return true;
  }
}

Result<bool> ProbeHere(drivers::RedirectMode mode) {
  ASSIGN_OR_RETURN(const auto links, netlink::NetlinkLinkDriver::Open());
  ASSIGN_OR_RETURN(const auto taps, netlink::NetlinkTapDriver::Open());
  ASSIGN_OR_RETURN(const auto qdiscs, netlink::NetlinkQdiscDriver::Open());
  ASSIGN_OR_RETURN(const auto routes, netlink::NetlinkRouteDriver::Open());
  ASSIGN_OR_RETURN(const auto identity, BpfIdentityDriver::Open({{}, mode}));
  const std::uint32_t index = TapIndex(kNumber);
  const IdentityEntry entry = {InnerMac(0), OuterMac(kNumber), kInner, kOuter, kHost};
  RETURN_IF_ERROR(links->CreateIfb({0, "probe"}));
  RETURN_IF_ERROR(links->SetUp(IfbIndex(0), true));
  drivers::TapSpec spec;
  spec.number = kNumber;
  RETURN_IF_ERROR(taps->Create(spec));
  RETURN_IF_ERROR(qdiscs->AddClsact(index));
  RETURN_IF_ERROR(identity->SetEntry(index, entry));
  const Status attached = identity->Attach(index, Direction::kIngress);
  if (mode == drivers::RedirectMode::kMirred) {
    // Of an action that it does not know the kernel says that there is no such file. One that it
    // knows works in every version: no packet, which an overloaded host might answer too late.
    if (!attached.ok() && attached.error().sys_errno == ENOENT) return false;
    RETURN_IF_ERROR(attached);
    return true;
  }
  RETURN_IF_ERROR(attached);
  RETURN_IF_ERROR(identity->Attach(index, Direction::kEgress));
  RETURN_IF_ERROR(links->SetUp(index, true));
  RETURN_IF_ERROR(routes->AddAddress(index, {kHost, 24}));
  ASSIGN_OR_RETURN(const UniqueFd tap, taps->Dup(kNumber));
  return IsAnswered(tap.get());
}

}  // namespace

Result<bool> ProbeRedirect(drivers::RedirectMode mode) {
  Result<bool> result = false;
  // A thread of its own, because the namespace is the thread's; it goes with it.
  std::jthread([&result, mode] {
    result =
        unshare(CLONE_NEWNET) == 0 ? ProbeHere(mode) : FromErrno(errno, "new network namespace");
  }).join();
  if (result.ok()) return result;
  return std::move(result).error().WithContext(
      mode == drivers::RedirectMode::kBpf ? "probe of bpf_redirect" : "probe of act_mirred");
}

}  // namespace forkplane::bpf
