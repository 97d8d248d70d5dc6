#include "drivers/nftables/generation.h"

#include <arpa/inet.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "drivers/nftables/missing.h"

namespace forkplane::nftables {
namespace {

struct Question {
  nlmsghdr header;
  nfgenmsg family;
};

// NLA_HDRLEN and NLA_ALIGN as unsigned numbers.
constexpr std::size_t kAttributeHeader = sizeof(nlattr);
constexpr std::size_t Aligned(std::size_t size) { return (size + 3) & ~std::size_t{3}; }

// An answer is queued before send returns; more than this would be no answer.
constexpr timeval kAnswerTime = {5, 0};
constexpr std::size_t kAnswerBytes = 4096;

// The number in an answer of `size` bytes; an error of the kernel as one.
Result<std::uint32_t> NumberIn(const char* answer, std::size_t size) {
  constexpr std::string_view kWhat = "count changes of rules";
  nlmsghdr header = {};
  if (size < sizeof header) return Internal(fmt::format("{}: answer cut short", kWhat));
  std::memcpy(&header, answer, sizeof header);
  if (header.nlmsg_type == NLMSG_ERROR) {
    nlmsgerr error = {};
    if (size < NLMSG_HDRLEN + sizeof error.error) return Internal(std::string(kWhat));
    std::memcpy(&error.error, answer + NLMSG_HDRLEN, sizeof error.error);
    // How nfnetlink speaks of a part that no module offers.
    if (error.error == -EINVAL || error.error == -EOPNOTSUPP) {
      return MissingModule("nf_tables", "CONFIG_NF_TABLES");
    }
    return FromErrno(-error.error, kWhat);
  }
  std::size_t at = NLMSG_HDRLEN + sizeof(nfgenmsg);
  const std::size_t end = std::min<std::size_t>(size, header.nlmsg_len);
  while (at + sizeof(nlattr) <= end) {
    nlattr attribute = {};
    std::memcpy(&attribute, answer + at, sizeof attribute);
    std::uint32_t value = 0;
    if (attribute.nla_len < sizeof attribute) break;
    if (attribute.nla_type == NFTA_GEN_ID && at + kAttributeHeader + sizeof value <= end) {
      std::memcpy(&value, answer + at + kAttributeHeader, sizeof value);
      return ntohl(value);
    }
    at += Aligned(attribute.nla_len);
  }
  return Internal(fmt::format("{}: no number in the answer", kWhat));
}

}  // namespace

Result<std::unique_ptr<Generation>> Generation::Open() {
  UniqueFd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER));
  if (!fd.valid()) return FromErrno(errno, "nftables: open a netfilter socket");
  if (setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &kAnswerTime, sizeof kAnswerTime) != 0) {
    return FromErrno(errno, "nftables: bound the wait of a netfilter socket");
  }
  return std::unique_ptr<Generation>(new Generation(std::move(fd)));
}

Result<std::uint32_t> Generation::Read() {
  const MutexLock lock(mutex_);
  Question question = {};
  question.header.nlmsg_len = sizeof question;
  question.header.nlmsg_type = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETGEN;
  question.header.nlmsg_flags = NLM_F_REQUEST;
  question.header.nlmsg_seq = ++sequence_;
  if (send(socket_.get(), &question, sizeof question, 0) < 0) {
    return FromErrno(errno, "ask for the count of changes of rules");
  }
  std::array<char, kAnswerBytes> answer = {};
  while (true) {
    const ssize_t size = recv(socket_.get(), answer.data(), answer.size(), 0);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return FromErrno(errno, "read the count of changes of rules");
    nlmsghdr header = {};
    if (static_cast<std::size_t>(size) >= sizeof header) {
      std::memcpy(&header, answer.data(), sizeof header);
      if (header.nlmsg_seq != sequence_) continue;  // of a question that was given up
    }
    return NumberIn(answer.data(), static_cast<std::size_t>(size));
  }
}

}  // namespace forkplane::nftables
