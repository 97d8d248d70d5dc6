#include "controller/apiserver/proto/message_tables.h"

#include <algorithm>
#include <array>

namespace forkplane::apiserver {
namespace {

using enum FieldKind;
using Form = FieldRow::Form;

constexpr Form kPointer = Form::kPointer;
constexpr Form kList = Form::kList;
constexpr Form kPlain = Form::kPlain;

// clang-format off

// k8s.io/apimachinery/pkg/apis/meta/v1

constexpr std::array kOwnerReferenceRows = std::to_array<FieldRow>({
    {1, "kind", kText}, {3, "name", kText}, {4, "uid", kText}, {5, "apiVersion", kText},
    {6, "controller", kBool, kPointer}, {7, "blockOwnerDeletion", kBool, kPointer}});
constexpr MessageTable kOwnerReference{kOwnerReferenceRows};

constexpr std::array kManagedFieldsEntryRows = std::to_array<FieldRow>({
    {1, "manager", kText}, {2, "operation", kText}, {3, "apiVersion", kText}, {4, "time", kTime},
    {6, "fieldsType", kText}, {7, "fieldsV1", kRawJson}, {8, "subresource", kText}});
constexpr MessageTable kManagedFieldsEntry{kManagedFieldsEntryRows};

constexpr std::array kObjectMetaRows = std::to_array<FieldRow>({
    {1, "name", kText}, {2, "generateName", kText}, {3, "namespace", kText},
    {4, "selfLink", kText}, {5, "uid", kText}, {6, "resourceVersion", kText},
    {7, "generation", kInteger}, {8, "creationTimestamp", kTime}, {9, "deletionTimestamp", kTime},
    {10, "deletionGracePeriodSeconds", kInteger, kPointer}, {11, "labels", kTextMap},
    {12, "annotations", kTextMap},
    {13, "ownerReferences", kMessage, kList, &kOwnerReference}, {14, "finalizers", kText, kList},
    {17, "managedFields", kMessage, kList, &kManagedFieldsEntry}});
constexpr MessageTable kObjectMeta{kObjectMetaRows};

constexpr FieldRow kMetadata{1, "metadata", kMessage, kPlain, &kObjectMeta};

constexpr std::array kPreconditionsRows = std::to_array<FieldRow>({
    {1, "uid", kText, kPointer}, {2, "resourceVersion", kText, kPointer}});
constexpr MessageTable kPreconditions{kPreconditionsRows};

constexpr std::array kDeleteOptionsRows = std::to_array<FieldRow>({
    {1, "gracePeriodSeconds", kInteger, kPointer},
    {2, "preconditions", kMessage, kPointer, &kPreconditions},
    {3, "orphanDependents", kBool, kPointer}, {4, "propagationPolicy", kText, kPointer},
    {5, "dryRun", kText, kList}});
constexpr MessageTable kDeleteOptions{kDeleteOptionsRows};

// k8s.io/api/core/v1

constexpr std::array kNamespaceConditionRows = std::to_array<FieldRow>({
    {1, "type", kText}, {2, "status", kText}, {4, "lastTransitionTime", kTime},
    {5, "reason", kText}, {6, "message", kText}});
constexpr MessageTable kNamespaceCondition{kNamespaceConditionRows};

constexpr std::array kNamespaceSpecRows = std::to_array<FieldRow>({
    {1, "finalizers", kText, kList}});
constexpr MessageTable kNamespaceSpec{kNamespaceSpecRows};

constexpr std::array kNamespaceStatusRows = std::to_array<FieldRow>({
    {1, "phase", kText}, {2, "conditions", kMessage, kList, &kNamespaceCondition}});
constexpr MessageTable kNamespaceStatus{kNamespaceStatusRows};

constexpr std::array kNamespaceRows = std::to_array<FieldRow>({
    kMetadata, {2, "spec", kMessage, kPlain, &kNamespaceSpec},
    {3, "status", kMessage, kPlain, &kNamespaceStatus}});
constexpr MessageTable kNamespace{kNamespaceRows};

constexpr std::array kConfigMapRows = std::to_array<FieldRow>({
    kMetadata, {2, "data", kTextMap}, {3, "binaryData", kBytesMap},
    {4, "immutable", kBool, kPointer}});
constexpr MessageTable kConfigMap{kConfigMapRows};

constexpr std::array kSecretRows = std::to_array<FieldRow>({
    kMetadata, {2, "data", kBytesMap}, {3, "type", kText}, {4, "stringData", kTextMap},
    {5, "immutable", kBool, kPointer}});
constexpr MessageTable kSecret{kSecretRows};

constexpr std::array kObjectReferenceRows = std::to_array<FieldRow>({
    {1, "kind", kText}, {2, "namespace", kText}, {3, "name", kText}, {4, "uid", kText},
    {5, "apiVersion", kText}, {6, "resourceVersion", kText}, {7, "fieldPath", kText}});
constexpr MessageTable kObjectReference{kObjectReferenceRows};

constexpr std::array kEventSourceRows = std::to_array<FieldRow>({
    {1, "component", kText}, {2, "host", kText}});
constexpr MessageTable kEventSource{kEventSourceRows};

constexpr std::array kEventSeriesRows = std::to_array<FieldRow>({
    {1, "count", kInteger}, {2, "lastObservedTime", kMicroTime}});
constexpr MessageTable kEventSeries{kEventSeriesRows};

constexpr std::array kEventRows = std::to_array<FieldRow>({
    kMetadata, {2, "involvedObject", kMessage, kPlain, &kObjectReference}, {3, "reason", kText},
    {4, "message", kText}, {5, "source", kMessage, kPlain, &kEventSource},
    {6, "firstTimestamp", kTime}, {7, "lastTimestamp", kTime}, {8, "count", kInteger},
    {9, "type", kText}, {10, "eventTime", kMicroTime},
    {11, "series", kMessage, kPointer, &kEventSeries}, {12, "action", kText},
    {13, "related", kMessage, kPointer, &kObjectReference}, {14, "reportingComponent", kText},
    {15, "reportingInstance", kText}});
constexpr MessageTable kEvent{kEventRows};

// k8s.io/api/coordination/v1

constexpr std::array kLeaseSpecRows = std::to_array<FieldRow>({
    {1, "holderIdentity", kText, kPointer}, {2, "leaseDurationSeconds", kInteger, kPointer},
    {3, "acquireTime", kMicroTime}, {4, "renewTime", kMicroTime},
    {5, "leaseTransitions", kInteger, kPointer}, {6, "strategy", kText, kPointer},
    {7, "preferredHolder", kText, kPointer}});
constexpr MessageTable kLeaseSpec{kLeaseSpecRows};

constexpr std::array kLeaseRows = std::to_array<FieldRow>({
    kMetadata, {2, "spec", kMessage, kPlain, &kLeaseSpec}});
constexpr MessageTable kLease{kLeaseRows};

// k8s.io/api/authorization/v1 and authentication/v1; what the server answers (status) is not read.

constexpr std::array kResourceAttributesRows = std::to_array<FieldRow>({
    {1, "namespace", kText}, {2, "verb", kText}, {3, "group", kText}, {4, "version", kText},
    {5, "resource", kText}, {6, "subresource", kText}, {7, "name", kText}});
constexpr MessageTable kResourceAttributes{kResourceAttributesRows};

constexpr std::array kNonResourceAttributesRows = std::to_array<FieldRow>({
    {1, "path", kText}, {2, "verb", kText}});
constexpr MessageTable kNonResourceAttributes{kNonResourceAttributesRows};

constexpr std::array kAccessReviewSpecRows = std::to_array<FieldRow>({
    {1, "resourceAttributes", kMessage, kPointer, &kResourceAttributes},
    {2, "nonResourceAttributes", kMessage, kPointer, &kNonResourceAttributes}});
constexpr MessageTable kAccessReviewSpec{kAccessReviewSpecRows};

constexpr std::array kSelfSubjectAccessReviewRows = std::to_array<FieldRow>({
    kMetadata, {2, "spec", kMessage, kPlain, &kAccessReviewSpec}});
constexpr MessageTable kSelfSubjectAccessReview{kSelfSubjectAccessReviewRows};

constexpr std::array kRulesReviewSpecRows = std::to_array<FieldRow>({{1, "namespace", kText}});
constexpr MessageTable kRulesReviewSpec{kRulesReviewSpecRows};

constexpr std::array kSelfSubjectRulesReviewRows = std::to_array<FieldRow>({
    kMetadata, {2, "spec", kMessage, kPlain, &kRulesReviewSpec}});
constexpr MessageTable kSelfSubjectRulesReview{kSelfSubjectRulesReviewRows};

constexpr std::array kSelfSubjectReviewRows = std::to_array<FieldRow>({kMetadata});
constexpr MessageTable kSelfSubjectReview{kSelfSubjectReviewRows};

// clang-format on

struct KindRow {
  std::string_view api_version;
  std::string_view kind;
  const MessageTable* message;
};

constexpr std::array kKinds = std::to_array<KindRow>(
    {{"v1", "Namespace", &kNamespace},
     {"v1", "ConfigMap", &kConfigMap},
     {"v1", "Secret", &kSecret},
     {"v1", "Event", &kEvent},
     {"coordination.k8s.io/v1", "Lease", &kLease},
     {"authorization.k8s.io/v1", "SelfSubjectAccessReview", &kSelfSubjectAccessReview},
     {"authorization.k8s.io/v1", "SelfSubjectRulesReview", &kSelfSubjectRulesReview},
     {"authentication.k8s.io/v1", "SelfSubjectReview", &kSelfSubjectReview}});

}  // namespace

const FieldRow* MessageTable::Find(std::uint32_t number) const {
  const auto at = std::lower_bound(
      fields.begin(), fields.end(), number,
      [](const FieldRow& row, std::uint32_t wanted) { return row.number < wanted; });
  return at != fields.end() && at->number == number ? &*at : nullptr;
}

const MessageTable* FindMessageTable(std::string_view api_version, std::string_view kind) {
  // Every group has DeleteOptions, and clients name the group of what they delete.
  if (kind == "DeleteOptions") return &kDeleteOptions;
  for (const KindRow& row : kKinds) {
    if (row.api_version == api_version && row.kind == kind) return row.message;
  }
  return nullptr;
}

}  // namespace forkplane::apiserver
