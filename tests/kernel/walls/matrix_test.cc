// Goal: who reaches whom is what a Network's spec says, for every pair and direction, each protocol
// and each switch. Method: one table of expectations, one loop; real rules made from a spec by
// RuleOf, hosts that are network namespaces, packets of their own stacks.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <map>

#include "drivers/nftables/firewall.h"
#include "reconcilers/network/rules.h"
#include "tests/kernel/healing/commands.h"
#include "tests/kernel/walls/places.h"
#include "tests/support/netns.h"

namespace forkplane::walls {
namespace {

// Guests of one Network, `a` and `b`; one of another, `c`; a host behind a second link, `lan`,
// whose addresses are private; `out` behind the default route, with addresses of the Internet and
// of a cloud's metadata service.
constexpr const char* kInternet = "192.0.2.9";
constexpr const char* kMetadata = "169.254.169.254";
constexpr const char* kLan = "10.50.0.2";
constexpr const char* kUplinkAddress = "203.0.113.2";
constexpr const char* kGateway = "10.1.0.1";

struct Switch {
  const char* name;
  void (*set)(crd::NetworkSpec& spec);
};

// Of the Network of a and b; the other keeps the defaults.
const std::vector<Switch> kSwitches = {
    {"defaults", [](crd::NetworkSpec&) {}},
    {"isolation: false", [](crd::NetworkSpec& spec) { spec.isolation = false; }},
    {"egress All", [](crd::NetworkSpec& s) { s.egress.policy = crd::EgressPolicy::kAll; }},
    {"egress None", [](crd::NetworkSpec& s) { s.egress.policy = crd::EgressPolicy::kNone; }},
    {"None, allow lan TCP",
     [](crd::NetworkSpec& s) {
       s.egress.policy = crd::EgressPolicy::kNone;
       s.egress.allow = {{"10.50.0.0/24", {{crd::Transport::kTcp, kPort, {}}}}};
     }},
    {"nat None", [](crd::NetworkSpec& spec) { spec.nat = crd::Nat::kNone; }},
    {"hostAccess", [](crd::NetworkSpec& spec) { spec.host_access = crd::Access::kAllowed; }},
    {"metadataAccess",
     [](crd::NetworkSpec& spec) { spec.metadata_access = crd::Access::kAllowed; }},
    {"ingress All", [](crd::NetworkSpec& spec) { spec.ingress.policy = crd::IngressPolicy::kAll; }},
    {"ingress from lan TCP",
     [](crd::NetworkSpec& spec) {
       spec.ingress.allow = {{"10.50.0.0/24", {{crd::Transport::kTcp, kPort, {}}}}};
     }},
    {"uplink lan0", [](crd::NetworkSpec& spec) { spec.uplink.interface = "lan0"; }},
    {"dns, egress None",
     [](crd::NetworkSpec& spec) {
       spec.egress.policy = crd::EgressPolicy::kNone;
       spec.dns = {kLan, kGateway};
     }},
};

// What passes (T, U, I: TCP, UDP, ICMP echo), by default and with the switches that make a
// difference.
struct Row {
  const char* from;
  const char* to;
  const char* by_default;
  std::map<std::string, const char*> with;
};

const std::vector<Row> kRows = {
    {"a", "10.1.0.12", "", {{"isolation: false", "TUI"}}},
    {"a", "10.2.0.11", "", {}},
    {"c", "10.1.0.11", "", {}},
    {"a", kGateway, "I", {{"hostAccess", "TUI"}, {"dns, egress None", "TUI"}}},
    {"a", kUplinkAddress, "I", {{"hostAccess", "TUI"}}},
    {"a", "10.2.0.1", "I", {{"hostAccess", "TUI"}}},
    {"c", kGateway, "I", {}},
    {"a",
     kLan,
     "",
     {{"egress All", "TUI"},
      {"None, allow lan TCP", "T"},
      {"nat None", "TUI"},
      {"dns, egress None", "TU"}}},
    {"a",
     kInternet,
     "TUI",
     {{"egress None", ""},
      {"None, allow lan TCP", ""},
      {"uplink lan0", ""},
      {"dns, egress None", ""}}},
    {"c", kInternet, "TUI", {}},
    {"c", kLan, "", {}},
    {"a", kMetadata, "", {{"metadataAccess", "TUI"}}},
    {"c", kMetadata, "", {}},
    {"host", "10.1.0.11", "TUI", {}},
    {"host", "10.2.0.11", "TUI", {}},
    {"out", "10.1.0.11", "", {{"ingress All", "TUI"}}},
    {"out", "10.2.0.11", "", {}},
    {"lan", "10.1.0.11", "", {{"ingress All", "TUI"}, {"ingress from lan TCP", "T"}}},
    {"lan", "10.2.0.11", "", {}},
    {"lan", kUplinkAddress, "TUI", {}},  // the host's own business
};

void Must(const std::vector<std::string>& lines) {
  const Status status = healing::RunAll(lines);
  ASSERT_TRUE(status.ok()) << status.error().message;
}

class Matrix {
 public:
  Matrix() {
    Must({"ip link set lo up", "sysctl -qw net.ipv4.ip_forward=1",
          "sysctl -qw net.ipv4.conf.all.rp_filter=0"});
    AddGuest("a", "fk46000001", "10.1.0.11", kGateway);
    AddGuest("b", "fk46000002", "10.1.0.12", kGateway);
    AddGuest("c", "fk46000003", "10.2.0.11", "10.2.0.1");
    AddOther("out", "up0", {"203.0.113.1", kInternet, kMetadata}, kUplinkAddress, "203.0.113.1");
    AddOther("lan", "lan0", {kLan}, "10.50.0.1", kLan);
    Must({"ip route add default via 203.0.113.1 dev up0 onlink",
          fmt::format("ip route add {} via 203.0.113.1 dev up0 onlink", kMetadata)});
    places_.emplace("host", Place("host", "", {kGateway, "10.2.0.1", kUplinkAddress, "10.50.0.1"}));
    for (auto& [name, place] : places_) {
      place.Serve();
      all_.push_back(&place);
    }
  }

  // How many attempts were judged. Every source seen outside is remembered in `outside`.
  int Judge(const std::string& with, std::vector<Ipv4>& outside) {
    std::vector<Attempt> attempts;
    for (const Row& row : kRows) {
      const auto special = row.with.find(with);
      const std::string passes = special != row.with.end() ? special->second : row.by_default;
      for (const char letter : {'T', 'U', 'I'}) {
        attempts.push_back({&places_.at(row.from), row.to, static_cast<Protocol>(letter),
                            passes.find(letter) != std::string::npos});
      }
    }
    Try(attempts, all_, {&places_.at("out"), &places_.at("lan")}, outside);
    for (const Attempt& attempt : attempts) {
      EXPECT_EQ(attempt.passed, attempt.expected)
          << with << ": " << attempt.from->name() << " -> " << attempt.to << ' '
          << static_cast<char>(attempt.protocol);
    }
    return static_cast<int>(attempts.size());
  }

 private:
  // Routed: its own link, with the gateway on it.
  void AddGuest(const char* name, const std::string& link, const std::string& address,
                const std::string& gateway) {
    Place place(name, link, {address});
    Must({fmt::format("ip addr add {}/32 dev {}", gateway, link),
          fmt::format("ip route add {}/32 dev {}", address, link)});
    place.Ip(fmt::format("route add default via {} dev e0 onlink", gateway));
    places_.emplace(name, std::move(place));
  }
  void AddOther(const char* name, const std::string& link, std::vector<std::string> addresses,
                const std::string& host, const std::string& peer) {
    Place place(name, link, std::move(addresses));
    Must({fmt::format("ip addr add {}/32 dev {}", host, link),
          fmt::format("ip route add {}/32 dev {}", peer, link)});
    place.Ip(fmt::format("route add default via {} dev e0 onlink", host));
    places_.emplace(name, std::move(place));
  }

  std::map<std::string, Place> places_;
  std::vector<const Place*> all_;
};

drivers::FirewallNetwork RuleFor(const char* cidr, const crd::NetworkSpec& spec) {
  ledger::NetworkLease lease;
  lease.parameters.cidr = ParseCidr(cidr).value();
  lease.parameters.isolation = spec.isolation;
  const auto rule = network::RuleOf(spec, lease);
  EXPECT_TRUE(rule.ok());
  return *rule;
}

TEST(WallsTest, WhoReachesWhomIsWhatTheSpecSays) {
  const std::string why = testing::WhyNoNetworkNamespace();
  if (!why.empty()) GTEST_SKIP() << why;
  testing::RunInNetworkNamespace([] {
    Matrix matrix;
    const auto firewall = *nftables::NftFirewallDriver::Open();
    int judged = 0;
    for (const Switch& with : kSwitches) {
      crd::NetworkSpec spec;
      with.set(spec);
      const Status replaced =
          firewall->Replace({{RuleFor("10.1.0.0/24", spec), RuleFor("10.2.0.0/24", {})}, {}, {}});
      ASSERT_TRUE(replaced.ok()) << replaced.error().message;
      std::vector<Ipv4> outside;
      judged += matrix.Judge(with.name, outside);
      const bool private_sources = std::any_of(outside.begin(), outside.end(), [](Ipv4 source) {
        return (source.value >> 16U) == 0x0a01U || (source.value >> 16U) == 0x0a02U;
      });
      EXPECT_EQ(private_sources, std::string(with.name) == "nat None") << with.name;
    }
    std::printf("walls: %d attempts judged\n", judged);
  });
}

// The oracle is no part of the rules: without them nearly everything passes.
TEST(WallsTest, WithoutRulesNothingIsClosed) {
  const std::string why = testing::WhyNoNetworkNamespace();
  if (!why.empty()) GTEST_SKIP() << why;
  testing::RunInNetworkNamespace([] {
    Place first("first", "fk46000001", {"10.1.0.11"});
    Must({"ip link set lo up", "ip addr add 10.1.0.1/32 dev fk46000001",
          "ip route add 10.1.0.11/32 dev fk46000001"});
    first.Ip("route add default via 10.1.0.1 dev e0 onlink");
    Place host("host", "", {"10.1.0.1"});
    first.Serve();
    host.Serve();
    std::vector<Ipv4> sources;
    for (const bool closed : {false, true}) {
      if (closed) {
        const auto firewall = *nftables::NftFirewallDriver::Open();
        ASSERT_TRUE(firewall->Replace({{RuleFor("10.1.0.0/24", {})}, {}, {}}).ok());
      }
      std::vector<Attempt> attempts = {{&first, "10.1.0.1", Protocol::kTcp, !closed},
                                       {&first, "10.1.0.1", Protocol::kUdp, !closed},
                                       {&first, "10.1.0.1", Protocol::kIcmp, true}};
      Try(attempts, {&first, &host}, {}, sources);
      for (const Attempt& attempt : attempts) EXPECT_EQ(attempt.passed, attempt.expected);
    }
  });
}

// Links whose forwarding is switched on for guests alone are no way through this host.
TEST(WallsTest, NothingPassesFromAnOpenedLinkToOthers) {
  const std::string why = testing::WhyNoNetworkNamespace();
  if (!why.empty()) GTEST_SKIP() << why;
  testing::RunInNetworkNamespace([] {
    Must({"ip link set lo up", "sysctl -qw net.ipv4.ip_forward=1"});
    Place out("out", "up0", {"203.0.113.1"});
    Place lan("lan", "lan0", {kLan});
    for (const auto& [place, link, host, peer] :
         {std::tuple(&out, "up0", kUplinkAddress, "203.0.113.1"),
          std::tuple(&lan, "lan0", "10.50.0.1", kLan)}) {
      Must({fmt::format("ip addr add {}/32 dev {}", host, link),
            fmt::format("ip route add {}/32 dev {}", peer, link)});
      place->Ip(fmt::format("route add default via {} dev e0 onlink", host));
      place->Serve();
    }
    const auto firewall = *nftables::NftFirewallDriver::Open();
    std::vector<Ipv4> sources;
    for (const bool opened : {false, true}) {
      const std::set<std::string> links =
          opened ? std::set<std::string>{"up0", "lan0"} : std::set<std::string>{};
      ASSERT_TRUE(firewall->Replace({{RuleFor("10.1.0.0/24", {})}, links, {}}).ok());
      std::vector<Attempt> attempts;
      for (const Protocol protocol : {Protocol::kTcp, Protocol::kUdp, Protocol::kIcmp}) {
        attempts.push_back({&out, kLan, protocol, !opened});
        attempts.push_back({&lan, "203.0.113.1", protocol, !opened});
      }
      Try(attempts, {&out, &lan}, {}, sources);
      for (const Attempt& attempt : attempts) {
        EXPECT_EQ(attempt.passed, attempt.expected) << attempt.from->name();
      }
    }
  });
}

}  // namespace
}  // namespace forkplane::walls
