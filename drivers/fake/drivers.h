// The drivers of the in-memory host. Each refers to a FakeKernel that must outlive it.
#pragma once

#include <atomic>
#include <string>
#include <vector>

#include "drivers/fake/kernel.h"
#include "drivers/flow_driver.h"
#include "drivers/sysctl_driver.h"

namespace forkplane::fake {

class FakeLinkDriver final : public drivers::LinkDriver {
 public:
  explicit FakeLinkDriver(FakeKernel& kernel) : kernel_(kernel) {}
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
  Status SetPort(std::uint32_t index, bool isolated, bool up);
  FakeKernel& kernel_;
};

class FakeTapDriver final : public drivers::TapDriver {
 public:
  explicit FakeTapDriver(FakeKernel& kernel) : kernel_(kernel) {}
  Result<drivers::TapFile> ObserveFile(std::uint32_t number) override;
  Status Create(const drivers::TapSpec& spec) override;
  Result<UniqueFd> Dup(std::uint32_t number) override;
  Status Adopt(std::uint32_t number, pid_t pid) override;
  Status Reattach(const drivers::TapSpec& spec, pid_t pid) override;
  Status Forget(std::uint32_t number) override;
  Status Delete(std::uint32_t number) override;

 private:
  FakeKernel& kernel_;
};

class FakeRouteDriver final : public drivers::RouteDriver {
 public:
  explicit FakeRouteDriver(FakeKernel& kernel) : kernel_(kernel) {}
  Result<std::vector<Ipv4Prefix>> ListAddresses(std::uint32_t index) override;
  Status AddAddress(std::uint32_t index, const Ipv4Prefix& address) override;
  Status DeleteAddress(std::uint32_t index, const Ipv4Prefix& address) override;
  Result<drivers::CidrRoutes> ObserveCidr(std::uint32_t index, const Ipv4Prefix& cidr) override;
  Status AddBlackhole(const Ipv4Prefix& cidr) override;
  Status DeleteBlackhole(const Ipv4Prefix& cidr) override;
  Status DeleteConnectedRoute(std::uint32_t index, const Ipv4Prefix& cidr) override;
  Result<bool> HasUnjudgedRule() override;
  Status AddUnjudgedRule() override;
  Status DeleteUnjudgedRule() override;
  Result<std::vector<drivers::Route>> ListRoutes() override;
  Result<std::vector<Ipv4>> ListHostRoutes(std::uint32_t index) override;
  Result<bool> HasHostRoute(std::uint32_t index, Ipv4 address) override;
  Status AddHostRoute(std::uint32_t index, Ipv4 address) override;
  Status DeleteHostRoute(std::uint32_t index, Ipv4 address) override;
  Result<std::vector<drivers::Neighbour>> ListNeighbours(std::uint32_t index) override;
  Lookup<MacAddress> ObserveNeighbour(std::uint32_t index, Ipv4 address) override;
  Status SetNeighbour(std::uint32_t index, const drivers::Neighbour& neighbour) override;
  Status DeleteNeighbour(std::uint32_t index, Ipv4 address) override;
  Lookup<drivers::Uplink> DefaultUplink() override;
  Lookup<drivers::Uplink> UplinkByName(const std::string& name) override;

 private:
  FakeKernel& kernel_;
};

class FakeQdiscDriver final : public drivers::QdiscDriver {
 public:
  explicit FakeQdiscDriver(FakeKernel& kernel) : kernel_(kernel) {}
  Result<drivers::PortQdiscs> ObservePort(std::uint32_t index) override;
  Result<bool> HasTbf(std::uint32_t index) override;
  Result<drivers::DomainQdiscs> ObserveDomain(std::uint32_t index) override;
  Result<drivers::DomainQdiscs> ObserveInterface(std::uint32_t index, std::uint32_t minor,
                                                 std::uint32_t tap) override;
  Result<drivers::UplinkQdiscs> ObserveUplink(std::uint32_t index) override;
  Result<std::vector<drivers::ObservedClass>> ObserveClasses(std::uint32_t index) override;
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
  std::uint32_t At(std::uint32_t index) const;

  FakeKernel& kernel_;
  std::atomic<std::uint32_t> shaped_link_ = 0;
};

class FakeIdentityDriver final : public drivers::IdentityDriver {
 public:
  FakeIdentityDriver(FakeKernel& kernel, drivers::RedirectMode mode)
      : kernel_(kernel), mode_(mode) {}
  drivers::RedirectMode Mode() const override { return mode_; }
  Lookup<drivers::IdentityEntry> ObserveEntry(std::uint32_t index) override;
  Result<std::vector<drivers::IdentityEntryAt>> ListEntries() override;
  Status SetEntry(std::uint32_t index, const drivers::IdentityEntry& entry) override;
  Status DeleteEntry(std::uint32_t index) override;
  Result<drivers::IdentityCounters> Counters(std::uint32_t index) override;
  Result<drivers::AttachedPrograms> ObservePrograms(std::uint32_t index) override;
  Status Attach(std::uint32_t index, drivers::Direction direction) override;
  Status Detach(std::uint32_t index, drivers::Direction direction) override;
  Result<bool> ArePinned() override;
  Status Pin() override;
  Result<drivers::ProgramState> ObserveClassifier(std::uint32_t index) override;
  Status AttachClassifier(std::uint32_t index) override;

 private:
  FakeKernel& kernel_;
  drivers::RedirectMode mode_;
};

class FakeFirewallDriver final : public drivers::FirewallDriver {
 public:
  explicit FakeFirewallDriver(FakeKernel& kernel) : kernel_(kernel) {}
  Lookup<drivers::FirewallRules> Observe() override;
  Status Replace(const drivers::FirewallRules& rules) override;
  Status Remove() override;
  Result<std::vector<drivers::RefusedFlows>> ListRefused() override;

 private:
  FakeKernel& kernel_;
};

class FakeFlowDriver final : public drivers::FlowDriver {
 public:
  explicit FakeFlowDriver(FakeKernel& kernel) : kernel_(kernel) {}
  Result<std::size_t> FlushAddress(Ipv4 address) override;
  Result<std::size_t> FlushIf(const std::function<bool(const drivers::Flow&)>& ends) override;

 private:
  FakeKernel& kernel_;
};

class FakeForwardingProbe final : public drivers::ForwardingProbe {
 public:
  explicit FakeForwardingProbe(FakeKernel& kernel) : kernel_(kernel) {}
  Result<drivers::ForwardingVerdict> Probe(std::uint32_t bridge, Ipv4 source,
                                           const std::vector<Ipv4>& targets) override;

 private:
  FakeKernel& kernel_;
};

class FakeSysctlDriver final : public drivers::SysctlDriver {
 public:
  explicit FakeSysctlDriver(FakeKernel& kernel) : kernel_(kernel) {}
  Result<bool> BridgedFramesMeetIpRules() override;
  Result<bool> Ipv4Forwarding() override;
  Result<std::map<std::string, bool>> ForeignForwarding() override;
  Status SetForeignForwarding(const std::string& link, bool on) override;
  Result<bool> Ipv6Disabled(const std::string& link) override;
  Status DisableIpv6(const std::string& link) override;
  Result<bool> IsOn(const std::string& link, drivers::LinkSwitch which) override;
  Status SwitchOn(const std::string& link, drivers::LinkSwitch which) override;

 private:
  FakeKernel& kernel_;
};

class FakeLinkEvents final : public drivers::LinkEvents {
 public:
  explicit FakeLinkEvents(FakeKernel& kernel) : kernel_(kernel) {}
  ~FakeLinkEvents() override { Stop(); }
  Status Start(Callback callback) override;
  void Stop() override;

 private:
  FakeKernel& kernel_;
  bool started_ = false;
};

}  // namespace forkplane::fake
