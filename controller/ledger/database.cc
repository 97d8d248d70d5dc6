#include "controller/ledger/database.h"

#include "controller/ledger/schema.h"

namespace forkplane::ledger {
namespace {

using std::chrono::milliseconds;

std::int64_t Ms(WallTime time) {
  return std::chrono::duration_cast<milliseconds>(time.time_since_epoch()).count();
}
std::int64_t Ms(MonotonicTime time) {
  // Rounded up: a rest may last longer than asked for, never shorter.
  return std::chrono::ceil<milliseconds>(time.time_since_epoch()).count();
}

void BindAt(SqliteStatement& statement, int at, std::string_view value) {
  statement.Bind(at, value);
}
void BindAt(SqliteStatement& statement, int at, const std::string& value) {
  statement.Bind(at, value);
}
void BindAt(SqliteStatement& statement, int at, std::nullopt_t value) { statement.Bind(at, value); }
template <std::integral T>
void BindAt(SqliteStatement& statement, int at, T value) {
  statement.Bind(at, static_cast<std::int64_t>(value));
}

template <typename... Values>
Status RunWith(SqliteStatement& statement, const Values&... values) {
  int at = 0;
  (BindAt(statement, ++at, values), ...);
  return statement.Run();
}

constexpr const char* kPutMeta =
    "INSERT INTO meta VALUES (?,?) ON CONFLICT (key) DO UPDATE SET value=excluded.value";
constexpr const char* kPutNetwork =
    "INSERT INTO networks VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT (uid) DO UPDATE SET "
    "name=excluded.name, cidr=excluded.cidr, gateway=excluded.gateway, mtu=excluded.mtu, "
    "unshaped_rate_bits=excluded.unshaped_rate_bits, isolation=excluded.isolation, "
    "address_rest_ms=excluded.address_rest_ms, releasing=excluded.releasing, "
    "dns=excluded.dns, routed=excluded.routed";
constexpr const char* kPutBridge =
    "INSERT INTO bridges VALUES (?,?,?,?) ON CONFLICT (number) DO UPDATE SET "
    "releasing=excluded.releasing";
constexpr const char* kPutVm =
    "INSERT INTO vms VALUES (?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT (owner_uid) DO UPDATE SET "
    "releasing=excluded.releasing, vmm_pid=excluded.vmm_pid, "
    "vmm_start_time_ticks=excluded.vmm_start_time_ticks, vmm_boot_id=excluded.vmm_boot_id, "
    "vmm_cgroup=excluded.vmm_cgroup";
constexpr const char* kPutInterface =
    "INSERT INTO interfaces VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT (id) DO "
    "UPDATE SET state=excluded.state, tap_absent=excluded.tap_absent, "
    "class_absent=excluded.class_absent, since_ms=excluded.since_ms";
constexpr const char* kPutSlot =
    "INSERT INTO slots VALUES (?,?,?,?,?) ON CONFLICT (owner_uid) DO UPDATE SET "
    "granted=excluded.granted, since_ms=excluded.since_ms";
constexpr const char* kPutPool =
    "INSERT INTO pools VALUES (?,?) ON CONFLICT (pool) DO UPDATE SET total=excluded.total";
constexpr const char* kPutRest =
    "INSERT INTO rests VALUES (?,?,?,?,?,?,?,?) ON CONFLICT (address) DO UPDATE SET "
    "boot_id=excluded.boot_id, until_monotonic_ms=excluded.until_monotonic_ms";
constexpr const char* kDeleteVm = "DELETE FROM vms WHERE owner_uid=?";
constexpr const char* kDeleteInterface = "DELETE FROM interfaces WHERE id=?";
constexpr const char* kDeleteNetwork = "DELETE FROM networks WHERE uid=?";
constexpr const char* kDeleteBridge = "DELETE FROM bridges WHERE number=?";
constexpr const char* kDeleteSlot = "DELETE FROM slots WHERE owner_uid=?";
constexpr const char* kDeleteRest = "DELETE FROM rests WHERE address=?";

// "10.0.0.8 10.0.0.9"; empty when there is none.
std::string DnsText(const NetworkParameters& parameters) {
  std::string text;
  for (const Ipv4 server : parameters.dns) {
    if (server.empty()) continue;
    if (!text.empty()) text += ' ';
    text += ToString(server);
  }
  return text;
}

const char* SqlOf(const Mutation& mutation) {
  // In the order of the variant.
  constexpr const char* kSql[] = {kPutVm,      kPutInterface,    kPutNetwork,    kPutBridge,
                                  kPutSlot,    kPutPool,         kPutRest,       kPutMeta,
                                  kDeleteVm,   kDeleteInterface, kDeleteNetwork, kDeleteBridge,
                                  kDeleteSlot, kDeleteRest};
  static_assert(std::size(kSql) == std::variant_size_v<Mutation>);
  return kSql[mutation.index()];
}

struct RowWriter {
  SqliteStatement& statement;
  const std::string& boot_id;

  Status operator()(const MetaRow& row) { return RunWith(statement, row.key, row.value); }
  Status operator()(const NetworkLease& row) {
    const NetworkParameters& p = row.parameters;
    return RunWith(statement, p.uid, p.name, row.bridge, ToString(p.cidr), ToString(p.gateway),
                   p.mtu, p.unshaped_rate_bits, p.isolation, p.address_rest.count(), row.releasing,
                   Ms(row.since), DnsText(p), p.routed);
  }
  Status operator()(const BridgeRow& row) {
    return RunWith(statement, row.number, row.network_uid, row.releasing, Ms(row.since));
  }
  Status operator()(const VmRow& row) {
    const Owner& o = row.owner;
    const auto with = [&](const auto&... vmm) {
      return RunWith(statement, o.uid, o.ns, o.name, row.releasing, row.vmm_uid, row.cgroup,
                     row.directory, Ms(row.since), vmm...);
    };
    if (!row.vmm) return with(std::nullopt, std::nullopt, std::nullopt, std::nullopt);
    return with(row.vmm->pid, row.vmm->start_time_ticks, row.vmm->boot_id, row.vmm->cgroup);
  }
  Status operator()(const InterfaceLease& row) {
    const Owner& o = row.owner;
    return RunWith(statement, row.id, o.uid, o.ns, o.name, row.ordinal, row.name, row.network_uid,
                   row.network_name, row.number, ToString(row.address), ToString(row.state),
                   row.tap.vnet_header_bytes, row.tap.offloads, row.translated,
                   ToString(row.inner_address), ToString(row.inner_mac), row.tap_absent,
                   row.class_absent, Ms(row.since), row.bridge);
  }
  Status operator()(const SlotRow& row) {
    return RunWith(statement, row.owner_uid, row.pool, row.granted, row.sequence, Ms(row.since));
  }
  Status operator()(const PoolRow& row) { return RunWith(statement, row.pool, row.total); }
  Status operator()(const RestRow& row) {
    const RestingAddress& r = row.resting;
    return RunWith(statement, ToString(r.address), r.network_uid, r.last_owner.uid, r.last_owner.ns,
                   r.last_owner.name, boot_id, Ms(r.until), r.rest.count());
  }
  Status operator()(const DeleteVm& row) { return RunWith(statement, row.owner_uid); }
  Status operator()(const DeleteInterface& row) { return RunWith(statement, row.id); }
  Status operator()(const DeleteNetwork& row) { return RunWith(statement, row.uid); }
  Status operator()(const DeleteBridge& row) { return RunWith(statement, row.number); }
  Status operator()(const DeleteSlot& row) { return RunWith(statement, row.owner_uid); }
  Status operator()(const DeleteRest& row) { return RunWith(statement, ToString(row.address)); }
};

Status CreateSchema(SqliteConnection& connection, const std::string& identity) {
  RETURN_IF_ERROR(connection.Exec("BEGIN IMMEDIATE"));
  RETURN_IF_ERROR(connection.Exec(kSchema));
  RETURN_IF_ERROR(connection.Exec(kBridgesSchema));
  ASSIGN_OR_RETURN(SqliteStatement put, connection.Prepare(kPutMeta));
  RETURN_IF_ERROR(RunWith(put, std::string(kIdentityKey), identity));
  RETURN_IF_ERROR(connection.Exec(fmt::format("PRAGMA user_version={}", kSchemaVersion)));
  return connection.Exec("COMMIT");
}

// All steps or none.
Status Upgrade(SqliteConnection& connection, std::int64_t version) {
  RETURN_IF_ERROR(connection.Exec("BEGIN IMMEDIATE"));
  if (version < 2) RETURN_IF_ERROR(connection.Exec(kUpgradeFrom1));
  RETURN_IF_ERROR(connection.Exec(kUpgradeFrom2));
  RETURN_IF_ERROR(connection.Exec(kBridgesSchema));
  RETURN_IF_ERROR(connection.Exec(fmt::format("PRAGMA user_version={}", kSchemaVersion)));
  return connection.Exec("COMMIT");
}

}  // namespace

Result<Database> Database::Open(const std::string& path, const std::string& new_identity) {
  ASSIGN_OR_RETURN(SqliteConnection connection, SqliteConnection::Open(path, "ledger"));
  // EXCLUSIVE: a second daemon on this file fails at its first statement. WAL with FULL: a commit
  // is one fsync of the log, and it is on disk when the call returns.
  for (const char* pragma : {"PRAGMA locking_mode=EXCLUSIVE", "PRAGMA journal_mode=WAL",
                             "PRAGMA synchronous=FULL", "PRAGMA foreign_keys=ON"}) {
    auto done = connection.Exec(pragma);
    if (!done.ok()) {
      return std::move(done).error().WithContext(fmt::format("open ledger {}", path));
    }
  }
  std::int64_t version = 0;
  {
    ASSIGN_OR_RETURN(SqliteStatement query, connection.Prepare("PRAGMA user_version"));
    RETURN_IF_ERROR(query.Step());
    version = query.Int(0);
  }
  if (version > kSchemaVersion) {
    return Invalid(fmt::format("ledger {} has schema version {}; this program knows {}", path,
                               version, kSchemaVersion));
  }
  if (version == 0) {
    RETURN_IF_ERROR(CreateSchema(connection, new_identity));
  } else if (version < kSchemaVersion) {
    RETURN_IF_ERROR(Upgrade(connection, version));
  }
  return Database(std::move(connection));
}

Result<SqliteStatement*> Database::Prepared(const char* sql) {
  auto it = statements_.find(sql);
  if (it == statements_.end()) {
    ASSIGN_OR_RETURN(SqliteStatement statement, connection_.Prepare(sql));
    it = statements_.emplace(sql, std::move(statement)).first;
  }
  return &it->second;
}

Status Database::Write(const Mutation& mutation, const std::string& boot_id) {
  ASSIGN_OR_RETURN(SqliteStatement * statement, Prepared(SqlOf(mutation)));
  return std::visit(RowWriter{*statement, boot_id}, mutation);
}

}  // namespace forkplane::ledger
