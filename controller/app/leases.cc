#include "controller/app/leases.h"

#include <array>
#include <cstdio>

#include "controller/apiserver/rest/human_duration.h"
#include "controller/app/debug.h"
#include "controller/base/network_names.h"
#include "controller/ledger/read_listing.h"

namespace forkplane::app {
namespace {

using std::chrono::duration_cast;
using std::chrono::seconds;

constexpr const char* kLedgerFile = "/ledger.db";  // below the state directory, docs/formats.md
constexpr std::size_t kColumns = 5;
using Row = std::array<std::string, kColumns>;

class Table {
 public:
  explicit Table(const Clock& clock) : clock_(clock) {
    rows_.push_back({"OWNER", "KIND", "LEASE", "STATE", "AGE"});
  }

  void Add(const ledger::NetworkLease& lease) {
    const ledger::NetworkParameters& p = lease.parameters;
    rows_.push_back({p.name, "network", BridgeName(lease.bridge) + " " + ToString(p.cidr),
                     lease.releasing ? "Releasing" : "Active", Age(lease.since)});
  }

  void Add(const ledger::VmLease& vm) {
    const std::string owner = ledger::ToString(vm.owner);
    std::string state = vm.releasing ? "Releasing" : "Active";
    if (vm.vmm) state += fmt::format(" pid {}", vm.vmm->pid);
    rows_.push_back({owner, "vmmUid", fmt::format("{}", vm.vmm_uid), state, Age(vm.since)});
    if (vm.slot) {
      const ledger::SlotState& slot = *vm.slot;
      rows_.push_back({owner, "restoreSlot", slot.pool,
                       slot.granted ? "Granted" : fmt::format("Waiting {}", slot.position),
                       Age(slot.since)});
    }
    for (const ledger::InterfaceLease& lease : vm.interfaces) {
      rows_.push_back({owner, "interface",
                       fmt::format("{} {} {}/{}", TapName(lease.number), ToString(lease.address),
                                   lease.network_name, lease.name),
                       StateOf(lease), Age(lease.since)});
    }
  }

  void Add(const ledger::RestingAddress& resting) {
    const auto left = duration_cast<seconds>(resting.until - clock_.Now());
    const std::string state =
        left.count() > 0 ? "Resting " + apiserver::HumanDuration(left) : "Rested";
    rows_.push_back({ledger::ToString(resting.last_owner), "address", ToString(resting.address),
                     state, apiserver::HumanDuration(duration_cast<seconds>(resting.rest) - left)});
  }

  std::string Text() const {
    std::array<std::size_t, kColumns> widths = {};
    for (const Row& row : rows_) {
      for (std::size_t i = 0; i < kColumns; ++i) widths[i] = std::max(widths[i], row[i].size());
    }
    std::string text;
    for (const Row& row : rows_) {
      for (std::size_t i = 0; i + 1 < kColumns; ++i) {
        text += fmt::format("{:<{}}   ", row[i], widths[i]);
      }
      text += row.back() + '\n';
    }
    return text;
  }

 private:
  std::string Age(WallTime since) const {
    if (since == WallTime()) return "-";  // nobody wrote it down
    return apiserver::HumanDuration(duration_cast<seconds>(clock_.WallNow() - since));
  }

  // What a releasing interface still waits for.
  static std::string StateOf(const ledger::InterfaceLease& lease) {
    std::string state(ledger::ToString(lease.state));
    if (lease.state != ledger::InterfaceState::kReleasing) return state;
    if (!lease.tap_absent) state += " tap";
    if (!lease.class_absent) state += " class";
    return state;
  }

  const Clock& clock_;
  std::vector<Row> rows_;
};

}  // namespace

std::string RenderLeases(const ledger::Listing& listing, const Clock& clock) {
  Table table(clock);
  for (const auto& network : listing.networks) table.Add(network);
  for (const auto& vm : listing.vms) table.Add(vm);
  for (const auto& resting : listing.resting) table.Add(resting);
  return table.Text();
}

Status Leases(const Options& options, bool json) {
  const std::string path = options.state_dir + kLedgerFile;
  auto listing = ledger::ReadListing(path);
  if (!listing.ok() && listing.error().code == Code::kNotFound) {
    return NotFound(fmt::format("{}: `forkplane serve` makes it; is --state-dir the daemon's?",
                                listing.error().message));
  }
  if (!listing.ok()) return std::move(listing).error();
  fmt::print("{}",
             json ? LedgerToJson(*listing, RealClock()) : RenderLeases(*listing, RealClock()));
  if (listing->unreadable.empty()) return OkStatus();
  return Internal(
      fmt::format("{}: {}; nothing new is leased until it is repaired (docs/formats.md)", path,
                  listing->unreadable));
}

}  // namespace forkplane::app
