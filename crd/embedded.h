// Files that are part of the binary; the functions are made by crd/embed.cmake.
#pragma once

#include <string_view>
#include <vector>

namespace forkplane::crd {

struct EmbeddedFile {
  std::string_view name;  // "virtual_machine.yaml"
  std::string_view text;
};

// The six CustomResourceDefinition documents (crd/schema/*.yaml).
std::vector<EmbeddedFile> EmbeddedCrds();
// crd/schema/builtin/*.yaml.
std::vector<EmbeddedFile> EmbeddedBuiltIns();

}  // namespace forkplane::crd
