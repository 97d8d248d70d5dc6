// The operator's side of these tests: ip, tc, bridge, nft and sysctl in the namespace of the
// calling thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "controller/base/result.h"

namespace forkplane::healing {

// The words of a command line: what stands between spaces, or between single quotes.
std::vector<std::string> WordsOf(std::string_view line);

// Runs one command line; an exit code other than zero is an error with what the command said.
Result<std::string> RunLine(const std::string& line);
// All of them in turn, to the first that fails.
Status RunAll(const std::vector<std::string>& lines);

}  // namespace forkplane::healing
