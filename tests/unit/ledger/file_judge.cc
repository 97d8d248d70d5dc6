#include "tests/unit/ledger/file_judge.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <filesystem>

#include "controller/base/check.h"

namespace forkplane::ledger {
namespace {

struct Rule {
  const char* broken;  // what a row of the query means
  const char* sql;
};

// Uniqueness is asked of the rows, not left to the schema's constraints.
constexpr Rule kRules[] = {
    {"an interface number is held twice",
     "SELECT number FROM interfaces GROUP BY number HAVING count(*)>1"},
    {"an address is held twice",
     "SELECT address FROM (SELECT address FROM interfaces UNION ALL SELECT address FROM rests) "
     "GROUP BY address HAVING count(*)>1"},
    {"an owner has one ordinal twice",
     "SELECT owner_uid, ordinal FROM interfaces GROUP BY owner_uid, ordinal HAVING count(*)>1"},
    {"a VMM uid is held twice", "SELECT vmm_uid FROM vms GROUP BY vmm_uid HAVING count(*)>1"},
    {"a directory or cgroup is held twice",
     "SELECT a.owner_uid FROM vms a JOIN vms b ON a.owner_uid<>b.owner_uid AND "
     "(a.directory=b.directory OR a.cgroup=b.cgroup)"},
    {"a bridge number is held twice",
     "SELECT n FROM (SELECT bridge AS n FROM networks UNION ALL SELECT number FROM bridges) GROUP "
     "BY n HAVING count(*)>1"},
    {"an interface on a bridge that is not its network's",
     "SELECT id FROM interfaces i WHERE bridge NOT IN (SELECT bridge FROM networks WHERE "
     "uid=i.network_uid UNION SELECT number FROM bridges WHERE network_uid=i.network_uid)"},
    {"a bridge with more ports than it may have",
     "SELECT bridge FROM interfaces GROUP BY bridge HAVING count(*)>3"},  // kJudgedPorts
    {"a bridge that is let go under an interface",
     "SELECT number FROM bridges WHERE releasing AND number IN (SELECT bridge FROM interfaces)"},
    {"a bridge without its network",
     "SELECT number FROM bridges WHERE network_uid NOT IN (SELECT uid FROM networks)"},
    {"a place in the queue is held twice",
     "SELECT sequence FROM slots GROUP BY sequence HAVING count(*)>1"},
    {"an interface without its VM or network",
     "SELECT id FROM interfaces WHERE owner_uid NOT IN (SELECT owner_uid FROM vms) OR network_uid "
     "NOT IN (SELECT uid FROM networks)"},
    {"a slot without its VM",
     "SELECT owner_uid FROM slots WHERE owner_uid NOT IN (SELECT owner_uid FROM vms)"},
    {"an active interface of which a part was seen absent",
     "SELECT id FROM interfaces WHERE state='Active' AND (tap_absent OR class_absent)"},
    {"an interface that nothing holds up any more",
     "SELECT id FROM interfaces WHERE tap_absent AND class_absent"},
    {"a VM that is let go and has nothing that would end it",
     "SELECT owner_uid FROM vms WHERE releasing AND owner_uid NOT IN (SELECT owner_uid FROM "
     "interfaces)"},
    {"a VM that is let go and still has a VMM, a slot or an active interface",
     "SELECT owner_uid FROM vms WHERE releasing AND (vmm_pid IS NOT NULL OR owner_uid IN (SELECT "
     "owner_uid FROM slots) OR owner_uid IN (SELECT owner_uid FROM interfaces WHERE "
     "state='Active'))"},
    {"a network that is let go under an interface",
     "SELECT uid FROM networks WHERE releasing AND uid IN (SELECT network_uid FROM interfaces)"},
    {"a later one was granted a slot before an earlier one",
     "SELECT w.owner_uid FROM slots w JOIN slots g ON w.pool=g.pool AND NOT w.granted AND "
     "g.granted AND w.sequence<g.sequence"},
    {"a slot is free and somebody waits",
     "SELECT p.pool FROM pools p WHERE (SELECT count(*) FROM slots s WHERE s.pool=p.pool AND "
     "s.granted)<p.total AND EXISTS (SELECT 1 FROM slots s WHERE s.pool=p.pool AND NOT "
     "s.granted)"},
    {"a lease id could be used again",
     "SELECT id FROM interfaces WHERE id>(SELECT seq FROM sqlite_sequence WHERE "
     "name='interfaces')"},
    {"the file is damaged",
     "SELECT integrity_check FROM pragma_integrity_check WHERE integrity_check<>'ok'"},
};

std::string Joined(const FileJudge::Row& row) {
  std::string text;
  for (const auto& value : row) text += " " + value;
  return text;
}

}  // namespace

void FileJudge::Close::operator()(sqlite3* db) const { sqlite3_close(db); }

FileJudge::FileJudge(const std::string& path) {
  const std::string copy = path + ".judged";
  for (const char* suffix : {"", "-wal"}) {
    std::filesystem::remove(copy + suffix);
    if (!std::filesystem::exists(path + suffix)) continue;
    std::filesystem::copy_file(path + suffix, copy + suffix);
  }
  sqlite3* db = nullptr;
  CHECK(sqlite3_open(copy.c_str(), &db) == SQLITE_OK);
  db_.reset(db);
}

std::vector<FileJudge::Row> FileJudge::Query(const std::string& sql) const {
  std::vector<Row> rows;
  const auto add = [](void* to, int columns, char** values, char**) {
    Row row;
    for (int i = 0; i < columns; ++i) row.emplace_back(values[i] == nullptr ? "-" : values[i]);
    static_cast<std::vector<Row>*>(to)->push_back(std::move(row));
    return 0;
  };
  const int rc = sqlite3_exec(db_.get(), sql.c_str(), add, &rows, nullptr);
  if (rc != SQLITE_OK) rows.push_back({"SQL", sqlite3_errmsg(db_.get())});
  return rows;
}

std::vector<std::string> FileJudge::Wrong(
    const std::map<std::string, std::uint32_t>& totals) const {
  std::vector<std::string> wrong;
  for (const Rule& rule : kRules) {
    for (const Row& row : Query(rule.sql)) wrong.push_back(rule.broken + (":" + Joined(row)));
  }
  for (const Row& row : Query("SELECT pool, sum(granted) FROM slots GROUP BY pool")) {
    const auto total = totals.find(row[0]);
    if (total == totals.end() || std::stoul(row.at(1)) <= total->second) continue;
    wrong.push_back(fmt::format("{} slots of {} are granted, never more than {} were there", row[1],
                                row[0], total->second));
  }
  return wrong;
}

std::map<std::string, std::size_t> FileJudge::Left() const {
  std::map<std::string, std::size_t> left;
  for (const char* table : {"networks", "bridges", "vms", "interfaces", "slots", "rests"}) {
    left[table] = Query(fmt::format("SELECT * FROM {}", table)).size();
  }
  return left;
}

}  // namespace forkplane::ledger
