// What an operator, or a tool that believes to be alone, may do to each thing of ours
// (architecture.md section 4), and by what way it comes back.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "drivers/link_events.h"
#include "tests/kernel/healing/portrait.h"

namespace forkplane::healing {

// By which group of its events the kernel tells of it; then it comes back at once.
enum class Told : std::uint8_t {
  kLink,
  kTc,
  kAddress,
  kRoute,
  kNeighbour,
  kSwitch,
  kFirewall,
  kRule,
  kResync,  // none that we hear: map entries, IPv6 switches, pins
};
std::string_view ToString(Told told);
Told ToldBy(const drivers::LinkEvent& event);

struct Sabotage {
  const char* name;
  // Command lines, in turn. "map delete" and "map change" are done to the pinned map with bpf(2);
  // {drop}, {answers} stand for the handles of those rules, {pins} for
  // the folder of the pins.
  std::vector<std::string> commands;
  // Where the damage shows; all of them must be whole again.
  std::vector<Part> parts;
  Told told = Told::kLink;
};
void PrintTo(const Sabotage& sabotage, std::ostream* out);

std::vector<Sabotage> OfTaps();
std::vector<Sabotage> OfUplink();
std::vector<Sabotage> OfNetwork();

// All of them, as docs/healing.md has it.
std::string HealingTable();

}  // namespace forkplane::healing
