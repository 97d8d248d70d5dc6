// Goal: documents become objects in an order that works, and each fault is told with its place.
#include "controller/manifests/manifest.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "controller/manifests/desired.h"

namespace forkplane::manifests {
namespace {

ParsedTree Parse(std::vector<ScannedFile> files) {
  TreeScan scan;
  scan.files = std::move(files);
  return ParseTree(scan);
}

std::string Doc(const std::string& kind, const std::string& name) {
  return "apiVersion: v1\nkind: " + kind + "\nmetadata: {name: " + name + "}\n";
}

TEST(ManifestTest, DocumentsAreOrderedByWhatNeedsWhat) {
  const ParsedTree tree = Parse(
      {{"a.yaml", Doc("ForkSet", "fs") + "---\n" + Doc("VirtualMachine", "vm") + "---\n" +
                      Doc("Network", "net") + "---\n" + Doc("Widget", "w")},
       {"b.yaml", Doc("Namespace", "ns") + "---\n" + Doc("CustomResourceDefinition", "crd")}});
  std::string names;
  for (const Manifest& manifest : tree.manifests) names += manifest.name + " ";
  EXPECT_EQ(names, "crd ns net w vm fs ");
  EXPECT_TRUE(tree.refused.empty());
}

TEST(ManifestTest, PlaceAndIdentityAreKnown) {
  const ParsedTree tree = Parse({{"vms/a.yaml",
                                  "# comment\n---\napiVersion: forkplane.dev/v1alpha1\n"
                                  "kind: VirtualMachine\nmetadata: {name: a, namespace: ns1}\n"}});
  ASSERT_EQ(tree.manifests.size(), 1U);
  const Manifest& manifest = tree.manifests[0];
  EXPECT_EQ(manifest.group, "forkplane.dev");
  EXPECT_EQ(manifest.version, "v1alpha1");
  EXPECT_EQ(Name(manifest), "VirtualMachine ns1/a");
  EXPECT_EQ(Where(manifest).substr(0, 11), "vms/a.yaml:");
}

TEST(ManifestTest, AListIsItsItems) {
  const ParsedTree tree = Parse({{"l.json",
                                  R"({"apiVersion":"v1","kind":"List","items":[
            {"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"}},
            {"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"b"}}]})"}});
  EXPECT_EQ(tree.manifests.size(), 2U);
}

TEST(ManifestTest, WhatTheServerWritesIsNotApplied) {
  const ParsedTree tree =
      Parse({{"a.yaml",
              "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, uid: u, resourceVersion: '5', "
              "creationTimestamp: null, labels: {l: v}}\nstatus: {x: 1}\n"}});
  ASSERT_EQ(tree.manifests.size(), 1U);
  EXPECT_EQ(crd::DumpJson(*tree.manifests[0].object),
            R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"labels":{"l":"v"},"name":"a"}})");
}

TEST(ManifestTest, WhatIsNotUnderstoodIsRefusedWithItsPlace) {
  for (const char* text :
       {"a: [", "just text", "kind: ConfigMap\nmetadata: {name: a}\n",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {generateName: a-}\n",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: []\n",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, labels: [x]}\n",
        "apiVersion: v1\nmetadata: {name: a}\n", "apiVersion: v1\nspec: {}\n",
        // Two values for one key: which one was meant nobody knows.
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {x: '1', x: '2'}\n",
        // YAML 1.1: a bare n is false. Not the default namespace.
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: n}\n"}) {
    const ParsedTree tree = Parse({{"f.yaml", text}});
    ASSERT_EQ(tree.refused.size(), 1U) << text;
    EXPECT_TRUE(tree.refused[0].where.starts_with("f.yaml")) << text;
    EXPECT_TRUE(tree.manifests.empty()) << text;
  }
}

TEST(ManifestTest, WhatIsNoKubernetesObjectIsPassedOver) {
  for (const char* text :
       {"replicas: 3\nimage: {tag: x}\n", "services: {web: {image: nginx}}\n",
        "apiVersion: v2\nname: chart\nversion: 1.0.0\n", "- hosts: all\n", "resources: [a.yaml]\n",
        "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n"}) {
    const ParsedTree tree = Parse({{"f.yaml", text}});
    EXPECT_TRUE(tree.refused.empty()) << text;
    EXPECT_TRUE(tree.manifests.empty()) << text;
    ASSERT_EQ(tree.passed_over.size(), 1U) << text;
    EXPECT_TRUE(tree.files.at("f.yaml").foreign) << text;
  }
}

TEST(ManifestTest, AFileTellsWhetherItMayHaveBeenCutOff) {
  const auto of = [](const std::string& text) {
    return Parse({{"f.yaml", text}}).files.at("f.yaml");
  };
  EXPECT_TRUE(of("").blank);
  EXPECT_TRUE(of(" \n\n").blank);
  EXPECT_TRUE(of("kind: List\nitems: []\n").blank);
  EXPECT_FALSE(of("# nothing yet\n").blank);
  EXPECT_TRUE(of(Doc("ConfigMap", "a") + "---").cut);
  EXPECT_FALSE(of(Doc("ConfigMap", "a")).cut);
  EXPECT_FALSE(of(R"({"kind":"List","items":[]})").cut) << "JSON that was cut does not parse";
  EXPECT_EQ(of(Doc("ConfigMap", "a") + "---\n" + Doc("ConfigMap", "b")).objects, 2);
}

Desired Understood(std::vector<ScannedFile> files) {
  static const auto types = crd::NewTypeRegistry().value();
  return Understand(Parse(std::move(files)), *types);
}

TEST(ManifestTest, TheSecondOfTwoDocumentsForOneObjectIsRefused) {
  const Desired desired = Understood({{"a.yaml", Doc("ConfigMap", "a")},
                                      {"b.yaml",
                                       "apiVersion: v1\nkind: ConfigMap\n"
                                       "metadata: {name: a, namespace: default}\n"}});
  ASSERT_EQ(desired.objects.size(), 1U);
  EXPECT_EQ(desired.objects[0].manifest.path, "a.yaml");
  ASSERT_EQ(desired.refused.size(), 1U);
  EXPECT_EQ(desired.refused[0].where, "b.yaml:1");
}

TEST(ManifestTest, AKindThatIsNotServedIsRefusedWithWhatMayBeMeant) {
  const auto message = [](const std::string& api_version, const std::string& kind) {
    const Desired desired = Understood(
        {{"a.yaml", "apiVersion: " + api_version + "\nkind: " + kind + "\nmetadata: {name: a}\n"}});
    return desired.refused.empty() ? "" : desired.refused[0].message;
  };
  EXPECT_EQ(message("forkplane.dev/v1alpha2", "VirtualMachine"),
            "forkplane.dev/v1alpha2 has no kind VirtualMachine; did you mean VirtualMachine of "
            "forkplane.dev/v1alpha1");
  EXPECT_EQ(message("forkplane.dev/v1alpha1", "VirtualMachin"),
            "forkplane.dev/v1alpha1 has no kind VirtualMachin; did you mean VirtualMachine of "
            "forkplane.dev/v1alpha1");
  EXPECT_EQ(message("apps/v1", "Deployment"), "apps/v1 has no kind Deployment");
}

TEST(ManifestTest, AKindWhoseDefinitionIsInTheTreeIsAwaited) {
  const Desired desired =
      Understood({{"w.yaml", "apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: w}\n"},
                  {"x.yaml",
                   "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\n"
                   "metadata: {name: widgets.example.com}\n"
                   "spec: {group: example.com, names: {kind: Widget}}\n"}});
  EXPECT_TRUE(desired.refused.empty());
  ASSERT_EQ(desired.waiting.size(), 1U);
  EXPECT_EQ(desired.waiting[0].where, "w.yaml:1");
}

}  // namespace
}  // namespace forkplane::manifests
