#include "drivers/nftables/firewall.h"

#include <linux/netlink.h>
#include <nftables/libnftables.h>
#include <sys/socket.h>

#include <cerrno>

#include "controller/base/network_names.h"
#include "controller/base/unique_fd.h"
#include "drivers/nftables/rules_text.h"

namespace forkplane::nftables {
namespace {

// libnftables reports kinds of failure as text only, in the C locale.
constexpr std::string_view kAbsentText = "No such file or directory";

std::string OneLine(std::string text) {
  const std::size_t end = text.find('\n');
  return end == std::string::npos ? text : text.substr(0, end);
}

std::string OnTable(std::string_view verb) {
  return fmt::format("{} table inet {}", verb, kFirewallTable);
}

}  // namespace

void NftFirewallDriver::Free::operator()(nft_ctx* context) const { nft_ctx_free(context); }

Result<std::unique_ptr<NftFirewallDriver>> NftFirewallDriver::Open() {
  // libnftables ends the process when it cannot open its socket (no nfnetlink in the kernel, no
  // descriptor left), so it is tried here first.
  if (const UniqueFd trial(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER));
      !trial.valid()) {
    return FromErrno(errno, "nftables: open a netfilter socket");
  }
  nft_ctx* context = nft_ctx_new(NFT_CTX_DEFAULT);
  if (context == nullptr) return Unavailable("nftables: cannot open");
  std::unique_ptr<NftFirewallDriver> driver(new NftFirewallDriver(context));
  if (nft_ctx_buffer_output(context) != 0 || nft_ctx_buffer_error(context) != 0) {
    return Exhausted("nftables: out of memory");
  }
  nft_ctx_output_set_flags(context, NFT_CTX_OUTPUT_NUMERIC_ALL | NFT_CTX_OUTPUT_STATELESS);
  return driver;
}

Result<std::string> NftFirewallDriver::Run(const std::string& commands, std::string_view what) {
  const MutexLock lock(mutex_);
  const int rc = nft_run_cmd_from_buffer(context_.get(), commands.c_str());
  // Both buffers are emptied by reading them.
  std::string output = nft_ctx_get_output_buffer(context_.get());
  const std::string error = nft_ctx_get_error_buffer(context_.get());
  if (rc == 0) return output;
  const std::string message = fmt::format("{}: {}", what, OneLine(error));
  return error.find(kAbsentText) != std::string::npos ? NotFound(message) : Unavailable(message);
}

Lookup<drivers::FirewallRules> NftFirewallDriver::Observe() {
  const Result<std::string> listing = Run(OnTable("list"), "list firewall");
  if (listing.ok()) return std::optional<drivers::FirewallRules>(ReadListing(*listing));
  if (listing.error().code == Code::kNotFound) return std::optional<drivers::FirewallRules>();
  return listing.error();
}

Status NftFirewallDriver::Replace(const drivers::FirewallRules& rules) {
  ASSIGN_OR_RETURN(const std::string commands, CommandsFor(rules));
  RETURN_IF_ERROR(Run(commands, "replace firewall"));
  return OkStatus();
}

Status NftFirewallDriver::Remove() {
  RETURN_IF_ERROR(Run(OnTable("delete"), "remove firewall"));
  return OkStatus();
}

}  // namespace forkplane::nftables
