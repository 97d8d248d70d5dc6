// The verbs of the command line. Each prints to stdout, returns an Error that main prints to stderr
// with exit code 1.
#pragma once

#include "controller/app/options.h"
#include "controller/base/result.h"

namespace forkplane::app {

Status PrintVersion();
Status PrintConfig(const Options& options);
// Downloads (unless `cache` has it) and writes below `output`, an image root; `cache` empty:
// <output>/.cache; `overlay` empty: none.
Status BuildGuestImage(const std::string& output, const std::string& cache,
                       const std::string& overlay);
// The process that keeps a snapshot's memory (drivers/template_holder.h); ends when it is told to.
Status HoldTemplate();
// Runs the daemon until SIGTERM or SIGINT.
Status Serve(const Options& options);

}  // namespace forkplane::app
