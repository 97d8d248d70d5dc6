// A typed, always current copy of one resource, and the place where loops hear of changes.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "controller/base/log.h"
#include "controller/base/mutex.h"
#include "controller/runtime/reflector.h"

namespace forkplane::runtime {

// NOTE Lifecycle: made, handlers added, Start, WaitForSync, then workers. "Absent" means nothing
// before HasSynced.
// NOTE Threading: reads from anywhere. Handlers run on the informer's thread, after the cache holds
// the new state, with no lock held; they add keys to queues and do nothing else.
// NOTE Safety: an object that cannot be decoded (a newer version's field, say) never looks
// deleted: its last good value stays, KnowsUid stays true, and it is logged.
template <typename T>
class Informer {
 public:
  struct Item {
    store::ObjectPtr object;
    std::shared_ptr<const T> value;  // never null in what is given out
  };
  // Null before: new. Null after: gone.
  struct Change {
    std::string key;  // "ns/name"
    std::shared_ptr<const T> before;
    std::shared_ptr<const T> after;
    const T& any() const { return after ? *after : *before; }
  };
  using Decode = std::function<Result<T>(const store::Object& object)>;
  using Handler = std::function<void(const Change& change)>;

  Informer(store::ObjectStore& store, InformerOptions options, Decode decode)
      : decode_(std::move(decode)),
        reflector_(store, std::move(options),
                   [this](const store::ObjectPtr& before, const store::ObjectPtr& after) {
                     OnChange(before, after);
                   }) {}

  // Before Start.
  void AddHandler(Handler handler) { handlers_.push_back(std::move(handler)); }

  void Start() { reflector_.Start(); }
  void Stop() { reflector_.Stop(); }
  Status Step() { return reflector_.Step(); }
  bool HasSynced() const { return reflector_.HasSynced(); }
  bool WaitForSync(const std::stop_token& stop, MonotonicTime deadline) const {
    return reflector_.WaitForSync(stop, deadline);
  }
  bool WaitFor(store::Revision revision, const std::stop_token& stop,
               MonotonicTime deadline) const {
    return reflector_.WaitFor(revision, stop, deadline);
  }

  // By "ns/name" (or "name"); null: not there.
  std::shared_ptr<const T> Get(const std::string& key) const {
    MutexLock lock(mu_);
    auto it = items_.find(key);
    return it == items_.end() ? nullptr : it->second.value;
  }
  std::shared_ptr<const T> GetByUid(const std::string& uid) const {
    MutexLock lock(mu_);
    auto key = keys_by_uid_.find(uid);
    if (key == keys_by_uid_.end()) return nullptr;
    auto it = items_.find(key->second);
    return it == items_.end() ? nullptr : it->second.value;
  }
  // Both halves, for who needs the text or the revision; null value: not there.
  Item Find(const std::string& key) const {
    MutexLock lock(mu_);
    auto it = items_.find(key);
    return it == items_.end() || !it->second.value ? Item{} : it->second;
  }
  // True also for an object that cannot be decoded: who asks whether something is an orphan asks
  // this.
  bool KnowsUid(const std::string& uid) const {
    MutexLock lock(mu_);
    return keys_by_uid_.count(uid) != 0;
  }
  // By "ns/name", bytewise.
  std::vector<std::shared_ptr<const T>> List() const {
    return ListIf([](const store::Meta&) { return true; });
  }
  std::vector<std::shared_ptr<const T>> ListIn(const std::string& ns) const {
    return ListIf([&ns](const store::Meta& meta) { return meta.ns == ns; });
  }
  std::vector<std::shared_ptr<const T>> ListOwnedBy(const std::string& owner_uid) const {
    return ListIf([&owner_uid](const store::Meta& meta) {
      for (const store::OwnerReference& owner : meta.owners) {
        if (owner.uid == owner_uid) return true;
      }
      return false;
    });
  }

 private:
  template <typename Predicate>
  std::vector<std::shared_ptr<const T>> ListIf(Predicate predicate) const {
    std::vector<std::shared_ptr<const T>> values;
    MutexLock lock(mu_);
    for (const auto& [key, item] : items_) {
      if (item.value && predicate(item.object->meta)) values.push_back(item.value);
    }
    return values;
  }

  void OnChange(const store::ObjectPtr& before, const store::ObjectPtr& after) {
    const store::Meta& meta = (after ? after : before)->meta;
    Change change{store::NamespacedName(meta.ns, meta.name), nullptr, nullptr};
    std::shared_ptr<const T> decoded = after ? DecodeObject(*after) : nullptr;
    {
      MutexLock lock(mu_);
      Item& item = items_[change.key];
      change.before = item.value;
      if (item.object) keys_by_uid_.erase(item.object->meta.uid);
      if (after) {
        const bool same = item.object && item.object->meta.uid == meta.uid;
        if (!decoded && same) decoded = item.value;  // the last good value stays
        change.after = decoded;
        item = {after, decoded};
        keys_by_uid_[meta.uid] = change.key;
      } else {
        items_.erase(change.key);
      }
    }
    if (!change.before && !change.after) return;
    for (const Handler& handler : handlers_) handler(change);
  }

  std::shared_ptr<const T> DecodeObject(const store::Object& object) const {
    Result<T> value = decode_(object);
    if (value.ok()) return std::make_shared<const T>(std::move(value).value());
    log::Err("cannot decode an object; its last good state stays",
             {{"kind", object.kind},
              {"object", store::NamespacedName(object.meta.ns, object.meta.name)},
              {"err", value.error()}});
    return nullptr;
  }

  Decode decode_;
  std::vector<Handler> handlers_;
  mutable Mutex mu_;
  std::map<std::string, Item> items_ GUARDED_BY(mu_);  // value null: never decoded
  std::map<std::string, std::string> keys_by_uid_ GUARDED_BY(mu_);
  Reflector reflector_;  // last: its thread ends before the rest goes
};

}  // namespace forkplane::runtime
