// The table as nft lists it with numeric output: parts (sets, maps, chains) and the elements of
// those that hold what is wanted. Pure.
//
// The parts are constant, but for a set and a chain for each number of connections that a Network
// allows. Rules, in drivers/firewall_driver.h's words:
//   - Spoofed sources are dropped at priority raw, before connection tracking: they cost no entry,
//     and "established" cannot be used by them. A source is right where the host would answer to
//     it (a route, also of a TAP without bridge); `probes` are what the host itself injects.
//   - `guest` ends with taking the unjudged mark off (network_names.h), all of it or, with
//     --redirect mark, down to the TAP's index: what this table does not see is thrown away.
//   - `classes` bounds the first packet of a connection only (status confirmed: bit 8): a stream
//     without answers stays "new" to the kernel, and is none.
//   - In `bounds_N` everything is dropped that did not fit into a set: written as "drop when over",
//     a full set would let everything pass (measured on 6.18). Its counts are per address, and
//     the kernel cannot be told another N for one element, hence a set for each N.
//   - A chain must not be called limits: nft 1.0.6 loads it and cannot list it.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "controller/base/result.h"
#include "drivers/firewall_driver.h"

namespace forkplane::nftables {

// By name, in nft's words ("10.0.0.0/24 : goto internet").
using Elements = std::map<std::string, std::set<std::string>>;
// By kind and name ("chain guest"): the lines inside.
using Parts = std::map<std::string, std::vector<std::string>>;

struct Table {
  Parts parts;
  Elements elements;
  std::vector<std::string> others;  // lines that belong to no part
};

// `rules` is canonical and valid.
Table TableOf(const drivers::FirewallRules& rules);
// What is there, as a value; with what differs from TableOf(value).
drivers::FirewallRules RulesOf(const Table& table);

Table ReadListing(const std::string& listing);

// Commands that make the table anew, in one transaction.
std::string CommandsFor(const Table& table);
// Commands from a table of ours to another, without touching what they share: established counts
// stay. "" when there is nothing to do.
std::string CommandsBetween(const Table& from, const Table& to);

// Elements of the set of refused addresses, as nft lists it with counters.
std::vector<drivers::RefusedFlows> ReadRefused(const std::string& listing);

inline constexpr const char* kRefusedSet = "refused";

}  // namespace forkplane::nftables
