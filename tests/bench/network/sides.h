// The ways to give N VMs their network, over the same list of kernel objects: TAP, alias,
// clsact, identity entry and programs (peer: a mirred filter), TBF, bridge port isolated and up,
// /32 route, permanent neighbour, HTB class and leaf. Each lives in a network namespace of its own
// and does not notice the others.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "controller/base/unique_fd.h"
#include "tests/bench/network/world.h"

namespace forkplane::bench {

inline constexpr std::uint64_t kDownloadBits = 50'000'000;
inline constexpr std::uint64_t kUploadBits = 20'000'000;

class Side {
 public:
  virtual ~Side() = default;
  virtual std::string name() const = 0;
  // Before each round, not timed: what the round stands on.
  virtual Status Prepare(std::uint32_t /*count*/) { return OkStatus(); }
  // The timed part: from nothing to N interfaces that pass packets at their rates.
  virtual Status Raise(std::uint32_t count) = 0;
  // Back to nothing; what P10 times.
  virtual Status Drop() = 0;
};

// A new network namespace, entered by the calling thread; threads it starts later inherit it.
class Namespace {
 public:
  static Result<Namespace> New();
  Status Enter() const;
  int fd() const { return fd_.get(); }

 private:
  explicit Namespace(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;
};

// Claims by one thread per VM, the loops, until every interface is known ready and shaped.
Result<std::unique_ptr<Side>> OpenOurs(const std::string& directory);
// The drivers, called one after the other from one thread, and one write with fdatasync.
Result<std::unique_ptr<Side>> OpenBare(const std::string& directory);
// One thread per VM, as upstream: what its netlink library does by our drivers, the five steps for
// which it starts `tc` by starting `tc` (TBF, class, leaf, clsact, filter).
Result<std::unique_ptr<Side>> OpenExec(const std::string& directory);
// The CNI plugins bridge, host-local and bandwidth, found in `plugins`, one pair of executions per
// VM, all at once: veth, bridge port, address, and TBF in both directions by an IFB of each VM's
// own. The namespaces they are given are not timed.
Result<std::unique_ptr<Side>> OpenCni(const std::string& directory, const std::string& plugins);

}  // namespace forkplane::bench
