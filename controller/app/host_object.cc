#include "controller/app/host_object.h"

#include "controller/base/log.h"
#include "controller/runtime/typed_object.h"
#include "crd/host.h"

namespace forkplane::app {

Result<std::string> EnsureHostObject(store::ObjectStore& objects, const std::string& name,
                                     bool chosen) {
  const store::GroupResource hosts = runtime::ResourceOf<crd::Host>();
  if (!chosen) {
    auto known = objects.List(hosts, {});
    if (!known.ok()) return Error(known.error()).WithContext("list hosts");
    const bool one = known->items.size() == 1;
    if (one && known->items.front()->meta.name != name) {
      log::Warn("this machine was renamed; VMs stay bound to its former name (--host-name)",
                {{"host", known->items.front()->meta.name}, {"now", name}});
      return known->items.front()->meta.name;
    }
  }
  const std::string text = fmt::format(
      R"({{"apiVersion":"forkplane.dev/v1alpha1","kind":"Host","metadata":{{"name":"{}"}},"spec":{{}}}})",
      name);
  const auto made = objects.Create(hosts, "", text);
  if (made.ok() || made.error().code == Code::kExists) return name;
  return Error(made.error()).WithContext("--host-name " + name);
}

}  // namespace forkplane::app
