// Which objects that left the directory are deleted, and which are held, and why. Pure.
//
// Invariants (tests/unit/manifests/prune_plan_test.cc):
//   - While anything is not understood (Observed::hold) nothing is pruned at all.
//   - An object is pruned unasked only when it left the very root, and the very mount below it, in
//     which it was last seen (or a link to it was swapped), that root still holds documents,
//     its file is gone or whole, nothing of others goes with it, and no more than the bound leave
//     with it.
//   - A confirmation counts for exactly the set of objects that its word was given for. A set that
//     is another, even by one object, has another word.
//   - What was confirmed stays so until it is deleted or back in the directory.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "controller/manifests/manifest.h"
#include "controller/manifests/notice.h"
#include "controller/manifests/record_store.h"

namespace forkplane::manifests {

// Bounds below this number of owned objects would hold every second change of a small directory.
inline constexpr std::size_t kOwnedWithoutBound = 3;

// An object that is there and ours by its record, and that no document asks for.
struct Gone {
  Record record;
  store::Revision revision = 0;    // at which this was judged
  std::vector<std::string> takes;  // "VirtualMachine a/b": what others made that would go with it
};

struct Observed {
  std::string source;
  RootIdentity root;
  std::size_t owned = 0;       // objects of this source, those that are gone among them
  std::size_t understood = 0;  // documents
  std::map<std::string, FileFacts> files = {};
  std::set<std::string> mounts = {};          // below the root
  std::optional<Hold> hold = {};              // of the whole pass
  std::optional<std::size_t> prune_max = {};  // empty: half of what is owned
  std::vector<Gone> gone = {};
  HeldSet held = {};       // as recorded
  std::string prune_word;  // what an operator confirmed, by annotations of the Host
  std::string keep_word;
};

struct Kept {
  Gone object;
  Hold hold;
};

struct PrunePlan {
  std::vector<Gone> prune;    // those that need others first
  std::vector<Gone> confirm;  // of `prune`: to be recorded as confirmed before
  std::vector<Gone> disown;   // an operator wants them kept and not held any more
  std::vector<Kept> kept;
  // Of `kept`, what a word confirms; "" when nothing is, or when the whole pass is held (then what
  // is recorded stays).
  std::string held_objects;
};

PrunePlan PlanPrune(const Observed& observed);

}  // namespace forkplane::manifests
