// What must hold in ledger.db at every commit, whoever wrote it: SQL of the judge's own, on a copy
// of the file. It shares no code with the ledger but the names of the columns.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

struct sqlite3;

namespace forkplane::ledger {

// What the judged ledgers are told; more on one bridge is wrong.
inline constexpr std::uint32_t kJudgedPorts = 3;

class FileJudge {
 public:
  using Row = std::vector<std::string>;  // NULL is "-"

  // The file must not be open in this process: its locks would be lost. The file and its log are
  // copied, so that the ledger recovers from what the crash left.
  explicit FileJudge(const std::string& path);

  std::vector<Row> Query(const std::string& sql) const;

  // A text per broken rule. `totals`: the highest total that anybody asked for, by pool.
  std::vector<std::string> Wrong(const std::map<std::string, std::uint32_t>& totals) const;

  // Rows that are left; all zero when everything is free again.
  std::map<std::string, std::size_t> Left() const;

 private:
  struct Close {
    void operator()(sqlite3* db) const;
  };
  std::unique_ptr<sqlite3, Close> db_;
};

}  // namespace forkplane::ledger
