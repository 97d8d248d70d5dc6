#include "tests/kernel/healing/portrait.h"

#include <bpf/bpf.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <sstream>
#include <vector>

#include "controller/base/unique_fd.h"
#include "drivers/bpf/identity_map.h"
#include "tests/kernel/healing/commands.h"

namespace forkplane::healing {
namespace {

using Json = nlohmann::json;

constexpr const char* kTaps[] = {"fk46000001", "fk46000002"};
constexpr std::uint32_t kTapIndexes[] = {0x46000001, 0x46000002};

// What a command that fails says is part of the picture: "does not exist".
std::string Look(const std::string& line) {
  auto output = RunLine(line);
  return output.ok() ? std::move(output).value() : output.error().message;
}

Json LookJson(const std::string& line) {
  // Refused when what it lists changes meanwhile.
  Json json = Json::parse(Look(line), nullptr, false);
  return json.is_discarded() ? Json::array() : json;
}

bool IsOurs(const std::string& device) {
  return device == kTaps[0] || device == kTaps[1] || device == "fkifb0" || device == "fkbr0";
}

// Without the timers of bridges and ports.
std::string StandingStill(const std::string& text) {
  std::string result;
  bool timer = false;
  for (const std::string& word : WordsOf(text)) {
    if (!std::exchange(timer, word.ends_with("_timer"))) result += word + " ";
  }
  return result + "\n";
}

// Without the addresses that packets put into sets.
std::string Rules() {
  std::istringstream lines(Look("nft -s list table inet forkplane"));
  std::string text;
  for (std::string line; std::getline(lines, line);) {
    const auto has = [&](std::string_view words) { return line.find(words) != std::string::npos; };
    const bool counted = has("limit rate") || has("ct count") || has(" counter");
    // An element's own; that of its set begins a line. What is left of it is not always shown.
    const bool ages = has(" timeout ") || has(" expires ");
    if (!ages && (!counted || has("update @"))) text += line + "\n";
  }
  return text;
}

std::string Lines(std::vector<std::string> lines) {
  std::sort(lines.begin(), lines.end());
  std::string text;
  for (const auto& line : lines) text += line + "\n";
  return text;
}

std::string LinkLine(const Json& link) {
  Json picture;
  for (const char* key : {"ifindex", "ifname", "mtu", "master", "ifalias"}) {
    picture[key] = link.value(key, Json());
  }
  const Json flags = link.value("flags", Json::array());
  picture["up"] = std::find(flags.begin(), flags.end(), "UP") != flags.end();
  const Json info = link.value("linkinfo", Json::object());
  picture["kind"] = info.value("info_kind", "");
  if (picture["kind"] != "ifb") picture["address"] = link.value("address", "");  // never used
  picture["isolated"] = info.value("info_slave_data", Json::object()).value("isolated", Json());
  for (const Json& address : link.value("addr_info", Json::array())) {
    picture["addresses"].push_back(fmt::format("{}/{} {}", address.value("local", ""),
                                               address.value("prefixlen", 0),
                                               address.value("scope", "")));
  }
  return picture.dump();
}

// By index: a name is what somebody may have changed.
std::string Links() {
  std::vector<std::string> lines;
  for (const Json& link : LookJson("ip -j -d addr show")) {
    const std::uint32_t index = link.value("ifindex", 0U);
    const bool mark = index == 0x470000ff;
    if (index >> 24 >= 0x46 && index >> 24 <= 0x48 && !mark) lines.push_back(LinkLine(link));
  }
  return Lines(std::move(lines));
}

bool IsRuleOfOurs(const Json& rule) { return rule.value("fwmark", "") == "0x4e000000"; }

std::string Routes() {
  std::vector<std::string> lines;
  for (Json route : LookJson("ip -j -4 route show table main")) {
    const bool blackhole = route.value("type", "") == "blackhole";
    if (!blackhole && route.value("dev", "") != "fkbr0") continue;
    route.erase("flags");
    lines.push_back(route.dump());
  }
  for (const Json& rule : LookJson("ip -j rule show")) {
    if (IsRuleOfOurs(rule)) lines.push_back(rule.dump());
  }
  return Lines(std::move(lines));
}

std::string Neighbours() {
  std::vector<std::string> lines;
  for (const Json& neighbour : LookJson("ip -j -4 neigh show")) {
    if (neighbour.value("dev", "") == "fkbr0") lines.push_back(neighbour.dump());
  }
  return Lines(std::move(lines));
}

std::string Qdiscs() {
  std::vector<std::string> lines;
  for (Json qdisc : LookJson("tc -j qdisc show")) {
    if (!IsOurs(qdisc.value("dev", ""))) continue;
    const std::string kind = qdisc.value("kind", "");
    const bool chosen = kind != "tbf" && kind != "htb" && kind != "clsact";
    if (chosen) qdisc.erase("handle");
    qdisc.erase("refcnt");
    if (qdisc.contains("options")) qdisc["options"].erase("direct_packets_stat");
    lines.push_back(qdisc.dump());
  }
  return Lines(std::move(lines));
}

std::string Classes() {
  std::vector<std::string> lines;
  std::istringstream stream(Look("tc class show dev fkifb0"));
  for (std::string line; std::getline(stream, line);) {
    std::vector<std::string> words = WordsOf(line);
    const auto leaf = std::find(words.begin(), words.end(), "leaf");
    if (leaf != words.end()) words.erase(leaf, leaf + 2);
    lines.push_back(fmt::format("{}", fmt::join(words, " ")));
  }
  return Lines(std::move(lines));
}

std::string Filters() {
  std::string text;
  for (const char* tap : kTaps) {
    for (const char* side : {"ingress", "egress"}) {
      std::istringstream lines(Look(fmt::format("tc filter show dev {} {}", tap, side)));
      for (std::string line; std::getline(lines, line);) {
        if (line.rfind("\tindex", 0) != 0) text += line + "\n";  // an action's number
      }
    }
  }
  return text;
}

std::string Sysctls() {
  return Look(
      "sysctl net.ipv4.ip_forward net.ipv4.conf.up0.forwarding net.ipv6.conf.fkbr0.disable_ipv6 "
      "net.ipv4.conf.fkbr0.forwarding net.ipv4.conf.fkbr0.rp_filter "
      "net.ipv4.conf.fkbr0.src_valid_mark "
      "net.ipv6.conf.fkifb0.disable_ipv6 net.ipv6.conf.fk46000001.disable_ipv6");
}

std::string Entries(const std::string& pins) {
  const UniqueFd map(bpf_obj_get((pins + "/identities").c_str()));
  std::string text;
  for (const std::uint32_t index : kTapIndexes) {
    fk_identity entry = {};
    const bool found = bpf_map_lookup_elem(map.get(), &index, &entry) == 0;
    const auto* bytes = reinterpret_cast<const unsigned char*>(&entry);
    text +=
        fmt::format("{:x}: {} {:02x}\n", index, found, fmt::join(bytes, bytes + sizeof entry, ""));
  }
  return text;
}

}  // namespace

std::string PortraitOf(Part part, const std::string& pins) {
  switch (part) {
    case Part::kLinks:
      return Links();
    case Part::kRoutes:
      return Routes();
    case Part::kNeighbours:
      return Neighbours();
    case Part::kQdiscs:
      return Qdiscs();
    case Part::kClasses:
      return Classes();
    case Part::kFilters:
      return Filters();
    case Part::kFirewall:
      return Rules();
    case Part::kSysctls:
      return Sysctls();
    case Part::kEntries:
      return Entries(pins);
  }
  return {};
}

std::string PortraitOfAll(const std::string& pins) {
  std::string text;
  for (const Part part : kParts) text += PortraitOf(part, pins);
  return text;
}

std::string PortraitOfOthers() {
  // One command a device, so that ours do not show.
  std::string text;
  for (const char* device : {"up0", "fkbr77", "fk47", "fkifbx", "fk46000099"}) {
    for (const char* look :
         {"ip -d link show dev {}", "ip addr show dev {}", "ip neigh show dev {}",
          "ip route show table all dev {}", "tc qdisc show dev {}", "tc class show dev {}",
          "tc filter show dev {} ingress", "tc filter show dev {} egress",
          "tc filter show dev {}"}) {
      std::istringstream lines(Look(fmt::format(fmt::runtime(look), device)));
      text += fmt::format("# {}\n", look);
      for (std::string line; std::getline(lines, line);) text += StandingStill(line);
    }
  }
  text += Look("ip -d route show table 77");
  for (const Json& rule : LookJson("ip -j rule show")) {
    if (!IsRuleOfOurs(rule)) text += rule.dump() + "\n";
  }
  text += Look("nft -s list table inet forkplane2") + Look("nft -s list table ip filter");
  return text;
}

}  // namespace forkplane::healing
