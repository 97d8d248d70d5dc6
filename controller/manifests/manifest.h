// The documents of a scanned tree, each with a verdict: understood, refused, or no Kubernetes
// object and passed over. Pure.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "controller/manifests/tree_scan.h"
#include "crd/json.h"

namespace forkplane::manifests {

// Annotations that are ours. What a document says in them is not applied.
inline constexpr const char* kAnnotationPrefix = "manifests.forkplane.dev/";
inline constexpr const char* kSourceAnnotation = "manifests.forkplane.dev/source";

struct Manifest {
  std::string path;        // relative to the root
  int line = 0;            // where the document begins
  std::string mount = {};  // as in ScannedFile
  std::string group;
  std::string version;
  std::string kind;
  std::string ns;  // as written; "" when not
  std::string name;
  // Without status, and without the metadata that a server or its loops write: an object that was
  // saved with `kubectl get -o yaml` can be applied, and grows by nothing each time.
  std::shared_ptr<const crd::Json> object;
};

// One thing an operator must mend or may want to know, with the place.
struct Problem {
  std::string where;   // "vms/a.yaml:12", "vms/a.yaml", or the directory
  std::string object;  // "VirtualMachine default/a", or "" when the document does not tell
  std::string message;
  auto operator<=>(const Problem&) const = default;
};

// What is to be known of a file when objects that were in it are in no document any more.
struct FileFacts {
  int objects = 0;       // documents that were understood
  bool blank = false;    // nothing at all, not even a comment, or lists without items
  bool foreign = false;  // it has a document that is no Kubernetes object
  bool cut = false;      // YAML whose last line does not end
};

struct ParsedTree {
  // In the order in which objects need each other: definitions, namespaces, configuration,
  // networks, then the rest; by path and line within.
  std::vector<Manifest> manifests;
  // Files and documents that are not understood. Any object that seems to be gone may be in one of
  // them.
  std::vector<Problem> refused;
  // What is meant for somebody else, or said where we do not read it; it holds nothing.
  std::vector<Problem> passed_over;
  std::map<std::string, FileFacts> files;  // by path
  std::set<std::string> mounts = {};       // as in TreeScan
};

// No Kubernetes object: kinds of kustomize (`kustomize.config.k8s.io`) and documents that are a
// list or a map without kind, metadata and spec (values.yaml, docker-compose.yml, Chart.yaml,
// package.json). Everything else either names apiVersion, kind and name, or is refused.
ParsedTree ParseTree(const TreeScan& scan);

// Takes away status, and of the metadata what a server, its loops or we write.
void StripServerFields(crd::Json& object);

// Position in the order of applying; pruning goes the other way.
int ApplyRank(const std::string& kind);

// "vms/a.yaml:12"
std::string Where(const Manifest& manifest);
// "VirtualMachine default/a"
std::string Name(const Manifest& manifest);

}  // namespace forkplane::manifests
