// One host's network as the daemon runs it: a real ledger, the real loops and drivers, wired as
// controller/app does, in the network namespace of the thread that opens it. Only the API is
// missing: what specs say is set here.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "controller/base/mutex.h"
#include "controller/ledger/ledger.h"
#include "controller/runtime/controller.h"
#include "controller/runtime/facts.h"
#include "drivers/bpf/identity.h"
#include "drivers/netlink/events.h"
#include "drivers/netlink/flow.h"
#include "drivers/netlink/link.h"
#include "drivers/netlink/qdisc.h"
#include "drivers/netlink/route.h"
#include "drivers/netlink/sysctl.h"
#include "drivers/netlink/tap.h"
#include "reconcilers/shaping/reconciler.h"
#include "reconcilers/tap/reconciler.h"
#include "tests/bench/network/crew.h"

namespace forkplane::bench {

inline constexpr const char* kNetworkUid = "network-uid";
inline constexpr Ipv4 kGateway{0x0a4d0001};  // 10.77.0.1
inline constexpr std::uint8_t kPrefixLength = 16;

struct Drivers {
  std::unique_ptr<netlink::NetlinkLinkDriver> links;
  std::unique_ptr<netlink::NetlinkTapDriver> taps;
  std::unique_ptr<netlink::NetlinkQdiscDriver> qdiscs;
  std::unique_ptr<netlink::NetlinkRouteDriver> routes;
  std::unique_ptr<bpf::BpfIdentityDriver> identities;
  std::unique_ptr<netlink::NetlinkFlowDriver> flows;
  netlink::ProcSysctlDriver sysctls;
};

Result<std::unique_ptr<Drivers>> OpenDrivers();

// What all VMs share: forwarding, an IFB with its HTB of `capacity_bits` per second (0: what the
// uplink says), and two bridges with the gateway's address.
Status RaiseHost(Drivers& drivers, const ledger::Ledger& ledger, std::uint64_t capacity_bits);

// The one Network of a bench, and the claim of a VM with one interface on it.
ledger::NetworkParameters BenchNetwork();
ledger::VmClaim ClaimOf(const std::string& uid);

// VM specs by uid; the shaping loop reads them from other threads.
class Specs final : public shaping::Specs {
 public:
  void Set(const std::string& uid, crd::Bandwidth bandwidth) EXCLUDES(mu_);
  std::shared_ptr<const crd::VirtualMachine> Vm(const std::string& uid) const override
      EXCLUDES(mu_);
  std::shared_ptr<const crd::Network> Network(const std::string&) const override { return nullptr; }

 private:
  mutable Mutex mu_;
  std::map<std::string, std::shared_ptr<const crd::VirtualMachine>> vms_ GUARDED_BY(mu_);
};

crd::Bandwidth Limits(std::uint64_t download_bits, std::uint64_t upload_bits,
                      std::uint64_t upload_ceil_bits);

class World {
 public:
  // `directory` holds the ledger's file.
  static Result<std::unique_ptr<World>> Open(const std::string& directory,
                                             std::uint64_t capacity_bits);
  ~World();

  // Leases for VM `uid` with one interface; the loops do the rest on their own.
  Result<ledger::VmLease> Claim(const std::string& uid);
  // Until the interface with this lease was seen ready and shaped.
  Status WaitUntilShaped(const std::string& key);
  // Changes the rates of a VM and waits until the kernel was seen to hold them.
  Status Shape(const std::string& uid, const crd::Bandwidth& bandwidth);
  // Gives back every VM whose uid begins so, and waits until it is gone.
  Status ReleaseAll(const std::string& prefix = {});

  Drivers& drivers() { return *drivers_; }
  ledger::Ledger& ledger() { return *ledger_; }
  Specs& specs() { return specs_; }
  Crew& crew() { return crew_; }

 private:
  World(std::unique_ptr<Drivers> drivers, std::unique_ptr<ledger::Ledger> ledger,
        std::unique_ptr<netlink::NetlinkLinkEvents> events);
  Status Start();
  bool AnyLeft(const std::vector<ledger::VmLease>& vms) const;
  Status WaitForRates(const std::string& key, const crd::Bandwidth& bandwidth);

  std::unique_ptr<Drivers> drivers_;
  std::unique_ptr<ledger::Ledger> ledger_;
  std::unique_ptr<netlink::NetlinkLinkEvents> events_;
  metrics::Registry metrics_;
  Specs specs_;
  runtime::InterfaceFactBoard facts_;
  runtime::VmmFactBoard vmms_;
  tap::TapReconciler tap_loop_;
  shaping::ShapingReconciler shaping_loop_;
  runtime::Controller tap_;
  runtime::Controller shaping_;
  std::shared_ptr<void> subscription_;

  Mutex mu_;
  CondVar changed_;
  Crew crew_;  // last: what it does uses the rest
};

}  // namespace forkplane::bench
