#include "controller/app/interface_metrics.h"

#include <algorithm>
#include <set>
#include <string>
#include <tuple>

#include "controller/base/network_names.h"

namespace forkplane::app {
namespace {

struct Chosen {
  std::vector<ledger::InterfaceLease> leases;
  std::size_t others = 0;
};

// The oldest of the active ones. Labels must be unique: a VM that is held while its object is gone
// and a new one of the same name differ only in what is no label.
Chosen Choose(const ledger::Ledger& ledger, std::size_t most) {
  Chosen chosen;
  for (auto& vm : ledger.ListAll().vms) {
    for (auto& lease : vm.interfaces) {
      if (lease.state == ledger::InterfaceState::kActive) chosen.leases.push_back(std::move(lease));
    }
  }
  const std::size_t all = chosen.leases.size();
  std::sort(chosen.leases.begin(), chosen.leases.end(),
            [](const auto& a, const auto& b) { return a.id < b.id; });
  std::set<std::tuple<std::string, std::string, std::string>> named;
  std::erase_if(chosen.leases, [&](const ledger::InterfaceLease& lease) {
    if (named.size() >= most) return true;
    return !named.emplace(lease.owner.ns, lease.owner.name, lease.name).second;
  });
  chosen.others = all - chosen.leases.size();
  return chosen;
}

metrics::Labels LabelsOf(const ledger::InterfaceLease& lease, const char* direction) {
  return {{"namespace", lease.owner.ns},
          {"name", lease.owner.name},
          {"interface", lease.name},
          {"direction", direction}};
}

}  // namespace

InterfaceMetrics::Look InterfaceMetrics::TakeLook() {
  Look look;
  const Chosen chosen = Choose(ledger_, interfaces_max_);
  look.dropped = chosen.others;
  std::map<std::uint32_t, Result<drivers::DomainQdiscs>> domains;  // by IFB number
  for (const ledger::InterfaceLease& lease : chosen.leases) {
    const std::uint32_t ifb = IfbOf(lease.number);
    auto it = domains.find(ifb);
    if (it == domains.end()) it = domains.emplace(ifb, qdiscs_.ObserveDomain(IfbIndex(ifb))).first;
    if (!it->second.ok()) continue;  // the next scrape catches up
    const drivers::DomainQdiscs& domain = *it->second;
    const auto port = domain.ports.find(TapIndex(lease.number));
    if (port != domain.ports.end() && port->second.root && port->second.root->tbf) {
      look.samples.push_back({LabelsOf(lease, "download"), port->second.root->counters});
    }
    if (!domain.uplink) continue;
    const auto& classes = domain.uplink->classes;
    const auto is = std::lower_bound(
        classes.begin(), classes.end(), MinorOf(lease.number),
        [](const drivers::ObservedClass& a, std::uint32_t minor) { return a.htb.minor < minor; });
    if (is != classes.end() && is->htb.minor == MinorOf(lease.number)) {
      look.samples.push_back({LabelsOf(lease, "upload"), is->counters});
    }
  }
  return look;
}

void InterfaceMetrics::Collect(metrics::Scrape& scrape) {
  Look look;
  bool mine = false;
  {
    const MutexLock lock(mu_);
    mine = !is_looking_;
    is_looking_ = true;
    if (!mine) look = last_;
  }
  if (mine) {
    look = TakeLook();
    const MutexLock lock(mu_);
    last_ = look;
    is_looking_ = false;
  }
  for (const Sample& sample : look.samples) {
    const auto value = [](std::uint64_t count) { return static_cast<double>(count); };
    scrape.AddCounter("forkplane_interface_bytes_total", "Ethernet frames passed, in bytes",
                      sample.labels, value(sample.counters.bytes));
    scrape.AddCounter("forkplane_interface_packets_total", "packets passed", sample.labels,
                      value(sample.counters.packets));
    scrape.AddCounter("forkplane_interface_drops_total",
                      "packets dropped because their queue was full", sample.labels,
                      value(sample.counters.drops));
  }
  scrape.AddGauge("forkplane_interface_metrics_dropped",
                  "active interfaces without series of their own: over --interface-metrics", {},
                  static_cast<double>(look.dropped));
}

}  // namespace forkplane::app
