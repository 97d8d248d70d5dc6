// Goal: no field of a spec is silently ignored: each is read by a room, or refused by name.
// Method: every leaf field of every schema of ours stands in the table below. Of one that is read
// the room's code must name the member. One that is refused is given a value, and the validation
// must name its path and say that it is not supported.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "crd/type_registry.h"
#include "crd/types.h"
#include "crd/yaml.h"
#include "tests/tidy/rules/tree.h"

namespace forkplane::tidy {
namespace {

using crd::Json;

const crd::TypeRegistry& Registry() {
  static const auto registry = crd::NewTypeRegistry().value();
  return *registry;
}

// Where a field is read: a folder, and what its code says when it does.
struct Reader {
  std::string room;
  std::string code;
};

using Readers = std::map<std::string, Reader>;

// What one interface may have, under `path`.
void AddBandwidth(Readers& readers, const std::string& path) {
  readers[path + ".download.rate"] = {"reconcilers/shaping", "limit.rate"};
  readers[path + ".download.burst"] = {"reconcilers/shaping", "limit.burst"};
  readers[path + ".upload.rate"] = {"reconcilers/shaping", "upload.rate"};
  readers[path + ".upload.ceil"] = {"reconcilers/shaping", "upload.ceil"};
  readers[path + ".upload.burst"] = {"reconcilers/shaping", "upload.burst"};
}

Readers OfVirtualMachine() {
  const std::string room = "reconcilers/virtual_machine";
  Readers readers = {
      {"hostName", {"reconcilers/scheduler", "spec.host_name"}},
      {"powerState", {room, "spec.power_state"}},
      {"hypervisor", {room, "spec.hypervisor"}},
      {"cpus", {room, "spec.cpus"}},
      {"memory", {room, "spec.memory"}},
      {"boot.kernel", {room, "boot.kernel"}},
      {"boot.initramfs", {room, "boot.initramfs"}},
      {"boot.cmdline", {room, "boot.cmdline"}},
      {"interfaces[].name", {room, "interface.name"}},
      {"interfaces[].network", {room, "interface.network"}},
      {"interfaces[].ip", {room, "interface.ip"}},
      {"restoreFrom.snapshotName", {room, "restore_from->snapshot_name"}},
      {"restartPolicy", {room, "EffectiveRestartPolicy"}},
      {"restartMode", {room, "spec.restart_mode"}},
      {"admissionPolicy", {room, "spec.admission_policy"}},
      {"terminationGracePeriodSeconds", {room, "spec.termination_grace_period_seconds"}},
  };
  AddBandwidth(readers, "interfaces[].bandwidth");
  return readers;
}

Readers OfSnapshot() {
  return {{"source.virtualMachineName", {"reconcilers/snapshot", "source.virtual_machine_name"}}};
}

Readers OfFork() {
  const std::string room = "reconcilers/fork";
  Readers readers = {
      {"source.kind", {room, "source.kind"}},
      {"source.name", {room, "source.name"}},
      {"targetState", {room, "spec.target_state"}},
      {"template.metadata.labels.*", {room, "vm_template.metadata"}},
      {"template.metadata.annotations.*", {room, "vm_template.metadata"}},
      {"template.spec.hostName", {room, "spec.host_name"}},
      {"template.spec.interfaces[].name", {room, "wanted.name"}},
      {"template.spec.restartPolicy", {room, "wanted.restart_policy"}},
      {"template.spec.restartMode", {room, "wanted.restart_mode"}},
      {"admissionPolicy", {room, "spec.admission_policy"}},
      {"ttl", {room, "spec.ttl"}},
  };
  AddBandwidth(readers, "template.spec.interfaces[].bandwidth");
  return readers;
}

Readers OfForkSet() {
  const std::string room = "reconcilers/fork_set";
  Readers readers = {
      {"replicas", {room, "spec.replicas"}},
      {"selector.matchLabels.*", {room, "spec.selector"}},
      {"selector.matchExpressions[].key", {room, "spec.selector"}},
      {"selector.matchExpressions[].operator", {room, "spec.selector"}},
      {"selector.matchExpressions[].values[]", {room, "spec.selector"}},
      {"template.metadata.labels.*", {room, "fork_template.metadata.labels"}},
      {"template.metadata.annotations.*", {room, "fork_template.metadata.annotations"}},
      {"maxConcurrent", {room, "spec.max_concurrent"}},
  };
  // The rest of the template is the spec of each Fork.
  for (const auto& [field, reader] : OfFork()) {
    readers["template.spec." + field] = {room, "fork_template.spec"};
  }
  return readers;
}

Readers OfNetwork() {
  const std::string room = "reconcilers/network";
  Readers readers = {
      {"cidr", {"crd", "spec.cidr"}},
      {"gateway", {"crd", "spec.gateway"}},
      {"mode", {room, "spec.mode"}},
      {"isolation", {room, "spec.isolation"}},
      {"uplink.interface", {room, "uplink.interface"}},
      {"nat", {room, "spec.nat"}},
      {"hostAccess", {room, "spec.host_access"}},
      {"metadataAccess", {room, "spec.metadata_access"}},
      {"connectionsMax", {room, "spec.connections_max"}},
      {"egress.policy", {room, "EgressPolicyInForce"}},
      {"egress.allow[].cidr", {room, "peer.cidr"}},
      {"ingress.policy", {room, "spec.ingress.policy"}},
      {"ingress.allow[].from", {room, "peer.from"}},
      {"mtu", {room, "spec.mtu"}},
      {"dns[]", {"reconcilers/virtual_machine", "spec.dns"}},
      {"unshapedRate", {room, "spec.unshaped_rate"}},
      {"addressRest", {room, "spec.address_rest"}},
  };
  for (const char* peers : {"egress.allow[]", "ingress.allow[]"}) {
    const std::string ports = std::string(peers) + ".ports[].";
    readers[ports + "protocol"] = {room, "range.protocol"};
    readers[ports + "port"] = {room, "range.port"};
    readers[ports + "endPort"] = {room, "range.end_port"};
  }
  AddBandwidth(readers, "defaultBandwidth");
  return readers;
}

Readers OfHost() {
  const std::string machines = "reconcilers/virtual_machine";
  return {
      {"unschedulable", {"reconcilers/scheduler", "TakesMachines"}},
      {"drain", {machines, "spec.drain"}},
      {"overcommit.cpu", {machines, "overcommit.cpu"}},
      {"overcommit.memory", {machines, "overcommit.memory"}},
      {"overcommit.network", {machines, "overcommit.network"}},
      {"maxConcurrentRestores.*", {"reconcilers/restore_slot", "spec.max_concurrent_restores"}},
      {"uplinks[].interface", {"reconcilers/host", "uplinks.front()"}},
      {"uplinks[].capacity.upload", {"reconcilers/host", "capacity->upload"}},
  };
}

const std::map<std::string, Readers>& Read() {
  static const std::map<std::string, Readers> readers = {
      {"VirtualMachine", OfVirtualMachine()},
      {"Snapshot", OfSnapshot()},
      {"Fork", OfFork()},
      {"ForkSet", OfForkSet()},
      {"Network", OfNetwork()},
      {"Host", OfHost()},
  };
  return readers;
}

// What is refused: all of these fields (leaves named below `field`), or one value of a field that
// is read.
struct Refusal {
  std::string kind;
  std::string field;  // as the cause names it, below spec
  std::string value;  // in YAML; refused
  std::vector<std::string> leaves;
};

std::vector<Refusal> Refused() {
  std::vector<Refusal> refused = {
      {"VirtualMachine", "powerState", "Standby", {}},
      {"VirtualMachine",
       "disks",
       "[{name: a, image: b}]",
       {"disks[].name", "disks[].image", "disks[].readOnly", "disks[].root"}},
      {"VirtualMachine", "vsock.enabled", "true", {"vsock.enabled"}},
      {"VirtualMachine", "identity", "Guest", {"identity"}},
      {"Snapshot",
       "source.import",
       "{path: a}",
       {"source.import.path", "source.import.interfaces[].name", "source.import.interfaces[].mac",
        "source.import.interfaces[].ip"}},
      {"Snapshot", "type", "Diff", {"type"}},
      {"Snapshot", "memory", "false", {"memory"}},
      {"Network", "perHostPrefix", "26", {"perHostPrefix"}},
      {"Network", "dns", "[1.1.1.1, 1.1.1.2, 1.1.1.3]", {}},
      {"Host", "drain", "Standby", {}},
      {"Host",
       "warm",
       "[{snapshotName: a}]",
       {"warm[].snapshotNamespace", "warm[].snapshotName", "warm[].count"}},
      {"Host", "uplinks", "[{interface: a}, {interface: b}]", {}},
      {"Host", "features", "{a: false}", {"features.*"}},
      {"Host", "uplinks[0].capacity.download", "1G", {"uplinks[].capacity.download"}},
  };
  const std::vector<Refusal> of_fork = {
      {"Fork", "targetState", "Standby", {}},
      {"Fork", "template.spec.identity", "Inherited", {"template.spec.identity"}},
      {"Fork", "onHostLost", "Recreate", {"onHostLost"}},
  };
  for (Refusal refusal : of_fork) {
    refused.push_back(refusal);
    refusal.kind = "ForkSet";
    refusal.field = "template.spec." + refusal.field;
    for (std::string& leaf : refusal.leaves) leaf = "template.spec." + leaf;
    refused.push_back(std::move(refusal));
  }
  return refused;
}

void AddLeaves(const crd::Schema& schema, const std::string& path, std::set<std::string>& leaves) {
  if (schema.items) return AddLeaves(*schema.items, path + "[]", leaves);
  const std::string prefix = path.empty() ? "" : path + ".";
  if (schema.additional_properties) {
    return AddLeaves(*schema.additional_properties, prefix + "*", leaves);
  }
  for (const auto& [name, property] : schema.properties)
    AddLeaves(*property, prefix + name, leaves);
  if (schema.properties.empty()) leaves.insert(path);
}

std::set<std::string> LeavesOf(const std::string& kind) {
  std::set<std::string> leaves;
  const auto type = Registry().FindKind(crd::kGroup, crd::kVersion, kind);
  AddLeaves(*type->schema->properties.at("spec"), "", leaves);
  return leaves;
}

TEST(SpecFieldsTest, EveryFieldIsReadOrRefused) {
  for (const auto& [kind, readers] : Read()) {
    std::set<std::string> listed;
    for (const auto& [field, reader] : readers) listed.insert(field);
    for (const Refusal& refusal : Refused()) {
      if (refusal.kind == kind) listed.insert(refusal.leaves.begin(), refusal.leaves.end());
    }
    EXPECT_THAT(listed, testing::ContainerEq(LeavesOf(kind))) << kind;
  }
}

bool Says(const Reader& reader) {
  for (const File& file : Sources()) {
    if (!file.path.starts_with(reader.room + "/")) continue;
    for (const std::string& line : file.lines) {
      if (CodeOf(line).find(reader.code) != std::string::npos) return true;
    }
  }
  return false;
}

TEST(SpecFieldsTest, TheRoomThatReadsAFieldNamesIt) {
  for (const auto& [kind, readers] : Read()) {
    for (const auto& [field, reader] : readers) {
      EXPECT_TRUE(Says(reader)) << kind << " spec." << field << ": " << reader.room
                                << " does not say \"" << reader.code << "\"";
    }
  }
}

// The least valid spec.
Json LeastSpec(const std::string& kind) {
  const std::map<std::string, std::string> specs = {
      {"Snapshot", "{source: {virtualMachineName: a}}"},
      {"Fork", "{source: {kind: Snapshot, name: a}}"},
      {"ForkSet", "{template: {spec: {source: {kind: Snapshot, name: a}}}}"},
      {"Network", "{cidr: 10.0.0.0/24}"},
  };
  const auto found = specs.find(kind);
  return found == specs.end() ? Json::object() : crd::ParseOneYaml(found->second).value();
}

Json ObjectOf(const std::string& kind, const Json& spec) {
  const auto type = Registry().FindKind(crd::kGroup, crd::kVersion, kind);
  Json object = {{"apiVersion", crd::kApiVersion}, {"kind", kind}, {"metadata", {{"name", "a"}}}};
  if (type->namespaced) object["metadata"]["namespace"] = "default";
  object["spec"] = spec;
  crd::DefaultObject(*type, object);
  return object;
}

Json WithField(const Refusal& refusal) {
  Json spec = LeastSpec(refusal.kind);
  std::string pointer = "/" + refusal.field;
  for (char& c : pointer) c = c == '.' ? '/' : c;
  if (refusal.field == "uplinks[0].capacity.download") {
    spec["uplinks"] = crd::ParseOneYaml("[{interface: a}]").value();
    pointer = "/uplinks/0/capacity/download";
  }
  if (refusal.field == "source.import") spec["source"].clear();
  spec[Json::json_pointer(pointer)] = crd::ParseOneYaml("v: " + refusal.value).value()["v"];
  return ObjectOf(refusal.kind, spec);
}

std::vector<Cause> CausesOf(const Json& object, const Json* old) {
  const auto type =
      Registry().FindKind(crd::kGroup, crd::kVersion, object["kind"].get<std::string>());
  return crd::ValidateObject(*type, object, old);
}

TEST(SpecFieldsTest, WhatIsNotSupportedIsRefusedByName) {
  for (const Refusal& refusal : Refused()) {
    SCOPED_TRACE(refusal.kind + " " + refusal.field);
    const std::vector<Cause> causes = CausesOf(WithField(refusal), nullptr);
    ASSERT_EQ(causes.size(), 1U);
    EXPECT_EQ(causes[0].field, "spec." + refusal.field);
    EXPECT_EQ(causes[0].reason, "FieldValueForbidden");
    EXPECT_THAT(causes[0].message, testing::HasSubstr("not supported in this version"));
  }
}

// As `kubectl get -o yaml | kubectl apply -f -` sends them back.
TEST(SpecFieldsTest, DefaultsMayBeWrittenOut) {
  for (const auto& [kind, readers] : Read()) {
    EXPECT_TRUE(CausesOf(ObjectOf(kind, LeastSpec(kind)), nullptr).empty()) << kind;
  }
}

// An object that an earlier version accepted can still be written: its finalizer must come off.
TEST(SpecFieldsTest, WhatWasStoredBeforeIsNotRefusedWhileItIsUnchanged) {
  for (const Refusal& refusal : Refused()) {
    const Json stored = WithField(refusal);
    Json written = stored;
    written["metadata"]["labels"] = {{"a", "b"}};
    EXPECT_TRUE(CausesOf(written, &stored).empty()) << refusal.kind << " " << refusal.field;
  }
}

}  // namespace
}  // namespace forkplane::tidy
