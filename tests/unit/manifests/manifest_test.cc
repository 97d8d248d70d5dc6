// Goal: documents become objects in an order that works, and each fault is told with its place.
#include "controller/manifests/manifest.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

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
  EXPECT_TRUE(tree.problems.empty());
  EXPECT_TRUE(tree.identities_known);
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

TEST(ManifestTest, WhatHidesAnIdentityIsSaid) {
  for (const char* text :
       {"a: [", "just text", "kind: ConfigMap\nmetadata: {name: a}\n",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {generateName: a-}\n",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: []\n", "- 1\n- 2\n",
        // YAML 1.1: a bare n is false. Not the default namespace.
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: n}\n"}) {
    const ParsedTree tree = Parse({{"f.yaml", text}});
    EXPECT_FALSE(tree.identities_known) << text;
    ASSERT_EQ(tree.problems.size(), 1U) << text;
    EXPECT_TRUE(tree.problems[0].where.starts_with("f.yaml")) << text;
    EXPECT_TRUE(tree.manifests.empty()) << text;
  }
}

TEST(ManifestTest, TheSecondOfTwoDocumentsForOneObjectIsRefused) {
  const ParsedTree tree =
      Parse({{"a.yaml", Doc("ConfigMap", "a")}, {"b.yaml", Doc("ConfigMap", "a")}});
  EXPECT_EQ(tree.manifests.size(), 1U);
  EXPECT_EQ(tree.manifests[0].path, "a.yaml");
  ASSERT_EQ(tree.problems.size(), 1U);
  EXPECT_TRUE(tree.problems[0].where.starts_with("b.yaml"));
  EXPECT_TRUE(tree.identities_known);
}

TEST(ManifestTest, AKeyGivenTwiceIsSaid) {
  const ParsedTree tree = Parse({{"a.yaml", Doc("ConfigMap", "a") + "data: {x: '1', x: '2'}\n"}});
  EXPECT_EQ(tree.manifests.size(), 1U);
  EXPECT_EQ(tree.problems.size(), 1U);
}

}  // namespace
}  // namespace forkplane::manifests
