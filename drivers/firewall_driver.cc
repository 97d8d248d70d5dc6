#include "drivers/firewall_driver.h"

#include <algorithm>

namespace forkplane::drivers {
namespace {

constexpr std::size_t kLinkNameMax = 15;

std::uint64_t Volume(const Opening& box) {
  const std::uint64_t addresses = std::uint64_t{box.last.value} - box.first.value + 1;
  const std::uint64_t protocols = std::uint64_t{box.protocol_last} - box.protocol_first + 1;
  const std::uint64_t ports = std::uint64_t{box.port_last} - box.port_first + 1;
  return addresses * protocols * ports;
}

// What of `box` is outside of `hole`, which it overlaps: at most two boxes for each dimension.
std::vector<Opening> Outside(Opening box, const Opening& hole) {
  std::vector<Opening> parts;
  const auto cut = [&](auto Opening::*low, auto Opening::*high, const auto& one) {
    if (box.*low < hole.*low) {
      parts.push_back(box);
      parts.back().*high = one(hole.*low, -1);
      box.*low = hole.*low;
    }
    if (hole.*high < box.*high) {
      parts.push_back(box);
      parts.back().*low = one(hole.*high, 1);
      box.*high = hole.*high;
    }
  };
  const auto beside = [](auto value, int by) { return static_cast<decltype(value)>(value + by); };
  cut(&Opening::first, &Opening::last,
      [](Ipv4 address, int by) { return Ipv4{address.value + static_cast<std::uint32_t>(by)}; });
  cut(&Opening::protocol_first, &Opening::protocol_last, beside);
  cut(&Opening::port_first, &Opening::port_last, beside);
  return parts;
}

// The kernel's sets of ranges refuse elements that overlap, so the boxes are cut. Large ones come
// first: what they hold vanishes.
std::vector<Opening> Disjoint(std::vector<Opening> boxes) {
  std::sort(boxes.begin(), boxes.end(), [](const Opening& a, const Opening& b) {
    return Volume(a) != Volume(b) ? Volume(a) > Volume(b) : a < b;
  });
  std::vector<Opening> disjoint;
  for (const Opening& box : boxes) {
    std::vector<Opening> parts = {box};
    for (std::size_t i = 0; i < disjoint.size() && !parts.empty(); ++i) {
      std::vector<Opening> left;
      for (const Opening& part : parts) {
        if (!part.Overlaps(disjoint[i])) {
          left.push_back(part);
          continue;
        }
        for (const Opening& piece : Outside(part, disjoint[i])) left.push_back(piece);
      }
      parts = std::move(left);
    }
    disjoint.insert(disjoint.end(), parts.begin(), parts.end());
    if (disjoint.size() > kOpeningsMax) break;  // Validate refuses it
  }
  std::sort(disjoint.begin(), disjoint.end());
  return disjoint;
}

Status ValidateNetwork(const FirewallNetwork& network) {
  const std::string what = fmt::format("firewall for {}", ToString(network.cidr));
  if (network.cidr != network.cidr.Network()) return Invalid(what + ": host bits are set");
  for (const std::string& name : {network.uplink, network.bridge}) {
    if (!name.empty() && !CanNameLink(name)) {
      return Invalid(fmt::format("{}: link name '{}' cannot be used", what, name));
    }
  }
  if (network.connections_max == 0) return Invalid(what + ": no connection is allowed");
  for (const auto* boxes : {&network.allow, &network.ingress, &network.services}) {
    if (Disjoint(*boxes).size() > kOpeningsMax) {
      return Invalid(
          fmt::format("{}: its allow lists cut each other into more than {} parts; name "
                      "fewer, or blocks that do not overlap",
                      what, kOpeningsMax));
    }
  }
  return OkStatus();
}

std::string Describe(std::string_view what, const std::vector<Opening>& boxes) {
  std::string text;
  for (const Opening& box : boxes) {
    text += fmt::format(" {} {}-{} protocol {}-{} port {}-{}", what, ToString(box.first),
                        ToString(box.last), box.protocol_first, box.protocol_last, box.port_first,
                        box.port_last);
  }
  return text;
}

std::string_view NameOf(Egress egress) {
  switch (egress) {
    case Egress::kNone:
      return "None";
    case Egress::kInternet:
      return "Internet";
    case Egress::kAll:
      return "All";
  }
  return "";
}

}  // namespace

bool CanNameLink(const std::string& name) {
  return !name.empty() && name.size() <= kLinkNameMax &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return c > ' ' && c < 0x7f && c != '"' && c != '*' && c != '\\' && c != ',';
         });
}

std::string ToString(const FirewallRules& rules) {
  std::string text;
  for (const FirewallNetwork& network : rules.networks) {
    text += fmt::format(
        "{} bridge={} isolated={} masquerade={} egress={} host={} metadata={} uplink={} "
        "connections={}{}{}{}\n",
        ToString(network.cidr), network.bridge, network.isolated, network.masquerade,
        NameOf(network.egress), network.host_access, network.metadata_access, network.uplink,
        network.connections_max, Describe("allow", network.allow),
        Describe("ingress", network.ingress), Describe("services", network.services));
  }
  for (const std::string& link : rules.opened) text += fmt::format("opened {}\n", link);
  for (const std::string& link : rules.unshaped) text += fmt::format("unshaped {}\n", link);
  for (const std::string& line : rules.unexpected) text += fmt::format("unexpected {}\n", line);
  return text;
}

bool Opening::Overlaps(const Opening& other) const {
  return first <= other.last && other.first <= last && protocol_first <= other.protocol_last &&
         other.protocol_first <= protocol_last && port_first <= other.port_last &&
         other.port_first <= port_last;
}

Status Validate(const FirewallRules& rules) {
  std::vector<Ipv4Prefix> cidrs;
  for (const FirewallNetwork& network : rules.networks) {
    RETURN_IF_ERROR(ValidateNetwork(network));
    cidrs.push_back(network.cidr);
  }
  std::sort(cidrs.begin(), cidrs.end());
  for (std::size_t i = 1; i < cidrs.size(); ++i) {
    if (!cidrs[i].Overlaps(cidrs[i - 1])) continue;
    return Invalid(
        fmt::format("firewall for {}: overlaps {}", ToString(cidrs[i]), ToString(cidrs[i - 1])));
  }
  for (const auto* names : {&rules.opened, &rules.unshaped}) {
    for (const std::string& name : *names) {
      if (!CanNameLink(name)) return Invalid(fmt::format("link name '{}' cannot be used", name));
    }
  }
  return OkStatus();
}

FirewallRules Canonical(FirewallRules rules) {
  for (FirewallNetwork& network : rules.networks) {
    network.allow = Disjoint(std::move(network.allow));
    network.ingress = Disjoint(std::move(network.ingress));
    network.services = Disjoint(std::move(network.services));
  }
  std::sort(rules.networks.begin(), rules.networks.end());
  rules.unexpected.clear();
  return rules;
}

}  // namespace forkplane::drivers
