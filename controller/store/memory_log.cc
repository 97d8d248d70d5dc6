// The revision log without a disk: what the SQLite one must also do, in the fewest lines.
#include <algorithm>
#include <map>
#include <set>

#include "controller/base/mutex.h"
#include "controller/store/revision_log.h"

namespace forkplane::store {
namespace {

class MemoryLog final : public RevisionLog {
 public:
  MemoryLog(std::string identity, Revision first)
      : identity_(std::move(identity)), last_(first), compacted_(first) {}

  Status Append(std::span<const LogRecord> records) override {
    MutexLock lock(mu_);
    for (const LogRecord& record : records) {
      CHECK(record.revision > last_);
      last_ = record.revision;
      records_.emplace(record.revision, record);
    }
    return OkStatus();
  }

  Status Load(const std::function<Status(LogRecord&&)>& visit) override {
    std::map<Revision, LogRecord> records;
    {
      MutexLock lock(mu_);
      records = records_;
    }
    for (auto& [revision, record] : records) RETURN_IF_ERROR(visit(std::move(record)));
    return OkStatus();
  }

  Status Compact(Revision through) override {
    MutexLock lock(mu_);
    through = std::min(through, last_);
    if (through <= compacted_) return OkStatus();
    std::set<Revision> gone;
    for (auto it = records_.upper_bound(compacted_); it != records_.end() && it->first <= through;
         ++it) {
      if (it->second.previous != 0) gone.insert(it->second.previous);
      if (it->second.deleted) gone.insert(it->first);
    }
    for (Revision revision : gone) records_.erase(revision);
    compacted_ = through;
    return OkStatus();
  }

  Status Probe() override { return OkStatus(); }

  Revision last_revision() const override {
    MutexLock lock(mu_);
    return last_;
  }
  Revision compacted() const override {
    MutexLock lock(mu_);
    return compacted_;
  }
  const std::string& identity() const override { return identity_; }

 private:
  const std::string identity_;
  mutable Mutex mu_;
  std::map<Revision, LogRecord> records_ GUARDED_BY(mu_);
  Revision last_ GUARDED_BY(mu_);
  Revision compacted_ GUARDED_BY(mu_);
};

}  // namespace

std::unique_ptr<RevisionLog> NewMemoryLog(Rng& rng, Revision first) {
  return std::make_unique<MemoryLog>(NewUuid(rng), first);
}

}  // namespace forkplane::store
