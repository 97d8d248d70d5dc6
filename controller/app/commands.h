// The verbs of the command line. Each prints to stdout, returns an Error that main prints to stderr
// with exit code 1.
#pragma once

#include "controller/app/options.h"
#include "controller/base/result.h"

namespace forkplane::app {

Status PrintVersion();
Status PrintConfig(const Options& options);

}  // namespace forkplane::app
