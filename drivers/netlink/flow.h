// FlowDriver over ctnetlink.
//
// NOTE Performance: to look is to walk the kernel's table, which has 262144 buckets as a rule and
// is shared by all namespaces: 7 ms of CPU (measured). So one pass serves everybody who waits, and
// no pass is made on a host that tracks nothing. Few entries are all read in one walk; of many the
// kernel filters (CTA_FILTER, Linux 5.8), one walk for each of the four places, so what others have
// is never copied. Call it on no thread that somebody waits for.
#pragma once

#include <map>
#include <memory>
#include <optional>

#include "controller/base/mutex.h"
#include "drivers/flow_driver.h"
#include "drivers/netlink/socket.h"

namespace forkplane::netlink {

class NetlinkFlowDriver final : public drivers::FlowDriver {
 public:
  // Up to so many entries one walk that reads all of them is cheaper than one that reads none.
  static constexpr std::uint32_t kEntriesPerWalk = 4096;

  // A kernel without nfnetlink is no error: there is nothing to flush.
  static Result<std::unique_ptr<NetlinkFlowDriver>> Open(
      std::uint32_t entries_per_walk = kEntriesPerWalk);

  Result<std::size_t> FlushAddress(Ipv4 address) override EXCLUDES(mutex_);
  Result<std::size_t> FlushIf(const std::function<bool(const drivers::Flow&)>& ends) override;

  // How many entries there are; nullopt: this kernel has no ctnetlink, FlushAddress answers 0.
  Lookup<std::uint32_t> CountEntries();

 private:
  using Counts = std::map<Ipv4, std::size_t>;
  // The addresses of one pass, and how it ended.
  struct Batch {
    Counts removed;
    Status outcome = OkStatus();
    bool done = false;
  };

  NetlinkFlowDriver(std::optional<Socket> socket, std::uint32_t entries_per_walk);
  Status Flush(Counts& removed);

  std::unique_ptr<SharedSocket> socket_;  // null: no nfnetlink
  const std::uint32_t entries_per_walk_;
  Mutex mutex_;
  CondVar changed_;
  bool busy_ GUARDED_BY(mutex_) = false;
  std::shared_ptr<Batch> waiting_ GUARDED_BY(mutex_);
};

}  // namespace forkplane::netlink
