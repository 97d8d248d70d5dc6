// Notices changes below a directory with inotify, symlink swaps included.
//
// A scan makes a new TreeWatch and watches each directory before it reads it, so no change can fall
// between the two; the watch of the scan before is then dropped.
//
// NOTE Threading: one thread.
#pragma once

#include <map>
#include <set>
#include <string>

#include "controller/base/result.h"
#include "controller/base/unique_fd.h"

namespace forkplane::manifests {

class TreeWatch {
 public:
  static Result<TreeWatch> Make();

  // Any change in the open directory: names, contents and attributes of its files.
  Status WatchDirectory(int directory_fd);
  // What the path itself means: each of its parents is watched for the one name that the path goes
  // through, as far as the path exists. So `/git/current/manifests` notices a new `current`.
  void WatchPath(const std::string& path);

  // Readable when something may have changed.
  int fd() const { return inotify_.get(); }
  // Takes all events; true when one of them matters.
  bool Drain();

 private:
  explicit TreeWatch(UniqueFd inotify) : inotify_(std::move(inotify)) {}

  UniqueFd inotify_;
  std::map<int, std::set<std::string>> names_;  // by watch descriptor; empty: every name matters
};

}  // namespace forkplane::manifests
