// LinkDriver over rtnetlink.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "drivers/link_driver.h"
#include "drivers/netlink/socket.h"

namespace forkplane::netlink {

class NetlinkLinkDriver final : public drivers::LinkDriver {
 public:
  static Result<std::unique_ptr<NetlinkLinkDriver>> Open();

  Lookup<drivers::Link> Observe(std::uint32_t index) override;
  Lookup<drivers::Link> ObserveByName(const std::string& name) override;
  Result<std::vector<drivers::Link>> ListOwned() override;
  Status CreateBridge(const drivers::BridgeSpec& spec) override;
  Status CreateIfb(const drivers::IfbSpec& spec) override;
  Status SetUp(std::uint32_t index, bool up) override;
  Status SetMac(std::uint32_t index, const MacAddress& mac) override;
  Status SetMtu(std::uint32_t index, std::uint32_t mtu) override;
  Status SetName(std::uint32_t index, const std::string& name) override;
  Status SetAlias(std::uint32_t index, const std::string& alias) override;
  Status SetMaster(std::uint32_t index, std::uint32_t master) override;
  Status SetPortUp(std::uint32_t index, bool isolated) override;
  Status SetPortIsolation(std::uint32_t index, bool isolated) override;
  Status Delete(std::uint32_t index) override;

 private:
  NetlinkLinkDriver(Socket changes, Socket looks) : socket_(std::move(changes), std::move(looks)) {}
  Status SetSlave(std::uint32_t index, bool isolated, bool up);

  SharedSocket socket_;
};

// Also used by the TAP driver, whose devices are links too.
Status SetLinkAlias(SharedSocket& socket, std::uint32_t index, const std::string& alias);
// On a socket of its own: it waits.
Status DeleteLink(std::uint32_t index);
Lookup<drivers::Link> ObserveLink(SharedSocket& socket, std::uint32_t index);
Lookup<drivers::Link> ObserveLinkByName(SharedSocket& socket, const std::string& name);

}  // namespace forkplane::netlink
