// TAPs in a network namespace of the test's own, and HTTP through one of them.
#pragma once

#include <chrono>
#include <string>

#include "controller/base/result.h"
#include "controller/base/unique_fd.h"

namespace forkplane::testing {

inline constexpr char kGuestAddress[] = "10.77.0.2";
inline constexpr char kInnerMac[] = "02:fc:00:00:01:01";

// Puts the calling thread into a new network namespace; it needs root.
Status EnterNetworkNamespace();

// A TAP with the vnet header, up, holding 10.77.0.1/24 (every TAP the same: the sockets below are
// bound to one).
Result<UniqueFd> MakeTap(const std::string& name);

// The body of GET `path` from the guest behind that TAP; tries until it answers or the deadline.
Result<std::string> HttpGet(const std::string& tap, const std::string& path,
                            std::chrono::steady_clock::time_point deadline);

}  // namespace forkplane::testing
