#include "drivers/nftables/rules_text.h"

#include <algorithm>
#include <map>
#include <set>
#include <sstream>
#include <string_view>
#include <vector>

#include "controller/base/network_names.h"

namespace forkplane::nftables {
namespace {

using drivers::FirewallNetwork;
using drivers::FirewallRules;

constexpr std::string_view kForwardHook = "type filter hook forward priority 0; policy accept;";
constexpr std::string_view kPostroutingHook =
    "type nat hook postrouting priority 100; policy accept;";

// Each rule exactly as nft lists it with numeric output. Established and related are bits 2 and 4.
std::string IsolationRule(const FirewallNetwork& n) {
  return fmt::format("ip saddr {0} ip daddr {0} drop", ToString(n.cidr));
}
std::string AnswersRule(const FirewallNetwork& n) {
  return fmt::format("iifname \"{}\" ip daddr {} ct state 0x2,0x4 accept", n.uplink,
                     ToString(n.cidr));
}
std::string NothingElseRule(const FirewallNetwork& n) {
  return fmt::format("iifname \"{}\" ip daddr {} drop", n.uplink, ToString(n.cidr));
}
std::string MasqueradeRule(const FirewallNetwork& n) {
  return fmt::format("ip saddr {} oifname \"{}\" masquerade", ToString(n.cidr), n.uplink);
}

std::vector<std::string> ForwardRules(const FirewallNetwork& network) {
  std::vector<std::string> rules;
  if (network.isolated) rules.push_back(IsolationRule(network));
  if (network.masquerade) {
    rules.push_back(AnswersRule(network));
    rules.push_back(NothingElseRule(network));
  }
  return rules;
}

std::vector<std::string> PostroutingRules(const FirewallNetwork& network) {
  return network.masquerade ? std::vector{MasqueradeRule(network)} : std::vector<std::string>();
}

std::string_view Trimmed(std::string_view line) {
  const std::size_t first = line.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return line.substr(first, line.find_last_not_of(" \t") - first + 1);
}

std::vector<std::string> Words(std::string_view line) {
  std::istringstream stream{std::string(line)};
  std::vector<std::string> words;
  for (std::string word; stream >> word;) words.push_back(word);
  return words;
}

std::string Unquoted(const std::string& word) {
  if (word.size() < 2 || word.front() != '"' || word.back() != '"') return {};
  return word.substr(1, word.size() - 2);
}

// The rules of one network in the order in which they are found; the whole is judged at the end.
struct Found {
  std::vector<std::string> forward = {};
  std::vector<std::string> postrouting = {};
  FirewallNetwork network = {};
};

// The network that a rule of ours is about; nullopt: not a rule of ours.
std::optional<FirewallNetwork> SubjectOf(const std::string& rule) {
  const std::vector<std::string> words = Words(rule);
  FirewallNetwork network;
  std::string cidr;
  if (words.size() == 7 && words[0] == "ip" && words[1] == "saddr") {
    cidr = words[2];
  } else if (words.size() == 6 && words[0] == "ip" && words[3] == "oifname") {
    cidr = words[2];
    network.uplink = Unquoted(words[4]);
  } else if (words.size() >= 6 && words[0] == "iifname") {
    cidr = words[4];
    network.uplink = Unquoted(words[1]);
  }
  const Result<Ipv4Prefix> prefix = ParsePrefix(cidr);
  if (!prefix.ok()) return std::nullopt;
  network.cidr = *prefix;
  return network;
}

class Reader {
 public:
  void Read(const std::string& listing) {
    std::istringstream lines(listing);
    for (std::string line; std::getline(lines, line);) ReadLine(std::string(Trimmed(line)));
  }

  // A network is what its rules say together; rules that miss a partner are unexpected.
  FirewallRules Finish() {
    for (auto& [cidr, found] : found_) {
      FirewallNetwork& network = found.network;
      network.isolated = Holds(found.forward, IsolationRule(network));
      network.masquerade = Holds(found.postrouting, MasqueradeRule(network));
      if (!network.masquerade) network.uplink.clear();
      Compare(ForwardRules(network), found.forward);
      Compare(PostroutingRules(network), found.postrouting);
      rules_.networks.push_back(network);
    }
    // A chain that no hook leads to is there in vain.
    for (const std::string_view hook : {kForwardHook, kPostroutingHook}) {
      if (!hooks_.contains(hook)) Miss(hook);
    }
    return std::move(rules_);
  }

 private:
  void ReadLine(const std::string& line) {
    if (line.empty() || line == "}" || line == "table inet forkplane {") return;
    if (line == "chain forward {" || line == "chain postrouting {") {
      chain_ = line.substr(6, line.size() - 8);
      return;
    }
    const bool forward = chain_ == "forward";
    const std::string_view hook = forward ? kForwardHook : kPostroutingHook;
    if (!chain_.empty() && line == hook) {
      hooks_.insert(hook);
      return;
    }
    const std::optional<FirewallNetwork> subject = SubjectOf(line);
    if (!subject || chain_.empty()) {
      rules_.unexpected.push_back(line);
      return;
    }
    Found& found = found_[subject->cidr];
    found.network.cidr = subject->cidr;
    if (!subject->uplink.empty()) found.network.uplink = subject->uplink;
    (forward ? found.forward : found.postrouting).push_back(line);
  }

  static bool Holds(const std::vector<std::string>& lines, const std::string& line) {
    return std::find(lines.begin(), lines.end(), line) != lines.end();
  }
  void Miss(std::string_view line) {
    rules_.unexpected.push_back(fmt::format("missing: {}", line));
  }

  // In their order too: the first rule that fits decides.
  void Compare(const std::vector<std::string>& wanted, const std::vector<std::string>& found) {
    if (found == wanted) return;
    for (const std::string& rule : wanted) {
      if (!Holds(found, rule)) Miss(rule);
    }
    for (const std::string& rule : found) {
      if (!Holds(wanted, rule)) rules_.unexpected.push_back(rule);
    }
    if (found.size() >= wanted.size()) rules_.unexpected.push_back("not in order, or twice");
  }

  FirewallRules rules_;
  std::string chain_;
  std::set<std::string_view> hooks_;
  std::map<Ipv4Prefix, Found> found_;
};

}  // namespace

Result<std::string> CommandsFor(const FirewallRules& rules) {
  RETURN_IF_ERROR(Validate(rules));
  std::string forward;
  std::string postrouting;
  for (const FirewallNetwork& network : rules.networks) {
    for (const std::string& rule : ForwardRules(network)) forward += rule + "\n";
    for (const std::string& rule : PostroutingRules(network)) postrouting += rule + "\n";
  }
  // Add before delete, so that the delete never fails.
  return fmt::format(
      "add table inet {0}\ndelete table inet {0}\ntable inet {0} {{\n"
      "chain forward {{\n{1}\n{2}}}\nchain postrouting {{\n{3}\n{4}}}\n}}\n",
      kFirewallTable, kForwardHook, forward, kPostroutingHook, postrouting);
}

FirewallRules ReadListing(const std::string& listing) {
  Reader reader;
  reader.Read(listing);
  return reader.Finish();
}

}  // namespace forkplane::nftables
