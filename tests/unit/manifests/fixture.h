// A store in memory, and a directory to fill.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "controller/manifests/directory_source.h"
#include "controller/store/local_object_store.h"
#include "controller/store/revision_log.h"
#include "crd/type_registry.h"
#include "tests/support/tempdir.h"

namespace forkplane::manifests {

inline std::string ConfigMap(const std::string& name, const std::string& value) {
  return "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: " + name + "\ndata:\n  key: \"" +
         value + "\"\n";
}

class ManifestsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    types_ = crd::NewTypeRegistry().value();
    const store::LocalObjectStore::Options options{.types = types_.get(), .gate = nullptr};
    store_ = store::LocalObjectStore::Open(store::NewMemoryLog(rng_), options, RealClock(), rng_,
                                           registry_)
                 .value();
    const auto made =
        store_->Create({"", "namespaces"}, "",
                       R"({"apiVersion":"v1","kind":"Namespace","metadata":{"name":"default"}})");
    ASSERT_TRUE(made.ok()) << made.error().message;
    std::filesystem::create_directory(root_);
    NewSource();
  }

  // As after a restart of the daemon.
  void NewSource(std::chrono::milliseconds settle = {}) {
    DirectorySourceOptions options{.path = root_};
    options.settle = settle;
    options.resync = std::chrono::minutes(10);  // only inotify may be what helps
    options.registry = &registry_;
    options.on_problem = [this](const Problem& problem) { announced_.push_back(problem); };
    source_ = std::make_unique<DirectorySource>(options, *store_, *types_, RealClock(), rng_);
  }

  void Write(const std::string& name, const std::string& text) {
    const std::filesystem::path path = std::filesystem::path(root_) / name;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << text;
  }
  void Remove(const std::string& name) {
    std::filesystem::remove_all(std::filesystem::path(root_) / name);
  }
  static store::ObjectKey KeyOf(const std::string& name) {
    return {{"", "configmaps"}, "default", name};
  }
  // The object's text, or "".
  std::string Text(const std::string& name) {
    const store::ObjectPtr object = store_->Get(KeyOf(name)).value();
    return object ? object->text : "";
  }
  bool Has(const std::string& name) { return !Text(name).empty(); }

  testing::TempDir directory_;
  std::string root_ = directory_.File("manifests");
  SeededRng rng_{7};
  metrics::Registry registry_;
  std::unique_ptr<crd::TypeRegistry> types_;
  std::unique_ptr<store::LocalObjectStore> store_;
  std::unique_ptr<DirectorySource> source_;
  std::vector<Problem> announced_;
};

}  // namespace forkplane::manifests
