// Which module of the kernel a refused table lacks. libnftables says only "No such file or
// directory"; each feature that the table uses is tried alone, in a transaction that takes itself
// back.
#pragma once

#include <functional>
#include <span>
#include <string>

#include "controller/base/result.h"

namespace forkplane::nftables {

struct Feature {
  const char* module;
  const char* option;  // of the kernel's configuration
  const char* chain;   // type, hook and priority of the chain that it is tried in
  const char* rule;
};

// Those of drivers/nftables/table.cc, each after what it stands on.
std::span<const Feature> FeaturesOfTable();

// Unavailable with ENOENT, naming the first of `features` that `run` refuses, and the remedy;
// `plain` when it takes them all.
Error NameMissing(std::span<const Feature> features,
                  const std::function<Status(const std::string& commands)>& run,
                  const Error& plain);
// The same, of a module that is known.
Error MissingModule(const char* module, const char* option);

}  // namespace forkplane::nftables
