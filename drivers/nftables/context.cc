#include "drivers/nftables/context.h"

#include <linux/netlink.h>
#include <nftables/libnftables.h>
#include <sys/socket.h>

#include <cerrno>

#include "controller/base/unique_fd.h"

namespace forkplane::nftables {
namespace {

// libnftables reports kinds of failure as text only, in the C locale.
constexpr std::string_view kAbsentText = "No such file or directory";

std::string OneLine(std::string text) {
  const std::size_t end = text.find('\n');
  return end == std::string::npos ? text : text.substr(0, end);
}

}  // namespace

Mutex Context::mutex_;

void Context::Free::operator()(nft_ctx* context) const { nft_ctx_free(context); }

Result<std::unique_ptr<Context>> Context::Open(Counters counters) {
  // libnftables ends the process when it cannot open its socket (no nfnetlink in the kernel, no
  // descriptor left), so it is tried here first.
  if (const UniqueFd trial(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER));
      !trial.valid()) {
    return FromErrno(errno, "nftables: open a netfilter socket");
  }
  nft_ctx* raw = nft_ctx_new(NFT_CTX_DEFAULT);
  if (raw == nullptr) return Unavailable("nftables: cannot open");
  std::unique_ptr<Context> context(new Context(raw));
  if (nft_ctx_buffer_output(raw) != 0 || nft_ctx_buffer_error(raw) != 0) {
    return Exhausted("nftables: out of memory");
  }
  unsigned int flags = NFT_CTX_OUTPUT_NUMERIC_ALL;
  if (counters == Counters::kHidden) flags |= NFT_CTX_OUTPUT_STATELESS;
  nft_ctx_output_set_flags(raw, flags);
  return context;
}

Result<std::string> Context::Run(const std::string& commands, std::string_view what) {
  const MutexLock lock(mutex_);
  const int rc = nft_run_cmd_from_buffer(context_.get(), commands.c_str());
  // Both buffers are emptied by reading them.
  std::string output = nft_ctx_get_output_buffer(context_.get());
  const std::string error = nft_ctx_get_error_buffer(context_.get());
  if (rc == 0) return output;
  const std::string message = fmt::format("{}: {}", what, OneLine(error));
  return error.find(kAbsentText) != std::string::npos ? NotFound(message) : Unavailable(message);
}

}  // namespace forkplane::nftables
