#include "tests/kernel/healing/world.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sched.h>
#include <sys/mount.h>

#include "controller/base/log.h"
#include "drivers/bpf/identity.h"
#include "drivers/netlink/flow.h"
#include "drivers/netlink/link.h"
#include "drivers/netlink/qdisc.h"
#include "drivers/netlink/route.h"
#include "drivers/netlink/sysctl.h"
#include "drivers/netlink/tap.h"
#include "drivers/nftables/firewall.h"
#include "tests/kernel/healing/commands.h"
#include "tests/support/forwarding_probe.h"
#include "tests/support/netns.h"

namespace forkplane::healing {
namespace {

constexpr int kPollMilliseconds = 3;
constexpr std::chrono::seconds kPatience{10};

const store::GroupResource kVms{"forkplane.dev", "virtualmachines"};
const store::GroupResource kNetworks{"forkplane.dev", "networks"};
constexpr const char* kNetwork =
    R"({"apiVersion":"forkplane.dev/v1alpha1","kind":"Network","metadata":{"name":"default"},
        "spec":{"cidr":"10.77.0.0/24"}})";
constexpr const char* kVm =
    R"({{"apiVersion":"forkplane.dev/v1alpha1","kind":"VirtualMachine","metadata":{{"name":"{}"}},
        "spec":{{"memory":"96Mi","boot":{{"kernel":"k","initramfs":"i"}},
        "interfaces":[{{"name":"eth0","network":"default",
        "bandwidth":{{"download":{{"rate":"50M"}},"upload":{{"rate":"10M"}}}}}}]}}}})";

// What other people have on this host: an uplink, links with names and indexes near ours, a bridge
// with a port, qdiscs with our handles, filters, routes, neighbours, tables.
const std::vector<std::string> kOthers = {
    "ip link add up0 type veth peer name up1",
    "sysctl -w net.ipv6.conf.up0.disable_ipv6=1",  // nothing shall change by itself
    "sysctl -w net.ipv6.conf.up1.disable_ipv6=1",
    "ip addr add 192.0.2.2/24 dev up0",
    "ip link set up1 up",
    "ip link set up0 up",
    "ip route add default via 192.0.2.1",
    "ip neigh add 192.0.2.1 lladdr 02:00:00:00:00:99 dev up0 nud permanent",
    "ip link add fkbr77 index 1157627903 type bridge",  // 0x44ffffff
    "sysctl -w net.ipv6.conf.fkbr77.disable_ipv6=1",
    "ip link set dev fkbr77 address 02:00:00:00:00:77",  // else it follows those of its ports
    "ip addr add 10.88.0.1/24 dev fkbr77",
    "ip link set fkbr77 up",
    "ip link add fk47 index 1174405119 type veth peer name fk48",  // 0x45ffffff
    "sysctl -w net.ipv6.conf.fk47.disable_ipv6=1",
    "ip link set fk47 master fkbr77 up",
    "ip neigh add 10.88.0.9 lladdr 02:fb:00:00:00:01 dev fkbr77 nud permanent",
    "ip route add 10.88.0.9/32 dev fkbr77 proto static scope link",
    "ip route add 10.88.9.0/24 dev fkbr77 table 77",
    "ip rule add from 10.88.9.0/24 table 77",
    "ip link add fkifbx index 1224736768 type ifb",  // 0x49000000
    "ip link set fkifbx alias uid-a",
    "tc qdisc add dev fkifbx root handle 7f00: htb default ffff",
    "tc class add dev fkifbx parent 7f00: classid 7f00:1 htb rate 10mbit quantum 20000",
    "tc qdisc add dev fkifbx parent 7f00:1 handle 7f02: bfifo limit 65536",
    "ip tuntap add fk46000099 mode tap",
    "tc qdisc add dev fk46000099 root handle 7f01: tbf rate 50mbit burst 62500 limit 312500",
    "tc qdisc add dev fk46000099 clsact",
    "tc filter add dev fk46000099 ingress pref 1 protocol all u32 match u32 0 0 flowid 1:1",
    "nft add table inet forkplane2",
    "nft add chain inet forkplane2 forward { type filter hook forward priority 1 ; }",
    "nft add rule inet forkplane2 forward ip saddr 10.77.0.0/24 ip daddr 10.77.0.0/24 drop",
    "nft add table ip filter",
    "nft add chain ip filter FORWARD { type filter hook forward priority 0 ; }",
    "nft add rule ip filter FORWARD ip daddr 10.88.0.0/16 accept",
};

template <typename Interface, typename Driver>
void Take(Result<std::unique_ptr<Driver>> opened, app::HostDrivers& host, Interface*& slot) {
  CHECK(opened.ok());
  slot = host.parts.Add(std::move(opened).value());
}

}  // namespace

World::World(const Setup& setup) : pins_(folder_.path().string() + "/bpf/forkplane") {
  const std::string bpffs = folder_.path().string() + "/bpf";
  CHECK(unshare(CLONE_NEWNS) == 0);
  CHECK(mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0);
  CHECK(mkdir(bpffs.c_str(), 0700) == 0);
  CHECK(mount("bpf", bpffs.c_str(), "bpf", 0, nullptr) == 0);
  const Status others = RunAll(kOthers);
  EXPECT_TRUE(others.ok()) << others.error().message;
  OpenDrivers(setup);
  OpenStore();
  StartLoops();
}

World::~World() {
  loops_->Stop();
  informers_->Stop();
  umount2((folder_.path().string() + "/bpf").c_str(), MNT_DETACH);
}

void World::OpenDrivers(const Setup& setup) {
  Take(netlink::NetlinkLinkDriver::Open(), drivers_, drivers_.links);
  Take(netlink::NetlinkTapDriver::Open(), drivers_, drivers_.taps);
  constexpr auto kPassedOver = netlink::OwnChanges::kPassedOver;
  Take(netlink::NetlinkQdiscDriver::Open(kPassedOver), drivers_, drivers_.qdiscs);
  Take(netlink::NetlinkRouteDriver::Open(kPassedOver), drivers_, drivers_.routes);
  drivers_.sysctls = drivers_.parts.Add(std::make_unique<netlink::ProcSysctlDriver>());
  Take(bpf::BpfIdentityDriver::Open({pins_, setup.mode, kPassedOver}), drivers_,
       drivers_.identities);
  Take(nftables::NftFirewallDriver::Open(), drivers_, drivers_.firewall);
  Take(netlink::NetlinkFlowDriver::Open(), drivers_, drivers_.flows);
  drivers_.forwarding = drivers_.parts.Add(testing::OpenForwardingProbe());
  gate_ = drivers_.parts.Add(std::make_unique<Gate>(*drivers_.links, setup.event_buffer_bytes));
  drivers_.events = gate_;
}

void World::OpenStore() {
  types_ = *crd::NewTypeRegistry();
  store_ = *store::LocalObjectStore::Open(store::NewMemoryLog(SystemRng()), {.types = types_.get()},
                                          RealClock(), SystemRng(), metrics_);
  static_cast<void>(
      store_->Create({"", "namespaces"}, "",
                     R"({"apiVersion":"v1","kind":"Namespace","metadata":{"name":"default"}})"));
  const auto made = store_->Create(kNetworks, "", kNetwork);
  EXPECT_TRUE(made.ok()) << made.error().message;
  ledger::Options options;
  options.path = ":memory:";
  ledger_ = std::move(ledger::Ledger::Open(options, RealClock(), SystemRng())).value();
}

void World::StartLoops() {
  options_.host_name = "h";
  statuses_ = std::make_unique<runtime::StatusWriter>(*store_, RealClock(), metrics_,
                                                      runtime::StatusWriter::Options{});
  informers_ = std::make_unique<app::Informers>(*store_);
  loops_ = std::make_unique<app::NetworkLoops>(app::LoopNeeds{options_, *store_, *ledger_, drivers_,
                                                              *informers_, boards_, *statuses_,
                                                              RealClock(), SystemRng(), metrics_});
  loops_->Attach();
  CHECK(informers_->Sync(RealClock()).ok());
  CHECK(loops_->Start().ok());
}

void World::CreateVm(const std::string& name) {
  const auto made = store_->Create(kVms, "default", fmt::format(fmt::runtime(kVm), name));
  ASSERT_TRUE(made.ok()) << made.error().message;
  const std::string uid = crd::VirtualMachine::FromText(made->object->text)->metadata.uid;
  ASSERT_TRUE(Eventually([&] { return informers_->vms.GetByUid(uid) != nullptr; }));
  ledger::VmClaim claim{.owner = {uid, "default", name}};
  const auto network = ledger_->GetNetworkByName("default");
  ASSERT_TRUE(network.has_value());
  claim.interfaces = {{.ordinal = 0, .name = "eth0", .network_uid = network->parameters.uid}};
  const auto lease = ledger_->Claim(claim);
  ASSERT_TRUE(lease.ok()) << lease.error().message;
  leases_.push_back(lease->interfaces.at(0));
  uids_.push_back(uid);
}

std::string World::Raise() {
  if (!Eventually([&] { return ledger_->GetNetworkByName("default").has_value(); })) {
    return "no network";
  }
  CreateVm("a");
  CreateVm("b");
  if (leases_.size() != 2 || leases_[0].number != 1 || leases_[1].number != 2 ||
      ToString(leases_[0].address) != "10.77.0.3") {
    return "leases are not those the test is written for";
  }
  const bool ready = Eventually([&] {
    return std::all_of(leases_.begin(), leases_.end(), [&](const auto& lease) {
      const auto fact = boards_.interfaces.Get(ledger::KeyOf(lease.id));
      return fact && fact->ready && fact->shaped;
    });
  });
  if (!ready || !WaitUntilIdle()) return "not ready and idle";
  const bool settled = Eventually([] {
    const std::string others = PortraitOfOthers();
    return others.find("qdisc noqueue state UP") != std::string::npos &&
           others.find("fkbr77: <NO-CARRIER") != std::string::npos;
  });
  if (!settled) return "carriers of other links did not settle";
  for (const Part part : kParts) {
    golden_[static_cast<std::size_t>(part)] = PortraitOf(part, pins_);
  }
  return {};
}

std::string World::Remove() {
  for (const std::string& uid : uids_) {
    if (!ledger_->Release(uid).ok()) return "release refused";
  }
  if (!Eventually([&] { return ledger_->ListAll().vms.empty(); })) return "leases are held";
  const auto deleted = store_->Delete({kNetworks, "", "default"}, {});
  if (!deleted.ok()) return deleted.error().message;
  if (!Eventually([&] { return ledger_->ListAll().networks.empty(); })) return "network is held";
  return WaitUntilIdle() ? "" : "not idle";
}

bool World::Eventually(const std::function<bool()>& holds) {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (!holds()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    poll(nullptr, 0, kPollMilliseconds);
  }
  return true;
}

bool World::IsIdle() const {
  for (runtime::Controller* controller : loops_->Controllers()) {
    if (controller->queue().size() != 0 || controller->queue().NextDue()) return false;
  }
  const std::string metrics = metrics_.Serialize();
  for (const char* name : {"host", "network", "tap", "shaping"}) {
    const std::string idle =
        fmt::format("controller_runtime_active_workers{{controller=\"{}\"}} 0\n", name);
    if (metrics.find(idle) == std::string::npos) return false;
  }
  return true;
}

// Twice: a key may be on its way from the queue to a worker.
bool World::WaitUntilIdle() {
  int looks = 0;
  return Eventually([&] {
    looks = IsIdle() ? looks + 1 : 0;
    return looks >= 2;
  });
}

bool World::WaitUntilWhole(Part part) {
  return Eventually([&] { return IsWhole(part); });
}

void InWorld(const Setup& setup, const std::function<void(World&)>& body) {
  const std::string why = testing::WhyNoNetworkNamespace();
  if (!why.empty()) GTEST_SKIP() << why;
  testing::RunInNetworkNamespace([&] {
    World world(setup);
    const std::string missing = world.Raise();
    ASSERT_EQ(missing, "");
    body(world);
  });
}

}  // namespace forkplane::healing
