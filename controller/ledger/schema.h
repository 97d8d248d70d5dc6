// The tables of ledger.db, version 3.
#pragma once

namespace forkplane::ledger {

inline constexpr int kSchemaVersion = 3;

// Times named *_ms are milliseconds since 1970 (for people) unless the name says monotonic.
inline constexpr const char* kSchema = R"sql(
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;

CREATE TABLE networks (
  uid TEXT PRIMARY KEY CHECK (uid <> ''),
  name TEXT NOT NULL UNIQUE,
  bridge INTEGER NOT NULL UNIQUE CHECK (bridge BETWEEN 0 AND 65535),
  cidr TEXT NOT NULL UNIQUE,
  gateway TEXT NOT NULL,
  mtu INTEGER NOT NULL,
  unshaped_rate_bits INTEGER NOT NULL,
  isolation INTEGER NOT NULL CHECK (isolation IN (0, 1)),
  address_rest_ms INTEGER NOT NULL CHECK (address_rest_ms >= 0),
  releasing INTEGER NOT NULL CHECK (releasing IN (0, 1)),
  since_ms INTEGER NOT NULL DEFAULT 0,
  dns TEXT NOT NULL DEFAULT '',
  routed INTEGER NOT NULL DEFAULT 0 CHECK (routed IN (0, 1))
) STRICT;

CREATE TABLE vms (
  owner_uid TEXT PRIMARY KEY CHECK (owner_uid <> ''),
  namespace TEXT NOT NULL,
  name TEXT NOT NULL,
  releasing INTEGER NOT NULL CHECK (releasing IN (0, 1)),
  vmm_uid INTEGER NOT NULL UNIQUE,
  cgroup TEXT NOT NULL UNIQUE,
  directory TEXT NOT NULL UNIQUE,
  since_ms INTEGER NOT NULL,
  vmm_pid INTEGER,
  vmm_start_time_ticks INTEGER,
  vmm_boot_id TEXT,
  vmm_cgroup TEXT
) STRICT;

CREATE TABLE interfaces (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  owner_uid TEXT NOT NULL REFERENCES vms (owner_uid),
  namespace TEXT NOT NULL,
  owner_name TEXT NOT NULL,
  ordinal INTEGER NOT NULL CHECK (ordinal BETWEEN 0 AND 255),
  name TEXT NOT NULL,
  network_uid TEXT NOT NULL REFERENCES networks (uid),
  network_name TEXT NOT NULL,
  number INTEGER NOT NULL UNIQUE,
  address TEXT NOT NULL UNIQUE,
  state TEXT NOT NULL CHECK (state IN ('Active', 'Releasing')),
  vnet_header_bytes INTEGER NOT NULL,
  offloads INTEGER NOT NULL,
  translated INTEGER NOT NULL CHECK (translated IN (0, 1)),
  inner_address TEXT NOT NULL,
  inner_mac TEXT NOT NULL,
  tap_absent INTEGER NOT NULL CHECK (tap_absent IN (0, 1)),
  class_absent INTEGER NOT NULL CHECK (class_absent IN (0, 1)),
  since_ms INTEGER NOT NULL,
  bridge INTEGER NOT NULL DEFAULT 0,
  UNIQUE (owner_uid, ordinal)
) STRICT;

CREATE TABLE slots (
  owner_uid TEXT PRIMARY KEY REFERENCES vms (owner_uid),
  pool TEXT NOT NULL,
  granted INTEGER NOT NULL CHECK (granted IN (0, 1)),
  sequence INTEGER NOT NULL UNIQUE,
  since_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE pools (
  pool TEXT PRIMARY KEY CHECK (pool <> ''),
  total INTEGER NOT NULL CHECK (total >= 0)
) STRICT;

CREATE TABLE rests (
  address TEXT PRIMARY KEY,
  network_uid TEXT NOT NULL,
  owner_uid TEXT NOT NULL,
  namespace TEXT NOT NULL,
  name TEXT NOT NULL,
  boot_id TEXT NOT NULL,
  until_monotonic_ms INTEGER NOT NULL,
  rest_ms INTEGER NOT NULL CHECK (rest_ms >= 0)
) STRICT;

CREATE TRIGGER resting_address_is_not_leased BEFORE INSERT ON interfaces
WHEN EXISTS (SELECT 1 FROM rests WHERE address = NEW.address)
BEGIN SELECT RAISE(ABORT, 'the address rests'); END;

CREATE TRIGGER leased_address_does_not_rest BEFORE INSERT ON rests
WHEN EXISTS (SELECT 1 FROM interfaces WHERE address = NEW.address)
BEGIN SELECT RAISE(ABORT, 'the address is leased'); END;
)sql";

// Of a Network, beside the one in its own row.
inline constexpr const char* kBridgesSchema = R"sql(
CREATE TABLE bridges (
  number INTEGER PRIMARY KEY CHECK (number BETWEEN 0 AND 65535),
  network_uid TEXT NOT NULL REFERENCES networks (uid),
  releasing INTEGER NOT NULL CHECK (releasing IN (0, 1)),
  since_ms INTEGER NOT NULL
) STRICT;

CREATE TRIGGER further_bridge_is_no_first BEFORE INSERT ON bridges
WHEN EXISTS (SELECT 1 FROM networks WHERE bridge = NEW.number)
BEGIN SELECT RAISE(ABORT, 'the bridge is leased'); END;

CREATE TRIGGER first_bridge_is_no_further BEFORE INSERT ON networks
WHEN EXISTS (SELECT 1 FROM bridges WHERE number = NEW.bridge)
BEGIN SELECT RAISE(ABORT, 'the bridge is leased'); END;
)sql";

// The columns of a new file, in the same places. Version 1 did not say since when a Network is
// leased, nor its name servers.
inline constexpr const char* kUpgradeFrom1 =
    "ALTER TABLE networks ADD COLUMN since_ms INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE networks ADD COLUMN dns TEXT NOT NULL DEFAULT ''";
// Version 2 knew one bridge per Network.
inline constexpr const char* kUpgradeFrom2 =
    "ALTER TABLE networks ADD COLUMN routed INTEGER NOT NULL DEFAULT 0 CHECK (routed IN (0, 1));"
    "ALTER TABLE interfaces ADD COLUMN bridge INTEGER NOT NULL DEFAULT 0;"
    "UPDATE interfaces SET bridge = "
    "coalesce((SELECT bridge FROM networks WHERE uid = network_uid), 0)";

}  // namespace forkplane::ledger
