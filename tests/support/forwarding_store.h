// An ObjectStore that passes every operation on to another one, which must outlive it. A test
// derives from it and overrides what shall fail, be counted or be preceded by something.
#pragma once

#include <chrono>
#include <memory>
#include <stop_token>
#include <string>

#include "controller/store/object_store.h"

namespace forkplane::testing {

class ForwardingStore : public store::ObjectStore {
 public:
  explicit ForwardingStore(store::ObjectStore& next) : next_(next) {}

  using ObjectStore::Create;
  using ObjectStore::Delete;
  using ObjectStore::Modify;
  using ObjectStore::Update;

  Result<store::ObjectPtr> Get(const store::ObjectKey& key) override { return next_.Get(key); }
  Result<store::ListResult> List(const store::GroupResource& resource,
                                 const store::ListOptions& options) override {
    return next_.List(resource, options);
  }
  Result<std::unique_ptr<store::Watch>> OpenWatch(const store::GroupResource& resource,
                                                  const store::WatchOptions& options) override {
    return next_.OpenWatch(resource, options);
  }
  Result<store::WriteResult> Create(const store::GroupResource& resource, const std::string& ns,
                                    const std::string& text,
                                    const store::WriteOptions& options) override {
    return next_.Create(resource, ns, text, options);
  }
  Result<store::WriteResult> Update(const store::ObjectKey& key, const std::string& text,
                                    const store::UpdateOptions& options) override {
    return next_.Update(key, text, options);
  }
  Result<store::WriteResult> Modify(const store::ObjectKey& key, const store::Edit& edit,
                                    const store::UpdateOptions& options) override {
    return next_.Modify(key, edit, options);
  }
  Result<store::DeleteResult> Delete(const store::ObjectKey& key,
                                     const store::DeleteOptions& options) override {
    return next_.Delete(key, options);
  }
  Result<store::Revision> CurrentRevision() override { return next_.CurrentRevision(); }
  Status AwaitRevision(store::Revision revision, std::chrono::milliseconds patience,
                       const std::stop_token& stop) override {
    return next_.AwaitRevision(revision, patience, stop);
  }
  Status Health() override { return next_.Health(); }
  std::string Identity() const override { return next_.Identity(); }

 private:
  store::ObjectStore& next_;
};

}  // namespace forkplane::testing
