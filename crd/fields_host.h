// Network and Host: see fields_common.h.
#pragma once

#include "crd/fields_common.h"

namespace forkplane::crd {

template <typename V>
void VisitFields(V& v, Like<V, NetworkUplink>& s) {
  v("interface", s.interface);
}

template <typename V>
void VisitFields(V& v, Like<V, PortRange>& s) {
  v("protocol", s.protocol);
  v("port", s.port);
  v("endPort", s.end_port);
}

template <typename V>
void VisitFields(V& v, Like<V, EgressPeer>& s) {
  v("cidr", s.cidr);
  v("ports", s.ports);
}

template <typename V>
void VisitFields(V& v, Like<V, IngressPeer>& s) {
  v("from", s.from);
  v("ports", s.ports);
}

template <typename V>
void VisitFields(V& v, Like<V, NetworkEgress>& s) {
  v("policy", s.policy);
  v("allow", s.allow);
}

template <typename V>
void VisitFields(V& v, Like<V, NetworkIngress>& s) {
  v("policy", s.policy);
  v("allow", s.allow);
}

template <typename V>
void VisitFields(V& v, Like<V, NetworkSpec>& s) {
  v("cidr", s.cidr);
  v("gateway", s.gateway);
  v("mode", s.mode);
  v("isolation", s.isolation);
  v("uplink", s.uplink);
  v("nat", s.nat);
  v("mtu", s.mtu);
  v("dns", s.dns);
  v("egress", s.egress);
  v("ingress", s.ingress);
  v("hostAccess", s.host_access);
  v("metadataAccess", s.metadata_access);
  v("connectionsMax", s.connections_max);
  v("defaultBandwidth", s.default_bandwidth);
  v("unshapedRate", s.unshaped_rate);
  v("addressRest", s.address_rest);
  v("perHostPrefix", s.per_host_prefix);
}

template <typename V>
void VisitFields(V& v, Like<V, AddressUse>& s) {
  v("used", s.used);
  v("free", s.free);
}

template <typename V>
void VisitFields(V& v, Like<V, NetworkHostStatus>& s) {
  v("name", s.name);
  v("bridges", s.bridges);
  v("ports", s.ports);
  v("addresses", s.addresses);
  v("conditions", s.conditions);
}

template <typename V>
void VisitFields(V& v, Like<V, NetworkStatus>& s) {
  v.OmitZero("observedGeneration", s.observed_generation);
  v("gateway", s.gateway);
  v("hosts", s.hosts);
  v("conditions", s.conditions);
}

template <typename V>
void VisitFields(V& v, Like<V, WarmSlots>& s) {
  v("snapshotNamespace", s.snapshot_namespace);
  v("snapshotName", s.snapshot_name);
  v("count", s.count);
}

template <typename V>
void VisitFields(V& v, Like<V, UplinkCapacity>& s) {
  v("upload", s.upload);
  v("download", s.download);
}

template <typename V>
void VisitFields(V& v, Like<V, HostUplink>& s) {
  v("interface", s.interface);
  v("capacity", s.capacity);
}

template <typename V>
void VisitFields(V& v, Like<V, Overcommit>& s) {
  v("cpu", s.cpu);
  v("memory", s.memory);
  v("network", s.network);
}

template <typename V>
void VisitFields(V& v, Like<V, HostSpec>& s) {
  v("unschedulable", s.unschedulable);
  v("drain", s.drain);
  v("maxConcurrentRestores", s.max_concurrent_restores);
  v("warm", s.warm);
  v("uplinks", s.uplinks);
  v("overcommit", s.overcommit);
  v("features", s.features);
}

template <typename V>
void VisitFields(V& v, Like<V, HypervisorStatus>& s) {
  v("name", s.name);
  v("version", s.version);
  v("capabilities", s.capabilities);
}

template <typename V>
void VisitFields(V& v, Like<V, RestoreSlots>& s) {
  v("inUse", s.in_use);
  v("total", s.total);
  v("waiting", s.waiting);
  v("oldestWaitSeconds", s.oldest_wait_seconds);
}

template <typename V>
void VisitFields(V& v, Like<V, HostPressure>& s) {
  v("cpu", s.cpu);
  v("memory", s.memory);
  v("io", s.io);
}

template <typename V>
void VisitFields(V& v, Like<V, KernelStatus>& s) {
  v("version", s.version);
  v("features", s.features);
  v("redirect", s.redirect);
  v("leaf", s.leaf);
}

template <typename V>
void VisitFields(V& v, Like<V, HostStatus>& s) {
  v.OmitZero("observedGeneration", s.observed_generation);
  v("capacity", s.capacity);
  v("allocatable", s.allocatable);
  v("allocated", s.allocated);
  v("hypervisors", s.hypervisors);
  v("restoreSlots", s.restore_slots);
  v("pressure", s.pressure);
  v("kernel", s.kernel);
  v("conditions", s.conditions);
}

}  // namespace forkplane::crd
