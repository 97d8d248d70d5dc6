// The documents of a scanned tree as objects to apply.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "controller/manifests/tree_scan.h"
#include "crd/json.h"

namespace forkplane::manifests {

struct Manifest {
  std::string path;  // relative to the root
  int line = 0;      // where the document begins
  std::string group;
  std::string version;
  std::string kind;
  std::string ns;  // as written; "" when not
  std::string name;
  std::shared_ptr<const crd::Json> object;  // without status and what the server writes itself
};

// One thing an operator must mend, with the place.
struct Problem {
  std::string where;   // "vms/a.yaml:12", "vms/a.yaml", or the directory
  std::string object;  // "VirtualMachine default/a", or "" when the document does not tell
  std::string message;
  auto operator<=>(const Problem&) const = default;
};

struct ParsedTree {
  // In the order in which objects need each other: definitions, namespaces, configuration,
  // networks, then the rest; by path and line within.
  std::vector<Manifest> manifests;
  std::vector<Problem> problems;
  // Whether every document told which object it means. If not, an object that seems to be gone may
  // be in the document that cannot be read, and nothing may be pruned.
  bool identities_known = true;
};

ParsedTree ParseTree(const TreeScan& scan);

// Position in the order of applying; pruning goes the other way.
int ApplyRank(const std::string& kind);

// "vms/a.yaml:12"
std::string Where(const Manifest& manifest);
// "VirtualMachine default/a"
std::string Name(const Manifest& manifest);

}  // namespace forkplane::manifests
