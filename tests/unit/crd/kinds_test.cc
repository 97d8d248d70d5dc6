// Goal: what a schema cannot say is refused by name and with its remedy, for each of our kinds.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "crd/type_registry.h"
#include "crd/types.h"
#include "crd/yaml.h"

namespace forkplane::crd {
namespace {

const TypeRegistry& Registry() {
  static const auto registry = NewTypeRegistry().value();
  return *registry;
}

Json Object(const std::string& kind, const std::string& spec) {
  Json object = ParseOneYaml("spec: " + spec).value();
  const auto type = Registry().FindKind(kGroup, kVersion, kind);
  object["apiVersion"] = kApiVersion;
  object["kind"] = kind;
  object["metadata"] = {{"name", "a"}};
  if (type->namespaced) object["metadata"]["namespace"] = "default";
  EXPECT_EQ(PruneObject(*type, object), std::vector<std::string>{}) << spec;
  DefaultObject(*type, object);
  return object;
}

// The fields that are refused.
std::vector<std::string> Refused(const std::string& kind, const std::string& spec,
                                 const std::string& old_spec = "") {
  const auto type = Registry().FindKind(kGroup, kVersion, kind);
  const Json object = Object(kind, spec);
  const Json old = old_spec.empty() ? Json() : Object(kind, old_spec);
  std::vector<std::string> fields;
  for (const Cause& cause : ValidateObject(*type, object, old_spec.empty() ? nullptr : &old)) {
    fields.push_back(cause.field);
    const bool remedy = cause.reason == "FieldValueRequired" || cause.message.size() > 20;
    EXPECT_TRUE(remedy) << cause.message;
  }
  return fields;
}

using Fields = std::vector<std::string>;

TEST(KindsTest, VirtualMachine) {
  const auto vm = [](const std::string& spec) { return Refused("VirtualMachine", spec); };
  // With what is not supported: as an earlier version may have left it.
  const auto stored = [](const std::string& spec) { return Refused("VirtualMachine", spec, spec); };
  EXPECT_EQ(vm("{}"), Fields{});
  EXPECT_EQ(vm("{boot: {kernel: debian/vmlinuz}}"), Fields{});
  for (const char* memory : {"512M", "128000k", "0.1Gi", "129e6", ".5Gi", "+96Mi", "67108864.",
                             "1E8", "134217728000m", "67108864"}) {
    EXPECT_EQ(vm(fmt::format("{{memory: \"{}\"}}", memory)), Fields{}) << memory;
  }
  for (const char* memory : {"-256Mi", "256mi", "256 Mi", "1e", "", "."}) {
    EXPECT_EQ(vm(fmt::format("{{memory: \"{}\"}}", memory)).front(), "spec.memory") << memory;
  }
  EXPECT_EQ(vm("{cpus: 65}"), Fields{"spec.cpus"});
  EXPECT_EQ(vm("{memory: 1Mi}"), Fields{"spec.memory"});
  EXPECT_EQ(vm("{memory: 64Ei}"), Fields{"spec.memory"});
  EXPECT_EQ(vm("{boot: {kernel: /etc/passwd}}"), Fields{"spec.boot.kernel"});
  EXPECT_EQ(vm("{boot: {initramfs: a/../../b}}"), Fields{"spec.boot.initramfs"});
  EXPECT_EQ(stored("{disks: [{name: a, image: a//b}]}"), Fields{"spec.disks[0].image"});
  EXPECT_EQ(stored("{disks: [{name: a, image: x, root: true}, {name: b, image: z, root: true}]}"),
            Fields{"spec.disks[1].root"});
  EXPECT_EQ(vm("{interfaces: [{name: eth0}, {name: eth0}]}"), Fields{"spec.interfaces[1]"});
  EXPECT_EQ(vm("{interfaces: [{name: eth0, ip: 10.0.0}]}"), Fields{"spec.interfaces[0].ip"});
  const std::string limits = "spec.interfaces[0].bandwidth";
  EXPECT_EQ(vm("{interfaces: [{name: e, bandwidth: {upload: {rate: 10M, ceil: 5M}}}]}"),
            Fields{limits + ".upload.ceil"});
  EXPECT_EQ(vm("{interfaces: [{name: e, bandwidth: {upload: {ceil: 5M}}}]}"),
            Fields{limits + ".upload.rate"});
  EXPECT_EQ(vm("{interfaces: [{name: e, bandwidth: {download: {rate: 0, burst: 1513}}}]}"),
            (Fields{limits + ".download.rate", limits + ".download.burst"}));
  EXPECT_EQ(vm("{interfaces: [{name: e, bandwidth: {download: {rate: 1M, burst: 1514}}}]}"),
            Fields{});
  EXPECT_EQ(stored("{identity: Inherited}"), Fields{"spec.identity"});
  EXPECT_EQ(vm("{restartMode: Refork}"), Fields{"spec.restartMode"});
}

TEST(KindsTest, WhatIsImmutable) {
  const std::string vm = "VirtualMachine";
  EXPECT_EQ(Refused(vm, "{hostName: a}", "{}"), Fields{});
  EXPECT_EQ(Refused(vm, "{hostName: b}", "{hostName: a}"), Fields{"spec.hostName"});
  EXPECT_EQ(Refused(vm, "{}", "{hostName: a}"), Fields{"spec.hostName"});
  EXPECT_EQ(Refused(vm, "{restoreFrom: {snapshotName: s}}", "{}"), Fields{"spec"});
  EXPECT_EQ(Refused(vm, "{}", "{restoreFrom: {snapshotName: s}}"), Fields{"spec"});
  EXPECT_EQ(Refused(vm, "{restoreFrom: {snapshotName: t}}", "{restoreFrom: {snapshotName: s}}"),
            Fields{"spec.restoreFrom"});
  EXPECT_EQ(
      Refused("Snapshot", "{source: {virtualMachineName: b}}", "{source: {virtualMachineName: a}}"),
      Fields{"spec"});
  EXPECT_EQ(
      Refused("Fork", "{source: {kind: Snapshot, name: b}}", "{source: {kind: Snapshot, name: a}}"),
      Fields{"spec.source"});
  EXPECT_EQ(Refused("Network", "{cidr: 10.1.0.0/16}", "{cidr: 10.0.0.0/16}"), Fields{"spec.cidr"});
  EXPECT_EQ(Refused("Network", "{cidr: 10.0.0.0/16, isolation: false}", "{cidr: 10.0.0.0/16}"),
            Fields{});
}

TEST(KindsTest, Snapshot) {
  EXPECT_EQ(Refused("Snapshot", "{source: {virtualMachineName: a}}"), Fields{});
  EXPECT_EQ(Refused("Snapshot", "{source: {}}"), Fields{"spec.source"});
  EXPECT_EQ(Refused("Snapshot", "{source: {virtualMachineName: a, import: {path: x}}}"),
            Fields{"spec.source.import"});
  EXPECT_EQ(Refused("Snapshot", "{source: {import: {path: ../x}}}"), Fields{"spec.source.import"});
}

TEST(KindsTest, ForkSetsFindTheirOwnForks) {
  const auto set = [](const std::string& selector) {
    return Refused("ForkSet",
                   "{template: {metadata: {labels: {app: a}}, spec: {source: {kind: "
                   "Snapshot, name: s}}}" +
                       selector + "}");
  };
  EXPECT_EQ(set(""), Fields{});
  EXPECT_EQ(set(", selector: {matchLabels: {app: a}}"), Fields{});
  EXPECT_EQ(set(", selector: {matchLabels: {app: b}}"), Fields{"spec.selector"});
  EXPECT_EQ(set(", selector: {}"), Fields{"spec.selector"});
  EXPECT_EQ(set(", replicas: -1"), Fields{"spec.replicas"});
}

TEST(KindsTest, Network) {
  const auto net = [](const std::string& spec) { return Refused("Network", spec); };
  EXPECT_EQ(net("{cidr: 10.0.0.0/24, gateway: 10.0.0.254}"), Fields{});
  EXPECT_EQ(net("{}"), Fields{"spec.cidr"});
  EXPECT_EQ(net("{cidr: 10.0.0.0/30}"), Fields{"spec.cidr"});
  EXPECT_EQ(net("{cidr: 10.0.0.0/7}"), Fields{"spec.cidr"});
  EXPECT_EQ(net("{cidr: 10.0.0.5/24}"), Fields{"spec.cidr"});
  EXPECT_EQ(net("{cidr: 300.0.0.0/24}"), Fields{"spec.cidr"});
  for (const char* gateway : {"10.0.1.1", "10.0.0.0", "10.0.0.255", "10.0.0.2"}) {
    EXPECT_EQ(net(fmt::format("{{cidr: 10.0.0.0/24, gateway: {}}}", gateway)),
              Fields{"spec.gateway"});
  }
  EXPECT_EQ(net("{cidr: 10.0.0.0/24, unshapedRate: 0}"), Fields{"spec.unshapedRate"});
  EXPECT_EQ(net("{cidr: 10.0.0.0/24, addressRest: soon}"), Fields{"spec.addressRest"});
  EXPECT_EQ(net("{cidr: 10.0.0.0/24, mtu: 9000, defaultBandwidth: {download: {burst: 9013}}}"),
            Fields{"spec.defaultBandwidth.download.burst"});
  EXPECT_EQ(net("{cidr: 10.0.0.0/24, perHostPrefix: 26}"), Fields{"spec.perHostPrefix"});
}

TEST(KindsTest, WhoMayReachWhomIsCheckedByNameAndBlock) {
  const auto net = [](const std::string& rest) {
    return Refused("Network", "{cidr: 10.0.0.0/24, " + rest + "}");
  };
  EXPECT_EQ(net("egress: {policy: None, allow: [{cidr: 10.5.0.0/16, ports: [{port: 80, endPort: "
                "90}, {protocol: ICMP}]}]}, ingress: {policy: All}, hostAccess: Allowed, "
                "metadataAccess: Allowed, connectionsMax: 16"),
            Fields{});
  EXPECT_EQ(net("egress: {policy: Some}"), Fields{"spec.egress.policy"});
  EXPECT_EQ(net("ingress: {policy: Internet}"), Fields{"spec.ingress.policy"});
  EXPECT_EQ(net("hostAccess: true"), Fields{"spec.hostAccess"});
  EXPECT_EQ(net("connectionsMax: 0"), Fields{"spec.connectionsMax"});
  EXPECT_EQ(net("egress: {allow: [{}]}"), Fields{"spec.egress.allow[0].cidr"});
  EXPECT_EQ(net("egress: {allow: [{cidr: 10.5.0.1/16}]}"), Fields{"spec.egress.allow[0].cidr"});
  EXPECT_EQ(net("ingress: {allow: [{from: 10.5.0.0/40}]}"), Fields{"spec.ingress.allow[0].from"});
  const auto ports = [&](const std::string& range) {
    return net("ingress: {allow: [{from: 0.0.0.0/0, ports: [" + range + "]}]}");
  };
  const std::string at = "spec.ingress.allow[0].ports[0]";
  EXPECT_EQ(ports("{protocol: UDP}"), Fields{});
  EXPECT_EQ(ports("{port: 0}"), Fields{at + ".port"});
  EXPECT_EQ(ports("{protocol: ICMP, port: 8}"), Fields{at + ".port"});
  EXPECT_EQ(ports("{endPort: 8}"), Fields{at + ".endPort"});
  EXPECT_EQ(ports("{port: 9, endPort: 8}"), Fields{at + ".endPort"});
}

TEST(KindsTest, RatesBelowOneBytePerSecondAreRefused) {
  const auto capacity = [](const std::string& limits) {
    return Refused("Host", "{uplinks: [{interface: eth0, capacity: {" + limits + "}}]}");
  };
  const std::string field = "spec.uplinks[0].capacity";
  EXPECT_EQ(capacity("upload: 8"), Fields{});
  EXPECT_EQ(capacity("upload: 0"), Fields{field + ".upload"});
  EXPECT_EQ(capacity("upload: 7"), Fields{field + ".upload"});
  EXPECT_EQ(Refused("Host", "{uplinks: [{interface: eth0}, {interface: eth0}]}"),
            (Fields{"spec.uplinks", "spec.uplinks[1]"}));
  EXPECT_EQ(Refused("Network", "{cidr: 10.0.0.0/24, unshapedRate: 7}"),
            Fields{"spec.unshapedRate"});
  EXPECT_EQ(Refused("Network", "{cidr: 10.0.0.0/24, uplink: {interface: longer-than-a-name}}"),
            Fields{"spec.uplink.interface"});
  EXPECT_EQ(
      Refused("VirtualMachine", "{interfaces: [{name: e, bandwidth: {upload: {rate: 500m}}}]}"),
      Fields{"spec.interfaces[0].bandwidth.upload.rate"});
}

TEST(KindsTest, TheMessageNamesTheObjectAndEveryField) {
  const auto type = Registry().FindKind(kGroup, kVersion, "VirtualMachine");
  const Error error = InvalidObject(
      *type, "b",
      ValidateObject(*type, Object("VirtualMachine", "{cpus: 0, identity: X}"), nullptr));
  EXPECT_EQ(
      error.message,
      "VirtualMachine.forkplane.dev \"b\" is invalid: [spec.cpus: Invalid value: 0: spec.cpus in "
      "body should be greater than or equal to 1, spec.identity: Unsupported value: \"X\": "
      "supported values: \"Translated\", \"Guest\", \"Inherited\"]");
  EXPECT_EQ(error.causes.size(), 2U);
}

TEST(KindsTest, AnEmptyInterfaceListIsNotAnAbsentOne) {
  const auto none = VirtualMachine::FromText(R"({"spec":{"interfaces":[]}})");
  ASSERT_TRUE(none.ok());
  EXPECT_TRUE(none->spec.interfaces.empty());
  EXPECT_EQ(*VirtualMachine::FromJson(none->ToJson()), *none);
  EXPECT_EQ(VirtualMachine::FromText("{}")->spec.interfaces.size(), 1U);
  const auto absent = VirtualMachine::FromText(R"({"spec":{"cpus":1}})");
  EXPECT_EQ(absent->spec.interfaces.front().network, "default");
  EXPECT_TRUE(absent->spec.interfaces_absent);
  EXPECT_FALSE(absent->spec.AwaitsInterfaces());
  EXPECT_FALSE(absent->ToJson()["spec"].contains("interfaces"));
  const auto restored =
      VirtualMachine::FromText(R"({"spec":{"restoreFrom":{"snapshotName":"a"}}})");
  EXPECT_TRUE(restored->spec.AwaitsInterfaces());
}

TEST(KindsTest, EachPartOfABandwidthComesFromTheOtherWhenItIsAbsent) {
  const auto text = [](const std::string& wanted, const std::string& otherwise) {
    VirtualMachine vm;
    const auto read = [](const std::string& yaml) {
      return VirtualMachine::FromJson(
                 Object("VirtualMachine", "{interfaces: [{name: a, bandwidth: " + yaml + "}]}"))
          ->spec.interfaces.front()
          .bandwidth;
    };
    vm.spec.interfaces.front().bandwidth = Merged(read(wanted), read(otherwise));
    return DumpJson(vm.ToJson()["spec"]["interfaces"][0]["bandwidth"]);
  };
  EXPECT_EQ(
      text("{download: {burst: 64Ki}}", "{download: {rate: 9M, burst: 1Mi}, upload: {rate: 1M}}"),
      R"({"download":{"burst":"64Ki","rate":"9M"},"upload":{"rate":"1M"}})");
  EXPECT_EQ(text("{upload: {rate: 1M}}", "{upload: {rate: 9M, ceil: 20M}}"),
            R"({"upload":{"ceil":"20M","rate":"1M"}})");
  // A ceil that the rate has passed is none.
  EXPECT_EQ(text("{upload: {rate: 50M}}", "{upload: {rate: 9M, ceil: 20M}}"),
            R"({"upload":{"rate":"50M"}})");
}

TEST(KindsTest, WrongTypesAreErrorsThatNameTheField) {
  EXPECT_EQ(VirtualMachine::FromText(R"({"spec":{"cpus":"x"}})").error().message,
            "spec.cpus: must be an integer");
  EXPECT_EQ(VirtualMachine::FromText(R"({"spec":{"disks":[{"name":1}]}})").error().message,
            "spec.disks[0].name: must be a string");
  EXPECT_FALSE(VirtualMachine::FromText(R"({"spec":{"powerState":"On"}})").ok());
  EXPECT_FALSE(VirtualMachine::FromText("[]").ok());
}

TEST(KindsTest, RestoredMachinesDoNotRestartUnlessToldTo) {
  VirtualMachineSpec spec;
  EXPECT_EQ(spec.EffectiveRestartPolicy(), RestartPolicy::kOnFailure);
  spec.restore_from = RestoreFrom{"s"};
  EXPECT_EQ(spec.EffectiveRestartPolicy(), RestartPolicy::kNever);
  spec.restart_policy = RestartPolicy::kAlways;
  EXPECT_EQ(spec.EffectiveRestartPolicy(), RestartPolicy::kAlways);
}

// Goal: a name or a template whose children the store would refuse is refused itself, at creation.
TEST(KindsTest, WhatChildrenCouldNotHaveIsRefused) {
  const auto named = [](const std::string& kind, const std::string& spec, std::size_t length,
                        bool is_update = false) {
    Json object = Object(kind, spec);
    object["metadata"]["name"] = std::string(length, 'a');
    std::vector<std::string> fields;
    const Json old = object;
    for (const Cause& cause : ValidateObject(*Registry().FindKind(kGroup, kVersion, kind), object,
                                             is_update ? &old : nullptr)) {
      EXPECT_NE(cause.message.find("must be no more than"), std::string::npos) << cause.message;
      fields.push_back(cause.field);
    }
    return fields;
  };
  const std::string of_vm = "{source: {kind: VirtualMachine, name: base}}";
  const std::string of_snapshot = "{source: {kind: Snapshot, name: snap}}";
  const Fields refused{"metadata.name"};
  EXPECT_EQ(named("Fork", of_vm, 246), Fields{});
  EXPECT_EQ(named("Fork", of_vm, 247), refused);
  EXPECT_EQ(named("Fork", of_vm, 247, true), Fields{}) << "what is there stays editable";
  EXPECT_EQ(named("Fork", of_snapshot, 253), Fields{});
  const std::string set = "{template: {spec: " + of_snapshot + "}}";
  EXPECT_EQ(named("ForkSet", set, 63), Fields{});
  EXPECT_EQ(named("ForkSet", set, 64), refused);

  EXPECT_EQ(Refused("Fork",
                    "{source: {kind: Snapshot, name: s}, template: {metadata: {labels: "
                    "{a: '-'}, annotations: {'/b': c}}}}"),
            (Fields{"spec.template.metadata.labels", "spec.template.metadata.annotations"}));
  EXPECT_EQ(Refused("ForkSet",
                    "{template: {metadata: {annotations: {'/b': c}}, spec: {source: {kind: "
                    "Snapshot, name: s}, template: {metadata: {labels: {a: '-'}}}}}}"),
            (Fields{"spec.template.metadata.annotations",
                    "spec.template.spec.template.metadata.labels"}));
}

}  // namespace
}  // namespace forkplane::crd
