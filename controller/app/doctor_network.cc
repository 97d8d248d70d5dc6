// The network features of this kernel, each tried by the driver that needs it.
#include <sched.h>

#include <array>
#include <cerrno>
#include <set>
#include <thread>

#include "controller/app/doctor_probes.h"
#include "controller/base/network_names.h"
#include "drivers/bpf/identity.h"
#include "drivers/bpf/packet_injector.h"
#include "drivers/netlink/flow.h"
#include "drivers/netlink/link.h"
#include "drivers/netlink/qdisc.h"
#include "drivers/netlink/route.h"
#include "drivers/netlink/tap.h"
#include "drivers/nftables/firewall.h"

namespace forkplane::app {
namespace {

using drivers::Direction;
using drivers::RedirectMode;

constexpr std::uint32_t kNumber = MakeNumber(0, 1);
constexpr std::uint32_t kTap = TapIndex(kNumber);
constexpr std::uint32_t kIfb = IfbIndex(0);
constexpr std::uint32_t kBridge = BridgeIndex(0);
constexpr std::uint64_t kRate = 1'000'000;  // bytes per second; any will do
constexpr Ipv4Prefix kCidr = {{0x0a000000}, 24};

constexpr const char* kBpfRemedy =
    "a kernel with CONFIG_BPF_SYSCALL and CONFIG_NET_CLS_BPF "
    "(modprobe cls_bpf); before Linux 5.11 also ulimit -l unlimited";

Status Differs(std::string_view what) {
  return Internal(fmt::format("the kernel took it, but reports {}", what));
}

// Lives on a thread with a network namespace of its own, and ends there.
class NetworkProbe {
 public:
  explicit NetworkProbe(const Options& options) : options_(options) {}

  std::vector<Finding> Run() {
    const Status opened = Open();
    if (!opened.ok()) {
      return {Missing("rtnetlink", opened.error().message,
                      "CAP_NET_ADMIN, and a sandbox that allows AF_NETLINK sockets")};
    }
    using P = NetworkProbe;
    Try({"bridge", &P::Bridge, {}, "fixed index and MAC", "modprobe bridge (CONFIG_BRIDGE)"});
    Try({"IFB", &P::Ifb, {}, "fixed index", "modprobe ifb numifbs=0 (CONFIG_IFB)"});
    Try({"TAP", &P::Tap, {}, "fixed index", "modprobe tun (CONFIG_TUN), and /dev/net/tun"});
    Try({"port isolation",
         &P::Isolation,
         {"bridge", "TAP"},
         "up and isolated in one message",
         "Linux 4.18 or later"});
    Try({"HTB", &P::Htb, {"IFB"}, "with a class", "modprobe sch_htb (CONFIG_NET_SCH_HTB)"});
    Try({"TBF", &P::Tbf, {"TAP"}, "at the root of a TAP", "modprobe sch_tbf (CONFIG_NET_SCH_TBF)"});
    Try({"clsact",
         &P::Clsact,
         {"TAP"},
         "on a TAP",
         "modprobe sch_ingress (CONFIG_NET_SCH_INGRESS)"});
    if (Possible("leaf queue", {"HTB"})) TryLeaf();
    Try({"BPF programs", &P::Programs, {}, "loaded, with their maps", kBpfRemedy});
    if (Possible("upload redirect", {"clsact", "IFB", "BPF programs"})) TryRedirect();
    Try({"nftables",
         &P::Nftables,
         {},
         "table written and read back",
         "modprobe nf_tables nft_masq nft_ct (CONFIG_NF_TABLES_INET, CONFIG_NFT_MASQ)"});
    Try({"policy routing",
         &P::PolicyRouting,
         {},
         "a rule by mark",
         "a kernel with CONFIG_IP_MULTIPLE_TABLES"});
    TryFlows();
    if (Possible("forwarding probe", {"bridge"})) TryForwardingProbe();
    return std::move(findings_);
  }

 private:
  struct Step {
    const char* what;
    Status (NetworkProbe::*run)();
    std::set<std::string> needs;  // of the steps before
    const char* detail;
    const char* remedy;
  };

  Status Open() {
    ASSIGN_OR_RETURN(links_, netlink::NetlinkLinkDriver::Open());
    ASSIGN_OR_RETURN(taps_, netlink::NetlinkTapDriver::Open());
    ASSIGN_OR_RETURN(qdiscs_, netlink::NetlinkQdiscDriver::Open());
    return OkStatus();
  }

  void Add(Finding finding) {
    if (finding.level == Level::kMissing) missing_.insert(finding.what);
    findings_.push_back(std::move(finding));
  }

  // False, with a finding that says so, when a feature it stands on is missing.
  bool Possible(const char* what, const std::set<std::string>& needs) {
    for (const std::string& need : needs) {
      if (!missing_.contains(need)) continue;
      Add(Missing(what, fmt::format("not tried, it needs: {}", need),
                  fmt::format("first get {}, then ask again", need)));
      return false;
    }
    return true;
  }

  void Try(const Step& step) {
    if (!Possible(step.what, step.needs)) return;
    const Status tried = (this->*step.run)();
    Add(tried.ok() ? Ok(step.what, step.detail)
                   : Missing(step.what, tried.error().message, step.remedy));
  }

  Status Bridge() {
    RETURN_IF_ERROR(links_->CreateBridge({0, kGatewayMac, "doctor"}));
    ASSIGN_OR_RETURN(const auto link, links_->Observe(kBridge));
    if (!link || link->mac != kGatewayMac) return Differs("another MAC");
    return links_->SetUp(kBridge, true);
  }

  Status Ifb() {
    RETURN_IF_ERROR(links_->CreateIfb({0, "doctor"}));
    ASSIGN_OR_RETURN(const auto link, links_->Observe(kIfb));
    return link ? OkStatus() : Differs("no such index");
  }

  Status Tap() {
    drivers::TapSpec spec;
    spec.number = kNumber;
    spec.alias = "doctor";
    RETURN_IF_ERROR(taps_->Create(spec));
    ASSIGN_OR_RETURN(const auto link, links_->Observe(kTap));
    return link ? OkStatus() : Differs("no such index");
  }

  Status Isolation() {
    RETURN_IF_ERROR(links_->SetMaster(kTap, kBridge));
    RETURN_IF_ERROR(links_->SetPortUp(kTap, true));
    ASSIGN_OR_RETURN(const auto link, links_->Observe(kTap));
    return link && link->isolated && link->up ? OkStatus() : Differs("a port that is not isolated");
  }

  Status Htb() {
    RETURN_IF_ERROR(qdiscs_->AddHtb(kIfb, kDefaultClassMinor));
    const std::uint32_t burst = drivers::DefaultBurst(kRate, kMtuDefault);
    return qdiscs_->AddClass(kIfb, {.minor = MinorOf(kNumber),
                                    .rate_bytes_per_second = kRate,
                                    .ceil_bytes_per_second = kRate,
                                    .burst_bytes = burst,
                                    .ceil_burst_bytes = burst,
                                    .quantum_bytes = drivers::kQuantumBytes});
  }

  Status Tbf() {
    return qdiscs_->AddTbf(kTap, {kRate, drivers::DefaultBurst(kRate, kMtuDefault),
                                  drivers::DefaultQueueBytes(kRate)});
  }

  Status PolicyRouting() {
    ASSIGN_OR_RETURN(const auto routes, netlink::NetlinkRouteDriver::Open());
    RETURN_IF_ERROR(routes->AddUnjudgedRule());
    ASSIGN_OR_RETURN(const bool there, routes->HasUnjudgedRule());
    return there ? OkStatus() : Differs("no such rule");
  }

  Status Clsact() { return qdiscs_->AddClsact(kTap); }

  void TryLeaf() {
    const auto kind = drivers::ChooseLeaf(options_.leaf, *qdiscs_);
    Finding finding = JudgeLeaf(options_.leaf, kind.ok() && *kind == drivers::LeafKind::kFqCodel);
    if (finding.level != Level::kMissing) {
      const drivers::Leaf leaf = {kind.ok() ? *kind : drivers::LeafKind::kBfifo,
                                  drivers::DefaultQueueBytes(kRate)};
      const Status set = qdiscs_->SetLeaf(kIfb, MinorOf(kNumber), leaf);
      if (!set.ok()) {
        finding = Missing(finding.what, set.error().message,
                          "a kernel with CONFIG_NET_SCHED (it has bfifo built in)");
      }
    }
    Add(std::move(finding));
  }

  Status Programs() {
    // Not pinned: they go with their descriptors.
    const auto identities = bpf::BpfIdentityDriver::Open({{}, RedirectMode::kMirred});
    return identities.ok() ? OkStatus() : Status(identities.error());
  }

  // Programs attached both ways on the TAP, as a VM's are.
  Status Attach(RedirectMode mode) {
    ASSIGN_OR_RETURN(const auto identities, bpf::BpfIdentityDriver::Open({{}, mode}));
    const drivers::IdentityEntry entry = {InnerMac(0), OuterMac(kNumber), kCidr.address,
                                          kCidr.address, kCidr.address};
    RETURN_IF_ERROR(identities->SetEntry(kTap, entry));
    RETURN_IF_ERROR(identities->Attach(kTap, Direction::kIngress));
    RETURN_IF_ERROR(identities->Attach(kTap, Direction::kEgress));
    ASSIGN_OR_RETURN(const auto attached, identities->ObservePrograms(kTap));
    using drivers::ProgramState;
    const bool ours =
        attached == drivers::AttachedPrograms{ProgramState::kOurs, ProgramState::kOurs};
    return ours ? OkStatus() : Differs("other programs");
  }

  void TryRedirect() {
    const auto works = bpf::ProbeRedirect(RedirectMode::kBpf);
    Finding finding = JudgeRedirect(options_.redirect, works.ok() && *works);
    if (finding.level != Level::kMissing) {
      const bool bpf = works.ok() && *works && options_.redirect != "mirred";
      const Status attached = Attach(options_.redirect == "mark" ? RedirectMode::kMark
                                     : bpf                       ? RedirectMode::kBpf
                                                                 : RedirectMode::kMirred);
      if (!attached.ok()) {
        finding =
            Missing(finding.what, attached.error().message,
                    "modprobe cls_bpf act_mirred (CONFIG_NET_CLS_BPF, CONFIG_NET_ACT_MIRRED)");
      }
    }
    Add(std::move(finding));
  }

  Status Nftables() {
    ASSIGN_OR_RETURN(const auto firewall, nftables::NftFirewallDriver::Open());
    drivers::FirewallRules rules;
    rules.networks.push_back({kCidr, "lo", true, true});
    RETURN_IF_ERROR(firewall->Replace(rules));
    ASSIGN_OR_RETURN(const auto observed, firewall->Observe());
    return observed == drivers::Canonical(rules) ? OkStatus() : Differs("other rules");
  }

  void TryFlows() {
    const auto flows = netlink::NetlinkFlowDriver::Open();
    const auto count = flows.ok() ? (*flows)->CountEntries() : flows.error();
    Add(JudgeFlows(count.ok() && count->has_value()));
  }

  void TryForwardingProbe() {
    const auto injector = bpf::PacketInjector::Open();
    // Of no protocol: nothing comes of it.
    constexpr std::array<std::uint8_t, 64> kFrame = {};
    const Status tried = injector.ok() ? (*injector)->Inject(kBridge, kFrame) : injector.error();
    Add(JudgeForwardingProbe(tried.ok() ? "" : tried.error().message));
  }

  const Options& options_;
  std::unique_ptr<netlink::NetlinkLinkDriver> links_;
  std::unique_ptr<netlink::NetlinkTapDriver> taps_;
  std::unique_ptr<netlink::NetlinkQdiscDriver> qdiscs_;
  std::vector<Finding> findings_;
  std::set<std::string> missing_;
};

}  // namespace

std::vector<Finding> ProbeNetwork(const Options& options) {
  std::vector<Finding> findings;
  // A thread of its own, because the namespace is the thread's; what was made goes with it.
  std::jthread([&] {
    if (::unshare(CLONE_NEWNET) != 0) {
      findings.push_back(Missing(
          "network namespace", FromErrno(errno, "make one to try the network features in").message,
          "run as root (CAP_SYS_ADMIN) on a kernel with CONFIG_NET_NS"));
      return;
    }
    findings = NetworkProbe(options).Run();
  }).join();
  return findings;
}

}  // namespace forkplane::app
