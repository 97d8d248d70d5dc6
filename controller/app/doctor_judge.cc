// Facts in, findings out.
#include <charconv>
#include <sstream>

#include "controller/app/descriptors.h"
#include "controller/app/doctor_probes.h"

namespace forkplane::app {
namespace {

struct Version {
  int major = 0;
  int minor = 0;
  auto operator<=>(const Version&) const = default;
};

// "6.1.0-18-amd64" -> 6.1; 0.0 when it is no version.
Version ParseRelease(std::string_view release) {
  Version version;
  const char* const end = release.data() + release.size();
  const auto [dot, bad_major] = std::from_chars(release.data(), end, version.major);
  if (bad_major != std::errc() || dot == end || *dot != '.') return {};
  const auto [rest, bad_minor] = std::from_chars(dot + 1, end, version.minor);
  return bad_minor == std::errc() ? version : Version{};
}

// Without pidfd_open the exit of a VMM is not noticed.
constexpr Version kRequired = {5, 3};
// The version man-pages name for each call, and what happens without.
struct Gain {
  Version since;
  const char* without;
};
constexpr Gain kGains[] = {
    {{5, 6}, "pidfd_getfd (5.6): a TAP deleted under a running VMM is not healed"},
    {{5, 7}, "CLONE_INTO_CGROUP (5.7): a VMM moves itself into its cgroup"},
    {{5, 14}, "cgroup.kill (5.14): the processes of a VMM are killed one by one"},
};

constexpr std::uint64_t Bit(int capability) { return std::uint64_t{1} << capability; }

// Numbers of linux/capability.h.
constexpr std::uint64_t kChown = Bit(0);
constexpr std::uint64_t kSetGid = Bit(6);
constexpr std::uint64_t kSetUid = Bit(7);
constexpr std::uint64_t kNetAdmin = Bit(12);
constexpr std::uint64_t kSysPtrace = Bit(19);
constexpr std::uint64_t kSysAdmin = Bit(21);
constexpr std::uint64_t kSysResource = Bit(24);
constexpr std::uint64_t kPerfmon = Bit(38);
constexpr std::uint64_t kBpf = Bit(39);

struct Need {
  const char* name;
  std::uint64_t all_of;  // or CAP_SYS_ADMIN where `or_admin`
  bool or_admin;
  Level without;
  const char* use;
};
constexpr Need kNeeds[] = {
    {"CAP_NET_ADMIN", kNetAdmin, false, Level::kMissing, "no link, qdisc or nftables rule is made"},
    {"CAP_SYS_ADMIN", kSysAdmin, false, Level::kMissing, "no private root is made for a VMM"},
    {"CAP_BPF and CAP_PERFMON", kBpf | kPerfmon, true, Level::kMissing,
     "the translating programs are not loaded"},
    {"CAP_SETUID and CAP_SETGID", kSetUid | kSetGid, false, Level::kMissing,
     "no VMM runs under a uid of its own"},
    {"CAP_CHOWN", kChown, false, Level::kMissing, "a VM's console cannot be given to its uid"},
    {"CAP_SYS_PTRACE", kSysPtrace, false, Level::kDegraded,
     "a TAP deleted under a running VMM is not healed"},
    {"CAP_SYS_RESOURCE", kSysResource, false, Level::kDegraded,
     "what holds a snapshot's memory is not kept from the OOM killer better than the daemon is"},
};

constexpr std::uint64_t kMiB = std::uint64_t{1} << 20U;
constexpr std::uint64_t kFreeMin = 64 * kMiB;       // databases, logs and sockets of a few VMs
constexpr std::uint64_t kFreeEnough = 1024 * kMiB;  // a snapshot's memory and disk beside them

// Lines of "first, first outside, count" (user_namespaces(7)); one of them must have it all.
bool IsMapped(const UidRange& range, std::string_view map) {
  std::istringstream lines{std::string(map)};
  std::uint64_t first = 0;
  std::uint64_t outside = 0;
  std::uint64_t count = 0;
  while (lines >> first >> outside >> count) {
    if (first <= range.helper && range.last < first + count) return true;
  }
  return false;
}

}  // namespace

Finding JudgeKernel(std::string_view release) {
  const std::string what = "kernel";
  const Version version = ParseRelease(release);
  if (version < kRequired) {
    return Missing(what,
                   fmt::format("Linux {}: without pidfd_open (5.3) no VMM is watched", release),
                   "Linux 5.14 or later (Debian 12 has 6.1: apt-get install linux-image-amd64)");
  }
  std::string gaps;
  for (const Gain& gain : kGains) {
    if (version < gain.since) gaps += fmt::format("{}{}", gaps.empty() ? "" : "; ", gain.without);
  }
  if (gaps.empty()) return Ok(what, fmt::format("Linux {}", release));
  return Degraded(what, fmt::format("Linux {} has no {}", release, gaps),
                  "Linux 5.14 or later (Debian 12 has 6.1: apt-get install linux-image-amd64)");
}

std::vector<Finding> JudgeCapabilities(std::uint64_t effective) {
  std::vector<Finding> findings;
  std::string names;
  for (const Need& need : kNeeds) {
    const bool has =
        (effective & need.all_of) == need.all_of || (need.or_admin && (effective & kSysAdmin) != 0);
    names += fmt::format("{}{}", names.empty() ? "" : ", ", need.name);
    if (has) continue;
    findings.push_back({need.without, need.name, fmt::format("not effective: {}", need.use),
                        "run as root; systemd: add it to AmbientCapabilities= and "
                        "CapabilityBoundingSet=; a pod: securityContext.capabilities.add"});
  }
  if (findings.empty()) findings.push_back(Ok("capabilities", names));
  return findings;
}

Finding JudgeBounds(const std::string& tree, const process::Controllers& offered,
                    const process::Controllers& given) {
  const std::string what = "VMM bounds";
  const std::string missing = given.Missing();
  if (missing.empty()) return Ok(what, "memory and pids by cgroup");
  const std::string detail = fmt::format(
      "{} gives a VMM no controller for: {}; a VMM that leaks or was taken over is held there only "
      "by the host's own limits",
      tree, missing);
  if (!offered.Missing().empty()) {
    return Degraded(what, detail,
                    "a tree that has them: boot with systemd.unified_cgroup_hierarchy=1 "
                    "(cgroup v1 holds them now, or the kernel lacks CONFIG_MEMCG or "
                    "CONFIG_CGROUP_PIDS)");
  }
  return Degraded(what, detail,
                  fmt::format("echo '+memory +pids' > {}/cgroup.subtree_control (no process may "
                              "live in that cgroup itself unless it is the root)",
                              tree));
}

Finding JudgeUids(const UidRange& range, std::string_view uid_map, std::string_view gid_map) {
  const std::string what = "VMM uids";
  for (const auto& [name, map] : {std::pair("uid", uid_map), std::pair("gid", gid_map)}) {
    if (IsMapped(range, map)) continue;
    return Missing(what,
                   fmt::format("not every {} of {}-{} exists in this user namespace (/proc/self/"
                               "{}_map)",
                               name, range.helper, range.last, name),
                   "--uid-range FIRST-LAST within the map, or a container without a user namespace "
                   "of its own");
  }
  return Ok(what, fmt::format("{}-{}", range.helper, range.last));
}

Finding JudgeDescriptors(std::uint64_t hard_limit) {
  const std::string what = "file descriptors";
  constexpr std::size_t kWatchesEnough = 1000;
  const DescriptorBudget budget = BudgetUnder(hard_limit);
  const std::string detail = fmt::format("{}, for {} connections and {} watches of the API",
                                         budget.limit, budget.connections_max, budget.watches_max);
  if (budget.watches_max >= kWatchesEnough) return Ok(what, detail);
  return Degraded(what, detail + ": more are answered 429",
                  "raise the hard limit: LimitNOFILE=524288 in the unit, or ulimit -Hn");
}

Finding JudgeFreeSpace(const std::string& directory, std::uint64_t free_bytes) {
  const std::string detail = fmt::format("{} MiB below {}", free_bytes / kMiB, directory);
  if (free_bytes >= kFreeEnough) return Ok("free space", detail);
  const std::string remedy = "make room, or name a directory on a larger disk: --state-dir";
  if (free_bytes >= kFreeMin) {
    return Degraded("free space", detail + ": too little for most snapshots", remedy);
  }
  return Missing("free space", detail + ": the databases could not be written", remedy);
}

Finding JudgeLeaf(std::string_view wanted, bool has_fq_codel) {
  const std::string what = "leaf queue";
  const std::string remedy = "modprobe sch_fq_codel (CONFIG_NET_SCH_FQ_CODEL)";
  if (wanted == "bfifo") return Ok(what, "bfifo, as --leaf says");
  if (has_fq_codel) return Ok(what, "fq_codel");
  if (wanted == "fq_codel") {
    return Missing(what, "this kernel has no fq_codel, which --leaf demands",
                   remedy + ", or --leaf auto");
  }
  return Degraded(
      what, "no fq_codel: a bfifo bounded in bytes is used; the flows of one VM share it", remedy);
}

Finding JudgeFlows(bool has_ctnetlink) {
  const std::string what = "connection tracking";
  if (has_ctnetlink) return Ok(what, "flows of a released address are flushed");
  return Degraded(
      what,
      "no ctnetlink: if this kernel tracks connections, whoever gets a released address "
      "next also gets what is left of its flows; let addresses rest longer "
      "(Network.spec.addressRest)",
      "modprobe nf_conntrack_netlink (CONFIG_NF_CT_NETLINK)");
}

Finding JudgeForwardingProbe(const std::string& refusal) {
  const std::string what = "forwarding probe";
  if (refusal.empty()) return Ok(what, "a table of others that drops what guests send is found");
  return Degraded(what,
                  refusal +
                      ": condition ForwardingBlocked of a Network is never found; what others "
                      "drop must be found by hand",
                  "Linux 5.18 or later");
}

Finding JudgeRedirect(std::string_view wanted, bool bpf_works) {
  const std::string what = "upload redirect";
  if (wanted == "mirred") return Ok(what, "act_mirred, as --redirect says");
  if (wanted == "mark")
    return Ok(what, "none: a mark for the HTB on the uplink, as --redirect says");
  if (bpf_works) return Ok(what, "bpf_redirect");
  if (wanted == "bpf") {
    return Missing(what, "bpf_redirect sends packets through clsact twice; --redirect demands it",
                   "Linux 6.4 or later, or --redirect auto");
  }
  return Degraded(what,
                  "bpf_redirect sends packets through clsact twice: act_mirred is used, a second "
                  "filter for each packet",
                  "Linux 6.4 or later");
}

}  // namespace forkplane::app
