// What the directory asks for: its documents resolved to objects that this process serves. Pure.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "controller/manifests/manifest.h"
#include "controller/store/object.h"
#include "crd/type_registry.h"

namespace forkplane::manifests {

struct Wanted {
  store::ObjectKey key;
  Manifest manifest;
  // Where the kind keeps its number of replicas (".spec.replicas"); "" when it cannot be scaled.
  std::string replicas_path;
};

struct Desired {
  std::vector<Wanted> objects;  // in the order of ParsedTree::manifests
  std::vector<Problem> refused;
  // Documents of a kind whose definition is in the tree too: it is not served yet, or its own
  // document was refused.
  std::vector<Problem> waiting;
  std::vector<Problem> passed_over;
  std::map<std::string, FileFacts> files;
  std::set<std::string> mounts = {};  // as in TreeScan

  bool Wants(const store::ObjectKey& key) const { return keys.contains(key); }
  std::map<store::ObjectKey, std::string> keys = {};  // with the place
};

// Refused besides what the tree refuses: a kind that is not served, with what may have been meant,
// and the second of two documents for one object (which is written last must not depend on the
// order of files). Passed over: definitions of Forkplane's own kinds, which are built in.
Desired Understand(ParsedTree tree, const crd::TypeRegistry& types);

}  // namespace forkplane::manifests
