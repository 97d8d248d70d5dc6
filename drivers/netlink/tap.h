// TapDriver over /dev/net/tun, rtnetlink and pidfd_getfd.
#pragma once

#include <map>
#include <memory>

#include "controller/base/mutex.h"
#include "drivers/netlink/socket.h"
#include "drivers/tap_driver.h"

namespace forkplane::netlink {

class NetlinkTapDriver final : public drivers::TapDriver {
 public:
  static Result<std::unique_ptr<NetlinkTapDriver>> Open();

  Result<drivers::TapFile> ObserveFile(std::uint32_t number) override;
  Status Create(const drivers::TapSpec& spec) override;
  Result<UniqueFd> Dup(std::uint32_t number) override;
  Status Adopt(std::uint32_t number, pid_t pid) override;
  Status Reattach(const drivers::TapSpec& spec, pid_t pid) override;
  Status Forget(std::uint32_t number) override;
  Status Delete(std::uint32_t number) override;

 private:
  explicit NetlinkTapDriver(Socket socket) : socket_(std::move(socket)) {}
  // A duplicate of the kept file; invalid when none is kept.
  Result<UniqueFd> Kept(std::uint32_t number) EXCLUDES(mutex_);
  // Keeps `file` from now on and gives back what it replaces, to be closed without the lock.
  UniqueFd Keep(std::uint32_t number, UniqueFd file) EXCLUDES(mutex_);

  SharedSocket socket_;
  Mutex mutex_;
  std::map<std::uint32_t, UniqueFd> files_ GUARDED_BY(mutex_);
};

}  // namespace forkplane::netlink
