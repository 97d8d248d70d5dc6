// The compiled programs and their maps, loaded into the kernel or adopted from bpffs.
//
// NOTE Adoption: pinned maps of the same layout are used on, so entries survive a restart. Pinned
// programs are used on when their code (the kernel's tag) and their maps equal ours, so TAPs keep
// what they run; else ours take their place in bpffs and TAPs show the old ones as stale. Maps of
// another layout stay with the old programs: new maps start empty.
#pragma once

#include <cstdint>
#include <string>

#include "controller/base/result.h"
#include "controller/base/unique_fd.h"

namespace forkplane::bpf {

struct Program {
  UniqueFd fd;
  std::uint32_t id = 0;  // as filters report it
  std::string name;
};

struct Programs {
  UniqueFd identities;
  UniqueFd counters;
  UniqueFd fragments;
  Program from_guest;
  Program from_guest_mirred;
  Program from_guest_mark;
  Program class_of_mark;
  Program match_all;
  Program to_guest;
};

// `pin_directory` empty: nothing is pinned or adopted.
Result<Programs> LoadPrograms(const std::string& pin_directory);

// Whether all of them stand in the directory. "": true.
Result<bool> ArePinned(const Programs& programs, const std::string& pin_directory);
// Makes it so.
Status PinPrograms(const Programs& programs, const std::string& pin_directory);

// Of any loaded program; "" when there is none of that id. At most 15 characters (the kernel's
// BPF_OBJ_NAME_LEN).
std::string ProgramName(std::uint32_t id);

}  // namespace forkplane::bpf
