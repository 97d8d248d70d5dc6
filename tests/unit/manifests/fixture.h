// A real store, a directory to fill, and a clock that stands still until told.
#pragma once

#include <gmock/gmock.h>
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

inline std::string Vm(const std::string& name) {
  return "apiVersion: forkplane.dev/v1alpha1\nkind: VirtualMachine\nmetadata:\n  name: " + name +
         "\nspec:\n  boot: {kernel: k}\n";
}

inline constexpr std::chrono::seconds kSettle{10};

class ManifestsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    types_ = crd::NewTypeRegistry().value();
    const store::LocalObjectStore::Options options{.types = types_.get(), .gate = nullptr};
    store_ = store::LocalObjectStore::Open(
                 store::OpenSqliteLog({.path = directory_.File("objects.db")}, rng_).value(),
                 options, RealClock(), rng_, registry_)
                 .value();
    Create({"", "namespaces"}, "",
           R"({"apiVersion":"v1","kind":"Namespace","metadata":{"name":"default"}})");
    Create(kHosts, "",
           R"({"apiVersion":"forkplane.dev/v1alpha1","kind":"Host","metadata":{"name":"h"},)"
           R"("spec":{}})");
    std::filesystem::create_directory(root_);
    NewSource();
  }

  DirectorySourceOptions Options() {
    DirectorySourceOptions options;
    options.path = root_;
    options.record_path = directory_.File("manifests.db");
    options.host_name = "h";
    options.settle = kSettle;
    options.resync = std::chrono::minutes(10);  // only inotify may be what helps
    options.registry = &registry_;
    options.on_notice = [this](const Notice& notice) { notices_.push_back(notice); };
    options.on_held = [this](const std::optional<Hold>& hold) { held_ = hold; };
    return options;
  }
  // As after a restart of the daemon.
  void NewSource() { NewSource(Options(), clock_); }
  void NewSource(const DirectorySourceOptions& options, Clock& clock) {
    source_.reset();
    source_ = std::make_unique<DirectorySource>(options, *store_, *types_, clock, rng_);
  }

  SyncReport Pass() { return source_->Sync(); }
  // A pass that sees the tree, and one when it has settled.
  SyncReport Settled() {
    const int created = Pass().created;
    clock_.Advance(kSettle);
    SyncReport report = Pass();
    report.created += created;
    return report;
  }

  void Write(const std::string& name, const std::string& text) {
    const std::filesystem::path path = std::filesystem::path(root_) / name;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << text;
  }
  void Remove(const std::string& name) {
    std::filesystem::remove_all(std::filesystem::path(root_) / name);
  }
  void Create(const store::GroupResource& resource, const std::string& ns,
              const std::string& text) {
    const auto made = store_->Create(resource, ns, text);
    ASSERT_TRUE(made.ok()) << made.error().message;
  }
  // As `kubectl annotate --overwrite host h NAME=VALUE`.
  void Annotate(const std::string& name, const std::string& value);
  void Change(const store::ObjectKey& key, const std::function<void(crd::Json&)>& change);

  static store::ObjectKey KeyOf(const std::string& name) {
    return {{"", "configmaps"}, "default", name};
  }
  static store::ObjectKey VmKey(const std::string& name) {
    return {{"forkplane.dev", "virtualmachines"}, "default", name};
  }
  bool Has(const store::ObjectKey& key) { return store_->Get(key).value() != nullptr; }
  // The object's text, or "".
  std::string Text(const std::string& name) {
    const store::ObjectPtr object = store_->Get(KeyOf(name)).value();
    return object ? object->text : "";
  }
  bool Has(const std::string& name) { return !Text(name).empty(); }
  std::vector<std::string> Told(const std::string& reason) const {
    std::vector<std::string> messages;
    for (const Notice& notice : notices_) {
      if (notice.reason == reason) messages.push_back(notice.message);
    }
    return messages;
  }
  std::string HeldReason() const { return held_ ? held_->reason : ""; }

  static inline const store::GroupResource kHosts{"forkplane.dev", "hosts"};
  testing::TempDir directory_;
  std::string root_ = directory_.File("manifests");
  SeededRng rng_{7};
  ManualClock clock_;
  metrics::Registry registry_;
  std::unique_ptr<crd::TypeRegistry> types_;
  std::unique_ptr<store::LocalObjectStore> store_;
  std::unique_ptr<DirectorySource> source_;
  std::vector<Notice> notices_;
  std::optional<Hold> held_;
};

}  // namespace forkplane::manifests
