// Reads ledger.db into an Index. A record that is not understood is reported, never skipped in
// silence: the ledger then refuses new leases.
#include <algorithm>
#include <fstream>

#include "controller/ledger/database.h"

namespace forkplane::ledger {
namespace {

using std::chrono::milliseconds;

WallTime WallOf(std::int64_t ms) { return WallTime(milliseconds(ms)); }

class Loader {
 public:
  Loader(SqliteConnection& connection, const BootTime& boot, std::uint32_t uid_first)
      : connection_(connection), boot_(boot), loaded_{Index(uid_first), {}, {}} {}

  Result<Loaded> Run() {
    RETURN_IF_ERROR(CheckIntegrity());
    RETURN_IF_ERROR(Table("meta", &Loader::Meta));
    RETURN_IF_ERROR(Table("networks", &Loader::Network));
    RETURN_IF_ERROR(Table("bridges", &Loader::Bridge));
    RETURN_IF_ERROR(Table("vms", &Loader::Vm));
    RETURN_IF_ERROR(Table("interfaces", &Loader::Interface));
    RETURN_IF_ERROR(Table("slots", &Loader::Slot));
    RETURN_IF_ERROR(Table("pools", &Loader::Pool));
    RETURN_IF_ERROR(Table("rests", &Loader::Rest));
    RETURN_IF_ERROR(NextLease());
    return std::move(loaded_);
  }

 private:
  using Parse = Status (Loader::*)(const SqliteStatement&);

  // Pages, indexes and constraints, as SQLite sees them. What can still be read is read.
  Status CheckIntegrity() {
    ASSIGN_OR_RETURN(SqliteStatement rows, connection_.Prepare("PRAGMA quick_check(10)"));
    while (true) {
      ASSIGN_OR_RETURN(const bool more, rows.Step());
      if (!more) return OkStatus();
      if (rows.Text(0) != "ok") loaded_.unreadable.push_back("file: " + rows.Text(0));
    }
  }

  // Columns come by position: the order of schema.h.
  Status Table(std::string_view table, Parse parse) {
    ASSIGN_OR_RETURN(SqliteStatement rows,
                     connection_.Prepare(fmt::format("SELECT * FROM {}", table)));
    while (true) {
      ASSIGN_OR_RETURN(const bool more, rows.Step());
      if (!more) return OkStatus();
      auto read = (this->*parse)(rows);
      if (read.ok()) continue;
      loaded_.unreadable.push_back(
          fmt::format("{} {}: {}", table, rows.Text(0), read.error().message));
    }
  }

  Status Meta(const SqliteStatement& row) {
    loaded_.index.Apply(MetaRow{row.Text(0), row.Text(1)});
    return OkStatus();
  }

  static Status ReadDns(std::string_view text, NetworkParameters& parameters) {
    for (Ipv4& server : parameters.dns) {
      if (text.empty()) return OkStatus();
      const std::size_t end = std::min(text.find(' '), text.size());
      ASSIGN_OR_RETURN(server, ParseIpv4(text.substr(0, end)));
      text.remove_prefix(std::min(end + 1, text.size()));
    }
    if (!text.empty()) return Invalid("more name servers than are told to guests");
    return OkStatus();
  }

  Status Network(const SqliteStatement& row) {
    NetworkLease lease;
    NetworkParameters& p = lease.parameters;
    p.uid = row.Text(0);
    p.name = row.Text(1);
    ASSIGN_OR_RETURN(lease.bridge, Small(row, 2));
    ASSIGN_OR_RETURN(p.cidr, ParseCidr(row.Text(3)));
    ASSIGN_OR_RETURN(p.gateway, ParseIpv4(row.Text(4)));
    ASSIGN_OR_RETURN(p.mtu, Small(row, 5));
    p.unshaped_rate_bits = static_cast<std::uint64_t>(row.Int(6));
    p.isolation = row.Int(7) != 0;
    p.address_rest = milliseconds(row.Int(8));
    lease.releasing = row.Int(9) != 0;
    lease.since = WallOf(row.Int(10));
    RETURN_IF_ERROR(ReadDns(row.Text(11), p));
    p.routed = row.Int(12) != 0;
    loaded_.index.Apply(lease);
    return OkStatus();
  }

  Status Bridge(const SqliteStatement& row) {
    BridgeRow bridge;
    ASSIGN_OR_RETURN(bridge.number, Small(row, 0));
    bridge.network_uid = row.Text(1);
    bridge.releasing = row.Int(2) != 0;
    bridge.since = WallOf(row.Int(3));
    if (loaded_.index.bridge_numbers.Contains(bridge.number)) {
      return Invalid("its number is leased twice");
    }
    loaded_.index.Apply(bridge);  // taken, whatever else is wrong with it
    if (!loaded_.index.networks.contains(bridge.network_uid)) {
      return Invalid("its network has no record");
    }
    return OkStatus();
  }

  Status Vm(const SqliteStatement& row) {
    VmRow vm;
    vm.owner = {row.Text(0), row.Text(1), row.Text(2)};
    vm.releasing = row.Int(3) != 0;
    ASSIGN_OR_RETURN(vm.vmm_uid, Small(row, 4));
    vm.cgroup = row.Text(5);
    vm.directory = row.Text(6);
    if (vm.cgroup.empty() || vm.directory.empty()) return Invalid("no cgroup or directory name");
    vm.since = WallOf(row.Int(7));
    if (!row.IsNull(8)) {
      ASSIGN_OR_RETURN(const std::uint32_t pid, Small(row, 8));
      vm.vmm = VmmRecord{static_cast<std::int32_t>(pid), static_cast<std::uint64_t>(row.Int(9)),
                         row.Text(10), row.Text(11)};
    }
    loaded_.index.Apply(vm);
    return OkStatus();
  }

  Status Interface(const SqliteStatement& row) {
    InterfaceLease lease;
    lease.id = row.Int(0);
    lease.owner = {row.Text(1), row.Text(2), row.Text(3)};
    ASSIGN_OR_RETURN(lease.ordinal, Small(row, 4));
    lease.name = row.Text(5);
    lease.network_uid = row.Text(6);
    lease.network_name = row.Text(7);
    ASSIGN_OR_RETURN(lease.number, Small(row, 8));
    if (!IsInterfaceNumber(lease.number)) {
      return Invalid(fmt::format("number {} is out of range", lease.number));
    }
    ASSIGN_OR_RETURN(lease.address, ParseIpv4(row.Text(9)));
    ASSIGN_OR_RETURN(lease.state, StateOf(row.Text(10)));
    ASSIGN_OR_RETURN(lease.tap.vnet_header_bytes, Small(row, 11));
    ASSIGN_OR_RETURN(lease.tap.offloads, Small(row, 12));
    lease.translated = row.Int(13) != 0;
    ASSIGN_OR_RETURN(lease.inner_address, ParseIpv4(row.Text(14)));
    ASSIGN_OR_RETURN(lease.inner_mac, ParseMac(row.Text(15)));
    lease.tap_absent = row.Int(16) != 0;
    lease.class_absent = row.Int(17) != 0;
    lease.since = WallOf(row.Int(18));
    ASSIGN_OR_RETURN(lease.bridge, Small(row, 19));
    return Place(lease);
  }

  // UNIQUE and REFERENCES held when the row was written; a file that was edited may break them.
  Status Place(const InterfaceLease& lease) {
    Index& index = loaded_.index;
    if (index.by_number.contains(lease.number)) return Invalid("its number is leased twice");
    if (index.by_address.contains(lease.address)) return Invalid("its address is leased twice");
    if (index.FindInterface(lease.owner.uid, lease.ordinal) != nullptr) {
      return Invalid("its owner has two interfaces of that ordinal");
    }
    index.Apply(lease);  // taken, whatever else is wrong with it
    const auto network = index.networks.find(lease.network_uid);
    if (network == index.networks.end()) return Invalid("its network has no record");
    if (!network->second.parameters.cidr.Contains(lease.address)) {
      return Invalid(fmt::format("address {} is outside {}", ToString(lease.address),
                                 ToString(network->second.parameters.cidr)));
    }
    const auto further = index.bridges.find(lease.bridge);
    const bool placed =
        lease.bridge == network->second.bridge ||
        (further != index.bridges.end() && further->second.network_uid == lease.network_uid);
    if (!placed) return Invalid(fmt::format("bridge {} is not its network's", lease.bridge));
    if (!index.vms.contains(lease.owner.uid)) return Invalid("its owner has no record");
    return OkStatus();
  }

  Status Slot(const SqliteStatement& row) {
    SlotRow slot{row.Text(0), row.Text(1), row.Int(2) != 0, row.Int(3), WallOf(row.Int(4))};
    if (!loaded_.index.vms.contains(slot.owner_uid)) return Invalid("its owner has no record");
    loaded_.index.Apply(slot);
    return OkStatus();
  }

  Status Pool(const SqliteStatement& row) {
    ASSIGN_OR_RETURN(const std::uint32_t total, Small(row, 1));
    loaded_.index.Apply(PoolRow{row.Text(0), total});
    return OkStatus();
  }

  Status Rest(const SqliteStatement& row) {
    RestRow rest;
    ASSIGN_OR_RETURN(rest.resting.address, ParseIpv4(row.Text(0)));
    rest.resting.network_uid = row.Text(1);
    rest.resting.last_owner = {row.Text(2), row.Text(3), row.Text(4)};
    rest.resting.rest = milliseconds(row.Int(7));
    const MonotonicTime longest = boot_.now + rest.resting.rest;
    const MonotonicTime written{milliseconds(row.Int(6))};
    const bool same_boot = row.Text(5) == boot_.boot_id;
    rest.resting.until = same_boot ? std::min(written, longest) : longest;
    if (!same_boot) loaded_.restamped.emplace_back(rest);
    loaded_.index.Apply(rest);
    return OkStatus();
  }

  // An id is never used twice, also when the lease with the highest one is long gone.
  Status NextLease() {
    ASSIGN_OR_RETURN(
        SqliteStatement query,
        connection_.Prepare("SELECT seq FROM sqlite_sequence WHERE name='interfaces'"));
    ASSIGN_OR_RETURN(const bool row, query.Step());
    if (row) loaded_.index.next_lease = std::max(loaded_.index.next_lease, query.Int(0) + 1);
    return OkStatus();
  }

  static Result<std::uint32_t> Small(const SqliteStatement& row, int column) {
    const std::int64_t value = row.Int(column);
    if (value < 0 || value > 0xffffffffLL) {
      return Invalid(fmt::format("column {}: {} is out of range", column, value));
    }
    return static_cast<std::uint32_t>(value);
  }
  static Result<InterfaceState> StateOf(const std::string& text) {
    for (const auto state : {InterfaceState::kActive, InterfaceState::kReleasing}) {
      if (text == ToString(state)) return state;
    }
    return Invalid(fmt::format("state '{}' is unknown", text));
  }

  SqliteConnection& connection_;
  const BootTime& boot_;
  Loaded loaded_;
};

}  // namespace

Result<std::string> ReadBootId() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string id;
  if (!std::getline(file, id) || id.empty()) return Internal("read boot_id: not readable");
  return id;
}

std::string Summary(const std::vector<std::string>& unreadable) {
  if (unreadable.empty()) return {};
  return fmt::format("{} unreadable record(s), first: {}", unreadable.size(), unreadable.front());
}

Result<Loaded> Database::Load(const BootTime& boot, std::uint32_t uid_first) {
  return Loader(connection_, boot, uid_first).Run();
}

}  // namespace forkplane::ledger
