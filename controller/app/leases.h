// `forkplane leases`: what the host ledger holds, read from its file (controller/ledger/
// read_listing.h): the daemon may run, be stopped, or be unable to start.
#pragma once

#include <string>

#include "controller/app/options.h"
#include "controller/base/clock.h"
#include "controller/base/result.h"
#include "controller/ledger/ledger.h"

namespace forkplane::app {

// OWNER KIND LEASE STATE AGE, a line per lease: networks, then each VM with its uid, slot and
// interfaces, then resting addresses. `clock` says how old they are (an interface and a slot: how
// long in that state).
std::string RenderLeases(const ledger::Listing& listing, const Clock& clock);

// Prints <state-dir>/ledger.db to stdout, as a table or as the JSON of /debug/ledger. Internal,
// after printing what could be read, when records are unreadable.
Status Leases(const Options& options, bool json);

}  // namespace forkplane::app
