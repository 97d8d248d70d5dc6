#include "drivers/nftables/probe_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <sstream>

#include "controller/base/network_names.h"

namespace forkplane::nftables {
namespace {

constexpr std::uint16_t kSourcePort = 0x666b;  // "fk"
constexpr std::uint16_t kTargetPort = 9;       // discard
constexpr std::uint8_t kHopsLeft = 2;          // one is used up before the forward hook
constexpr std::uint8_t kUdp = 17;
constexpr int kFirst = -2147483648;  // before every chain of others, NAT and iptables' included

std::vector<std::string> Words(std::string_view line) {
  std::istringstream stream{std::string(line)};
  std::vector<std::string> words;
  for (std::string word; stream >> word;) words.push_back(word);
  return words;
}

// Big-endian, at consecutive places.
class Writer {
 public:
  explicit Writer(ProbeFrame& frame) : frame_(frame) {}
  void Put8(std::uint8_t value) { frame_.at(at_++) = value; }
  void Put16(std::uint32_t value) {
    Put8(static_cast<std::uint8_t>(value >> 8U));
    Put8(static_cast<std::uint8_t>(value));
  }
  void Put32(std::uint32_t value) {
    Put16(value >> 16U);
    Put16(value);
  }
  void Put(const MacAddress& mac) {
    for (const std::uint8_t byte : mac.bytes) Put8(byte);
  }

 private:
  ProbeFrame& frame_;
  std::size_t at_ = 0;
};

std::uint32_t HeaderChecksum(const ProbeFrame& frame, std::size_t from, std::size_t to) {
  std::uint32_t sum = 0;
  for (std::size_t i = from; i < to; i += 2) {
    sum += static_cast<std::uint32_t>(frame.at(i)) << 8U | frame.at(i + 1);
  }
  while (sum >> 16U != 0) sum = (sum & 0xffffU) + (sum >> 16U);
  return ~sum & 0xffffU;
}

}  // namespace

ProbeFrame MakeProbeFrame(Ipv4 source, Ipv4 target) {
  constexpr std::size_t kIp = 14;
  constexpr std::size_t kIpBytes = 20;
  constexpr std::size_t kCheck = kIp + 10;
  ProbeFrame frame = {};
  Writer out(frame);
  out.Put(kGatewayMac);
  out.Put(InnerMac(0));
  out.Put16(0x0800);
  out.Put16(0x4500);
  out.Put16(kProbeFrameBytes - kIp);
  out.Put32(0);  // no fragment
  out.Put8(kHopsLeft);
  out.Put8(kUdp);
  out.Put16(0);
  out.Put32(source.value);
  out.Put32(target.value);
  out.Put16(kSourcePort);
  out.Put16(kTargetPort);
  out.Put16(kProbeFrameBytes - kIp - kIpBytes);
  out.Put16(0);  // no checksum
  const std::uint32_t check = HeaderChecksum(frame, kIp, kIp + kIpBytes);
  frame.at(kCheck) = static_cast<std::uint8_t>(check >> 8U);
  frame.at(kCheck + 1) = static_cast<std::uint8_t>(check);
  return frame;
}

std::string ProbeTableCommands(Ipv4 source, const std::vector<Ipv4>& targets) {
  std::vector<std::string> listed;
  listed.reserve(targets.size());
  for (const Ipv4 target : targets) listed.push_back(ToString(target));
  const std::string probe =
      fmt::format("ip saddr {} ip daddr {{ {} }} udp sport {} udp dport {} counter",
                  ToString(source), fmt::join(listed, ", "), kSourcePort, kTargetPort);
  // Add before delete, so that the delete never fails: one may be left of a process that died.
  return fmt::format(
      "add table inet {0}\ndelete table inet {0}\ntable inet {0} {{\n"
      "chain entered {{\ntype filter hook forward priority {1}; policy accept;\n{2}\n}}\n"
      "chain passed {{\ntype filter hook postrouting priority {1}; policy accept;\n{2} drop\n}}\n"
      "}}\n",
      kProbeTable, kFirst, probe);
}

std::optional<ProbeCounts> ReadProbeCounts(const std::string& listing) {
  std::vector<std::uint64_t> counts;
  std::istringstream lines(listing);
  for (std::string line; std::getline(lines, line);) {
    const std::vector<std::string> words = Words(line);
    const auto at = std::find(words.begin(), words.end(), "packets");
    if (at == words.end() || at + 1 == words.end()) continue;
    const std::string& number = *(at + 1);
    std::uint64_t count = 0;
    const auto read = std::from_chars(number.data(), number.data() + number.size(), count);
    if (read.ec == std::errc()) counts.push_back(count);
  }
  if (counts.size() != 2) return std::nullopt;
  return ProbeCounts{counts[0], counts[1]};
}

std::vector<drivers::ForwardChain> ReadForwardChains(const std::string& listing) {
  std::vector<drivers::ForwardChain> chains;
  drivers::ForwardChain at;
  std::istringstream lines(listing);
  for (std::string line; std::getline(lines, line);) {
    const std::vector<std::string> words = Words(line);
    if (words.size() == 4 && words[0] == "table") {
      at.family = words[1];
      at.table = words[2];
    } else if (words.size() == 3 && words[0] == "chain") {
      at.chain = words[1];
    } else if (line.find("hook forward ") != std::string::npos) {
      const bool ours =
          at.family == "inet" && (at.table == kFirewallTable || at.table == kProbeTable);
      const bool sees_ipv4 = at.family == "ip" || at.family == "inet";
      if (ours || !sees_ipv4) continue;
      at.drops_by_policy = line.find("policy drop;") != std::string::npos;
      chains.push_back(at);
    }
  }
  return chains;
}

bool HoldsDrop(std::string_view table_listing) {
  std::istringstream lines{std::string(table_listing)};
  for (std::string line; std::getline(lines, line);) {
    if (line.find("policy drop;") != std::string::npos) continue;  // a chain's, told otherwise
    for (const std::string& word : Words(line)) {
      // The last is how nft shows a target of iptables that it does not know.
      if (word == "drop" || word == "reject" || word == "\"REJECT\"") return true;
    }
  }
  return false;
}

}  // namespace forkplane::nftables
