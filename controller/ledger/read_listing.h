// What the ledger's file holds, read from outside the daemon: for `forkplane leases`, also while
// the daemon runs and when it cannot start.
//
// NOTE Kernel and SQLite: the daemon holds the file exclusively (locking_mode=EXCLUSIVE), so no
// connection of another process may read it, not even mode=ro; immutable=1 would, without the log
// that has the newest commits. So database and log are copied into a private temporary directory
// and the copy is opened; SQLite recovers it as it would after a crash. The copy is consistent when
// the log was not begun anew meanwhile: whatever a checkpoint moved into the database while it was
// copied is in the log that was copied after it. A log begun anew has other salts in its header
// (https://www.sqlite.org/fileformat2.html#the_write_ahead_log), and then all is copied again.
// NOTE Effects: no lock is taken, no byte of the ledger is written, the daemon does not notice.
#pragma once

#include <string>

#include "controller/ledger/ledger.h"

namespace forkplane::ledger {

// The last committed state. NotFound: no such file. Unavailable: it could not be copied
// (permissions, no room for the copy, or logs begun anew faster than it reads). Invalid: a newer
// schema. Records that cannot be read are named in Listing::unreadable. Not for the process that
// has the ledger open: POSIX drops a process's locks on a file at any close of it (fcntl(2)).
Result<Listing> ReadListing(const std::string& path);

}  // namespace forkplane::ledger
