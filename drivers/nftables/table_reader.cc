// What nft lists, as a table and as a value.
#include <algorithm>
#include <charconv>
#include <sstream>
#include <string_view>

#include "controller/base/network_names.h"
#include "drivers/nftables/table.h"

namespace forkplane::nftables {
namespace {

using drivers::Egress;
using drivers::FirewallNetwork;
using drivers::FirewallRules;
using drivers::Opening;

constexpr std::string_view kElements = "elements = {";
constexpr std::string_view kInternet = "goto internet";
constexpr std::string_view kBounds = "jump bounds_";

std::string_view Trimmed(std::string_view line) {
  const std::size_t first = line.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return line.substr(first, line.find_last_not_of(" \t") - first + 1);
}

std::vector<std::string> Split(std::string_view text, std::string_view by) {
  std::vector<std::string> parts;
  while (true) {
    const std::size_t at = text.find(by);
    const std::string_view part = Trimmed(text.substr(0, at));
    if (!part.empty()) parts.emplace_back(part);
    if (at == std::string_view::npos) return parts;
    text.remove_prefix(at + by.size());
  }
}

std::string Unquoted(const std::string& word) {
  if (word.size() < 2 || word.front() != '"' || word.back() != '"') return {};
  return word.substr(1, word.size() - 2);
}

bool IsPart(std::string_view line) {
  const bool named =
      line.starts_with("set ") || line.starts_with("map ") || line.starts_with("chain ");
  return named && line.ends_with(" {");
}

// Whose elements the kernel adds from packets.
bool IsOfPackets(const std::vector<std::string>& lines) {
  return std::any_of(lines.begin(), lines.end(),
                     [](const std::string& line) { return line.starts_with("flags dynamic"); });
}

class Reader {
 public:
  void ReadLine(std::string_view line) {
    if (in_elements_) return AddElements(line);
    if (line.empty() || line == fmt::format("table inet {} {{", kFirewallTable)) return;
    if (line == "}") {
      part_ = nullptr;
    } else if (IsPart(line)) {
      head_ = line.substr(0, line.size() - 2);
      part_ = &table_.parts[head_];
    } else if (part_ != nullptr && line.starts_with(kElements)) {
      in_elements_ = true;
      AddElements(line.substr(kElements.size()));
    } else if (part_ != nullptr) {
      part_->emplace_back(line);
    } else {
      table_.others.emplace_back(line);
    }
  }
  Table Finish() { return std::move(table_); }

 private:
  void AddElements(std::string_view text) {
    const std::size_t end = text.find('}');
    if (!IsOfPackets(*part_)) {
      std::set<std::string>& elements = table_.elements[head_.substr(head_.find(' ') + 1)];
      for (std::string& element : Split(text.substr(0, end), ",")) {
        elements.insert(std::move(element));
      }
    }
    in_elements_ = end == std::string_view::npos;
  }

  Table table_;
  std::string head_;
  std::vector<std::string>* part_ = nullptr;
  bool in_elements_ = false;
};

std::optional<std::uint32_t> ParseNumber(std::string_view text) {
  std::uint32_t value = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), value);
  if (read.ec != std::errc() || read.ptr != text.data() + text.size()) return std::nullopt;
  return value;
}

// "a-b", or "a" alone.
template <typename T, typename Parse>
bool ParseRange(const std::string& text, const Parse& parse, T& first, T& last) {
  const std::size_t dash = text.find('-');
  const auto from = parse(text.substr(0, dash));
  const auto to = dash == std::string::npos ? from : parse(text.substr(dash + 1));
  if (!from || !to) return false;
  first = static_cast<T>(*from);
  last = static_cast<T>(*to);
  return true;
}

std::optional<Opening> ParseOpening(const std::string& addresses, const std::string& protocol,
                                    const std::string& port) {
  Opening box;
  if (addresses.find('/') != std::string::npos) {
    const auto block = ParsePrefix(addresses);
    if (!block.ok()) return std::nullopt;
    box = Opening::Of(*block);
  } else {
    const auto parse = [](const std::string& text) -> std::optional<Ipv4> {
      const auto address = ParseIpv4(text);
      return address.ok() ? std::optional(*address) : std::nullopt;
    };
    if (!ParseRange(addresses, parse, box.first, box.last)) return std::nullopt;
  }
  if (!ParseRange(protocol, ParseNumber, box.protocol_first, box.protocol_last)) return {};
  if (!ParseRange(port, ParseNumber, box.port_first, box.port_last)) return {};
  return box;
}

// Fills Networks in from elements; what it does not understand shows as a difference later.
class Builder {
 public:
  explicit Builder(const Elements& elements) : elements_(elements) {
    for (const std::string& element : Of("cidrs")) {
      const auto cidr = ParsePrefix(element);
      if (!cidr.ok()) continue;
      FirewallNetwork& network = networks_[element];
      network.cidr = *cidr;
      network.masquerade = Of("nat").contains(element);
      network.host_access = Of("host").contains(element);
      network.metadata_access = Of("metadata").contains(element);
      network.isolated = !Of("open").contains(fmt::format("{0} . {0}", element));
    }
  }

  FirewallRules Build() {
    for (const std::string& element : Of("egress")) ReadEgress(Split(element, " : "));
    for (const std::string& element : Of("classes")) ReadClass(Split(element, " : "));
    for (const std::string& element : Of("ways")) ReadWay(Split(element, " . "));
    for (const std::string& element : Of("probes")) ReadProbe(Split(element, " . "));
    ReadOpenings("allow", &FirewallNetwork::allow, 0, 1);
    ReadOpenings("services", &FirewallNetwork::services, 0, 1);
    ReadOpenings("ingress", &FirewallNetwork::ingress, 1, 0);
    FirewallRules rules;
    for (auto& [text, network] : networks_) rules.networks.push_back(std::move(network));
    for (const std::string& name : Of("opened")) rules.opened.insert(Unquoted(name));
    for (const std::string& name : Of("unshaped")) rules.unshaped.insert(Unquoted(name));
    return drivers::Canonical(std::move(rules));
  }

 private:
  const std::set<std::string>& Of(const std::string& set) const {
    static const std::set<std::string> kNone;
    const auto found = elements_.find(set);
    return found == elements_.end() ? kNone : found->second;
  }
  FirewallNetwork* Find(const std::string& cidr) {
    const auto found = networks_.find(cidr);
    return found == networks_.end() ? nullptr : &found->second;
  }
  void ReadEgress(const std::vector<std::string>& words) {
    FirewallNetwork* network = words.size() == 2 ? Find(words[0]) : nullptr;
    if (network == nullptr) return;
    if (words[1] == kInternet) network->egress = Egress::kInternet;
    if (words[1] == "accept") network->egress = Egress::kAll;
  }
  void ReadClass(const std::vector<std::string>& words) {
    FirewallNetwork* network = words.size() == 2 ? Find(words[0]) : nullptr;
    if (network == nullptr || !words[1].starts_with(kBounds)) return;
    network->connections_max =
        ParseNumber(std::string_view(words[1]).substr(kBounds.size())).value_or(0);
  }
  void ReadWay(const std::vector<std::string>& words) {
    FirewallNetwork* network = words.size() == 2 ? Find(words[0]) : nullptr;
    if (network != nullptr) network->uplink = Unquoted(words[1]);
  }
  void ReadProbe(const std::vector<std::string>& words) {
    const auto address = words.size() == 2 ? ParseIpv4(words[1]) : Result<Ipv4>(Ipv4{});
    if (!address.ok() || address->empty()) return;
    for (auto& [text, network] : networks_) {
      if (network.cidr.Contains(*address)) network.bridge = Unquoted(words[0]);
    }
  }
  void ReadOpenings(const std::string& set, std::vector<Opening> FirewallNetwork::*boxes,
                    std::size_t own, std::size_t remote) {
    for (const std::string& element : Of(set)) {
      const std::vector<std::string> words = Split(element, " . ");
      FirewallNetwork* network = words.size() == 4 ? Find(words[own]) : nullptr;
      if (network == nullptr) continue;
      const auto box = ParseOpening(words[remote], words[2], words[3]);
      if (box) (network->*boxes).push_back(*box);
    }
  }

  const Elements& elements_;
  std::map<std::string, FirewallNetwork> networks_;  // by cidr, as text
};

void CompareParts(const Parts& wanted, const Parts& found, std::vector<std::string>& differences) {
  for (const auto& [head, lines] : wanted) {
    const auto is = found.find(head);
    if (is == found.end()) {
      differences.push_back(fmt::format("missing: {}", head));
    } else if (is->second != lines) {
      differences.push_back(fmt::format("{} differs: {}", head, fmt::join(is->second, "; ")));
    }
  }
  for (const auto& [head, lines] : found) {
    if (!wanted.contains(head)) differences.push_back(head);
  }
}

void CompareElements(const Elements& wanted, const Elements& found, std::string_view what,
                     std::vector<std::string>& differences) {
  for (const auto& [set, elements] : found) {
    const auto other = wanted.find(set);
    for (const std::string& element : elements) {
      if (other != wanted.end() && other->second.contains(element)) continue;
      differences.push_back(fmt::format("{} of {}: {}", what, set, element));
    }
  }
}

}  // namespace

Table ReadListing(const std::string& listing) {
  Reader reader;
  std::istringstream lines(listing);
  for (std::string line; std::getline(lines, line);) reader.ReadLine(Trimmed(line));
  return reader.Finish();
}

FirewallRules RulesOf(const Table& table) {
  FirewallRules rules = Builder(table.elements).Build();
  const Table wanted = TableOf(rules);
  rules.unexpected = table.others;
  CompareParts(wanted.parts, table.parts, rules.unexpected);
  CompareElements(wanted.elements, table.elements, "element", rules.unexpected);
  CompareElements(table.elements, wanted.elements, "missing element", rules.unexpected);
  return rules;
}

std::vector<drivers::RefusedFlows> ReadRefused(const std::string& listing) {
  std::vector<drivers::RefusedFlows> refused;
  const std::size_t start = listing.find(kElements);
  if (start == std::string::npos) return refused;
  const std::string_view text = std::string_view(listing).substr(start + kElements.size());
  for (const std::string& element : Split(text.substr(0, text.find('}')), ",")) {
    std::istringstream stream(element);
    std::vector<std::string> words;
    for (std::string word; stream >> word;) words.push_back(word);
    const auto count = std::find(words.begin(), words.end(), "packets");
    const auto address = words.empty() ? Result<Ipv4>(Ipv4{}) : ParseIpv4(words.front());
    if (count == words.end() || count + 1 == words.end() || !address.ok()) continue;
    const auto packets = ParseNumber(*(count + 1));
    refused.push_back({*address, packets.value_or(0)});
  }
  std::sort(refused.begin(), refused.end());
  return refused;
}

}  // namespace forkplane::nftables
