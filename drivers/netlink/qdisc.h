// QdiscDriver over rtnetlink. The 64-bit rates, clsact and exact bursts need attributes that
// libnl-route 3.7 does not know or computes otherwise, so messages are made here.
#pragma once

#include <map>
#include <memory>
#include <vector>

#include "drivers/netlink/socket.h"
#include "drivers/qdisc_driver.h"

namespace forkplane::netlink {

class NetlinkQdiscDriver final : public drivers::QdiscDriver {
 public:
  static Result<std::unique_ptr<NetlinkQdiscDriver>> Open();

  Result<drivers::PortQdiscs> ObservePort(std::uint32_t index) override;
  Result<bool> HasTbf(std::uint32_t index) override;
  Result<drivers::DomainQdiscs> ObserveDomain(std::uint32_t index) override;
  Result<drivers::UplinkQdiscs> ObserveUplink(std::uint32_t index) override;
  Result<bool> HasFqCodel() override;
  Status AddTbf(std::uint32_t index, const drivers::Tbf& tbf) override;
  Status ChangeTbf(std::uint32_t index, const drivers::Tbf& tbf, drivers::Queue queue) override;
  Status AddClsact(std::uint32_t index) override;
  Status DeleteClsact(std::uint32_t index) override;
  Status AddHtb(std::uint32_t index, std::uint32_t default_minor) override;
  Status DeleteRoot(std::uint32_t index) override;
  Status AddClass(std::uint32_t index, const drivers::HtbClass& htb) override;
  Status ChangeClass(std::uint32_t index, const drivers::HtbClass& htb) override;
  Status DeleteClass(std::uint32_t index, std::uint32_t minor) override;
  Status SetLeaf(std::uint32_t index, std::uint32_t minor, const drivers::Leaf& leaf) override;

 private:
  explicit NetlinkQdiscDriver(Socket socket) : socket_(std::move(socket)) {}
  struct UplinkDump;
  // Adds the classes, if there can be any.
  Result<drivers::UplinkQdiscs> Finish(UplinkDump dump);
  Result<std::vector<drivers::ObservedClass>> DumpClasses(std::uint32_t index);
  Status PutClass(std::uint32_t index, const drivers::HtbClass& htb, int flags,
                  std::string_view verb);

  SharedSocket socket_;
};

// Root and clsact of one link. Both by dump: the kernel multicasts its answer to a single
// RTM_GETQDISC as if the qdisc had changed, so every look would wake every observer, us included.
Result<drivers::PortQdiscs> ListQdiscs(SharedSocket& socket, std::uint32_t index);

}  // namespace forkplane::netlink
