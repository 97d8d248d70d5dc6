// Whether git is in the middle of something in the working tree that a directory belongs to. While
// a checkout, rebase, merge or bisect is under way the tree is no state that anybody meant: what is
// absent from it may be back in a second.
#pragma once

#include <string>

namespace forkplane::manifests {

// The file that tells so ("/srv/repo/.git/index.lock"), or "". Looks at the nearest `.git` at or
// above `directory` (absolute, links resolved): a folder, or the file "gitdir: PATH" of a further
// worktree, as git-sync makes them. Only the existence of names is looked at. Facts of git 2.39:
// index.lock stands during a checkout, reset, pull, add; rebase-merge and rebase-apply until a
// rebase or am has ended or was aborted; MERGE_HEAD, CHERRY_PICK_HEAD and REVERT_HEAD while
// conflicts wait; BISECT_LOG until `git bisect reset`.
std::string GitOperationUnderWay(const std::string& directory);

}  // namespace forkplane::manifests
