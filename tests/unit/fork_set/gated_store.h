// A store that may refuse to create, for tests of the loops that make children.
#pragma once

#include <functional>
#include <string>

#include "controller/runtime/informer.h"
#include "controller/store/object_store.h"
#include "crd/types.h"

namespace forkplane::fork_set {

inline const store::GroupResource kForks{"forkplane.dev", "forks"};

// Passes everything on; creations of our kinds meet `gate` first.
class GatedStore final : public store::ObjectStore {
 public:
  explicit GatedStore(store::ObjectStore& next) : next_(next) {}
  std::function<Status(const store::GroupResource&, const std::string& text)> gate;

  using ObjectStore::Create;
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
    if (resource.group == crd::kGroup && gate) RETURN_IF_ERROR(gate(resource, text));
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
  std::string Identity() const override { return next_.Identity(); }

 private:
  store::ObjectStore& next_;
};

template <typename T>
runtime::Informer<T> InformerOf(store::ObjectStore& store) {
  return runtime::Informer<T>(store, {.resource = {"forkplane.dev", std::string(T::kPlural)}},
                              [](const store::Object& object) { return T::FromText(object.text); });
}

}  // namespace forkplane::fork_set
