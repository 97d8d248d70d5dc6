// Runs a test's body in a network namespace of its own: a thread that unshares. Nothing outside
// sees its links and nothing has to be cleaned up. Note that /sys still shows the old namespace;
// /proc/sys/net and netlink show the new one.
#pragma once

#include <functional>
#include <string>

namespace forkplane::testing {

// Empty when this process may make network namespaces and TAPs; else why not, for GTEST_SKIP.
std::string WhyNoNetworkNamespace();

// Runs `body` to its end in a new thread with a new network namespace, loopback up. Threads that
// the body starts inherit the namespace.
void RunInNetworkNamespace(const std::function<void()>& body);

}  // namespace forkplane::testing
