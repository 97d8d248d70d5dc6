// QdiscDriver over rtnetlink. The 64-bit rates, clsact and exact bursts need attributes that
// libnl-route 3.7 does not know or computes otherwise, so messages are made here.
#pragma once

#include <linux/rtnetlink.h>

#include <atomic>
#include <map>
#include <memory>
#include <vector>

#include "drivers/netlink/quiet_socket.h"
#include "drivers/netlink/socket.h"
#include "drivers/qdisc_driver.h"

namespace forkplane::netlink {

class NetlinkQdiscDriver final : public drivers::QdiscDriver {
 public:
  static Result<std::unique_ptr<NetlinkQdiscDriver>> Open(OwnChanges own = OwnChanges::kTold);

  Result<drivers::PortQdiscs> ObservePort(std::uint32_t index) override;
  Result<bool> HasTbf(std::uint32_t index) override;
  Result<drivers::DomainQdiscs> ObserveDomain(std::uint32_t index) override;
  Result<drivers::DomainQdiscs> ObserveInterface(std::uint32_t index, std::uint32_t minor,
                                                 std::uint32_t tap) override;
  Result<drivers::UplinkQdiscs> ObserveUplink(std::uint32_t index) override;
  Result<std::vector<drivers::ObservedClass>> ObserveClasses(std::uint32_t index) override {
    return DumpClasses(At(index));
  }
  void ShapeOn(std::uint32_t link) override { shaped_link_.store(link); }
  Result<std::vector<std::uint32_t>> ForeignLinksWithHtb() override;
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
  NetlinkQdiscDriver(Socket changes, Socket looks, std::unique_ptr<QuietSocket> quiet,
                     OwnChanges own)
      : socket_(std::move(changes), std::move(looks)), quiet_(std::move(quiet)), own_(own) {}
  struct UplinkDump;
  // For a change of the class, or of what belongs to it; of a qdisc of a link.
  SharedSocket& SocketOfClass(std::uint32_t minor);
  SharedSocket& SocketOfLink(std::uint32_t index);
  // Where what is asked of a link happens.
  std::uint32_t At(std::uint32_t index) const;
  // Adds the classes, if there can be any.
  Result<drivers::UplinkQdiscs> Finish(UplinkDump dump);
  Result<std::vector<drivers::ObservedClass>> DumpClasses(std::uint32_t index);
  Status PutClass(std::uint32_t index, const drivers::HtbClass& htb, int flags,
                  std::string_view verb);

  // A qdisc below a parent, or a class by its handle; nothing when `index` has none.
  using Visit = std::function<void(const tcmsg&, const Attributes&)>;
  Status LookAtQdisc(std::uint32_t index, std::uint32_t parent, const Visit& visit);
  Status LookAtClass(std::uint32_t index, std::uint32_t minor, const Visit& visit);
  Status LookAtUplink(std::uint32_t index, std::uint32_t minor, drivers::UplinkQdiscs& uplink);

  SharedSocket socket_;
  std::unique_ptr<QuietSocket> quiet_;
  const OwnChanges own_;
  std::atomic<std::uint32_t> shaped_link_ = 0;  // in the place of IFB 0; 0: itself
};

// Root and clsact of one link, of a list of all: nobody hears of it.
Result<drivers::PortQdiscs> ListQdiscs(SharedSocket& socket, std::uint32_t index);

}  // namespace forkplane::netlink
