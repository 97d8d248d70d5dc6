// cls_bpf filters on clsact and on HTB: messages that no library of ours builds.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "drivers/bpf/programs.h"
#include "drivers/identity_driver.h"
#include "drivers/netlink/socket.h"

namespace forkplane::bpf {

// A filter of ours, or what stands in its place.
struct Filter {
  std::uint16_t preference = 0;
  std::uint32_t handle = 0;
  std::uint32_t program_id = 0;  // 0: not a BPF filter
  bool direct_action = false;
  std::uint32_t mirred_index = 0;  // link that act_mirred redirects to; 0: no such action
  std::uint32_t class_id = 0;
};

// Where the filters of one direction of clsact hang.
std::uint32_t ParentOf(drivers::Direction direction);

// All filters below `parent` (a direction's, or kHtbHandle). Empty also when the link or the qdisc
// is missing.
Result<std::vector<Filter>> ListFilters(netlink::SharedSocket& socket, std::uint32_t index,
                                        std::uint32_t parent);

struct FilterSpec {
  std::uint32_t index = 0;
  std::uint32_t parent = 0;
  std::uint16_t preference = 0;
  std::uint32_t mirred_index = 0;  // 0: direct action
};
enum class Put : std::uint8_t {
  kAdd,      // Exists: one with this preference and handle is there
  kReplace,  // that one, in one step, or adds
};
// Refused (EINVAL) while a filter of another kind, or for one protocol, has the preference.
Status PutFilter(netlink::SharedSocket& socket, const FilterSpec& spec, const Program& program,
                 Put how);
// Makes it the only one of its preference. What stood there of our kind is replaced without a
// packet passing in between; what is of another kind has to go first. True: something stood there.
Result<bool> PutOnlyFilter(netlink::SharedSocket& socket, const FilterSpec& spec,
                           const Program& program);
// Removes whatever has this preference; with a handle, that one.
Status DeleteFilters(netlink::SharedSocket& socket, const FilterSpec& spec,
                     std::uint32_t handle = 0);

}  // namespace forkplane::bpf
