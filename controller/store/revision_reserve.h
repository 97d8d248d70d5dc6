// The highest revision ever given out, kept apart from the database: who puts an older copy of the
// database back must not see numbers again that clients hold for something else. Numbers are
// reserved in blocks before the first of a block is used, so the file is written once for many
// commits and is never behind. Its format is in docs/formats.md.
#pragma once

#include <memory>
#include <string>

#include "controller/base/result.h"
#include "controller/store/object.h"

namespace forkplane::store {

// NOTE Threading: one thread.
// NOTE Errors: Unavailable, Exhausted: the disk refused; Internal: the file is not one of ours (the
// text says what to do). Nothing is reset by itself.
class RevisionReserve {
 public:
  // `newest`: the highest revision in the database. `otherwise`: where to start when there is no
  // file, because the store is new or comes from a version without one. Warns when the database is
  // older than the file.
  static Result<std::unique_ptr<RevisionReserve>> Open(std::string path, Revision newest,
                                                       Revision otherwise);

  // The revision before the next one to be given out.
  Revision start() const { return start_; }
  // Durable when it returns: `revision` and some more are reserved.
  Status Cover(Revision revision);
  // The end of a process that gave out no more than `last`: the next one goes on right behind it.
  Status Close(Revision last);

 private:
  explicit RevisionReserve(std::string path) : path_(std::move(path)) {}
  Status Write(std::string_view state, Revision revision);

  std::string path_;
  Revision start_ = 0;
  Revision reserved_ = 0;
};

}  // namespace forkplane::store
