// Which JSON member is which struct member: metadata, conditions and what several kinds share. V is
// Decoder or Encoder; Like<V, T> is T, const for the latter. Internal to the room.
#pragma once

#include "crd/codec.h"
#include "crd/types.h"

namespace forkplane::crd {

template <typename V, typename T>
using Like = typename V::template Ref<T>;

template <typename V>
void VisitFields(V& v, Like<V, OwnerReference>& s) {
  v("apiVersion", s.api_version);
  v("kind", s.kind);
  v("name", s.name);
  v("uid", s.uid);
  v.OmitZero("controller", s.controller);
  v.OmitZero("blockOwnerDeletion", s.block_owner_deletion);
}

template <typename V>
void VisitFields(V& v, Like<V, ObjectMeta>& s) {
  v("name", s.name);
  v("generateName", s.generate_name);
  v("namespace", s.ns);
  v("uid", s.uid);
  v("resourceVersion", s.resource_version);
  v.OmitZero("generation", s.generation);
  v("creationTimestamp", s.creation_timestamp);
  v("deletionTimestamp", s.deletion_timestamp);
  v.OmitZero("deletionGracePeriodSeconds", s.deletion_grace_period_seconds);
  v("labels", s.labels);
  v("annotations", s.annotations);
  v("ownerReferences", s.owner_references);
  v("finalizers", s.finalizers);
}

template <typename V>
void VisitFields(V& v, Like<V, LabelSelectorRequirement>& s) {
  v("key", s.key);
  v("operator", s.op);
  v("values", s.values);
}

template <typename V>
void VisitFields(V& v, Like<V, LabelSelector>& s) {
  v("matchLabels", s.match_labels);
  v("matchExpressions", s.match_expressions);
}

template <typename V>
void VisitFields(V& v, Like<V, TemplateMeta>& s) {
  v("labels", s.labels);
  v("annotations", s.annotations);
}

template <typename V>
void VisitFields(V& v, Like<V, Condition>& s) {
  v("type", s.type);
  v("status", s.status);
  v("reason", s.reason);
  v("message", s.message);
  v("observedGeneration", s.observed_generation);
  v("lastTransitionTime", s.last_transition_time);
}

template <typename V>
void VisitFields(V& v, Like<V, Boot>& s) {
  v("kernel", s.kernel);
  v("initramfs", s.initramfs);
  v("cmdline", s.cmdline);
}

template <typename V>
void VisitFields(V& v, Like<V, Disk>& s) {
  v("name", s.name);
  v("image", s.image);
  v("readOnly", s.read_only);
  v("root", s.root);
}

template <typename V>
void VisitFields(V& v, Like<V, DownloadLimit>& s) {
  v("rate", s.rate);
  v("burst", s.burst);
}

template <typename V>
void VisitFields(V& v, Like<V, UploadLimit>& s) {
  v("rate", s.rate);
  v("ceil", s.ceil);
  v("burst", s.burst);
}

template <typename V>
void VisitFields(V& v, Like<V, Bandwidth>& s) {
  v("download", s.download);
  v("upload", s.upload);
}

template <typename V>
void VisitFields(V& v, Like<V, Vsock>& s) {
  v("enabled", s.enabled);
}

template <typename V>
void VisitFields(V& v, Like<V, Timings>& s) {
  v("capture", s.capture);
  v("slotWait", s.slot_wait);
  v("network", s.network);
  v("spawn", s.spawn);
  v("load", s.load);
  v("resume", s.resume);
  v("total", s.total);
}

}  // namespace forkplane::crd
