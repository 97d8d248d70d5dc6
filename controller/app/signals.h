// Signals as values: blocked in every thread, taken by the one that asks.
#pragma once

#include <functional>

#include "controller/base/result.h"

namespace forkplane::app {

// Blocks SIGTERM, SIGINT and SIGHUP, and ignores SIGPIPE. Call before the first thread is started,
// so that all inherit it.
Status BlockSignals();

// Waits for SIGTERM or SIGINT and returns it; calls `reload` for each SIGHUP.
Result<int> AwaitTermination(const std::function<void()>& reload);

// Tells systemd ("READY=1", "STOPPING=1") when NOTIFY_SOCKET is set; else does nothing
// (sd_notify(3)).
void NotifySystemd(const char* state);

}  // namespace forkplane::app
