// What an operator, or a tool that believes to be alone, may do to each thing of ours
// (architecture.md section 4), and by what way it comes back.
#pragma once

#include <string>
#include <vector>

#include "tests/kernel/healing/portrait.h"

namespace forkplane::healing {

// What brings it back.
enum class Back : std::uint8_t {
  kByEvent,   // the kernel tells of it: at once
  kByResync,  // no group that we hear tells of it: map entries, nft rules, IPv6 switches
};

struct Sabotage {
  const char* name;
  // Command lines, in turn. "map delete" and "map change" are done to the pinned map with bpf(2);
  // {drop}, {answers} stand for the handles of those rules.
  std::vector<std::string> commands;
  // Where the damage shows; all of them must be whole again.
  std::vector<Part> parts;
  Back back = Back::kByEvent;
};
void PrintTo(const Sabotage& sabotage, std::ostream* out);

std::vector<Sabotage> OfTaps();
std::vector<Sabotage> OfUplink();
std::vector<Sabotage> OfNetwork();

}  // namespace forkplane::healing
