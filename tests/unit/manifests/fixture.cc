#include "tests/unit/manifests/fixture.h"

#include <nlohmann/json.hpp>

namespace forkplane::manifests {

void ManifestsTest::Annotate(const std::string& name, const std::string& value) {
  Change({kHosts, "", "h"},
         [&](crd::Json& host) { host["metadata"]["annotations"][name] = value; });
}

void ManifestsTest::Change(const store::ObjectKey& key,
                           const std::function<void(crd::Json&)>& change) {
  const store::ObjectPtr object = store_->Get(key).value();
  ASSERT_NE(object, nullptr) << key.name;
  crd::Json json = crd::Json::parse(object->text);
  change(json);
  const auto written = store_->Update(key, json.dump());
  ASSERT_TRUE(written.ok()) << written.error().message;
}

}  // namespace forkplane::manifests
