#include "drivers/nftables/missing.h"

#include <fmt/format.h>

#include <array>
#include <cerrno>

namespace forkplane::nftables {
namespace {

constexpr const char* kFilter = "type filter hook prerouting priority -300";
constexpr const char* kForward = "type filter hook forward priority 0";
constexpr const char* kNat = "type nat hook postrouting priority 100";

constexpr std::array kFeatures = {
    Feature{"nf_tables", "CONFIG_NF_TABLES_INET", kFilter, "accept"},
    Feature{"nft_fib_inet", "CONFIG_NFT_FIB_INET", kFilter, "fib saddr . iif oif 0 drop"},
    Feature{"nft_ct", "CONFIG_NFT_CT", kForward, "ct state 0x2 accept"},
    Feature{"nft_limit", "CONFIG_NFT_LIMIT", kForward, "limit rate 200/second accept"},
    Feature{"nft_connlimit", "CONFIG_NFT_CONNLIMIT", kForward, "ct count 16 accept"},
    Feature{"nft_chain_nat", "CONFIG_NFT_NAT", kNat, "accept"},
    Feature{"nft_masq", "CONFIG_NFT_MASQ", kNat, "masquerade"},
};

std::string Trial(const Feature& feature) {
  return fmt::format(
      "table inet forkplane_trial {{\nchain trial {{\n{}; policy accept;\n{}\n}}\n}}\n"
      "delete table inet forkplane_trial\n",
      feature.chain, feature.rule);
}

}  // namespace

std::span<const Feature> FeaturesOfTable() { return kFeatures; }

Error MissingModule(const char* module, const char* option) {
  Error error = Unavailable(fmt::format(
      "the firewall needs module {0} ({1}), which this kernel lacks: modprobe {0}, or install the "
      "kernel's package of further modules; forkplane doctor lists all that is missing",
      module, option));
  error.sys_errno = ENOENT;
  return error;
}

Error NameMissing(std::span<const Feature> features,
                  const std::function<Status(const std::string& commands)>& run,
                  const Error& plain) {
  for (const Feature& feature : features) {
    if (!run(Trial(feature)).ok()) return MissingModule(feature.module, feature.option);
  }
  return plain;
}

}  // namespace forkplane::nftables
