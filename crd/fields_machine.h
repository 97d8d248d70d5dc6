// VirtualMachine, Snapshot, Fork, ForkSet: see fields_common.h.
#pragma once

#include "crd/fields_common.h"

namespace forkplane::crd {

template <typename V>
void VisitFields(V& v, Like<V, Interface>& s) {
  v("name", s.name);
  v("network", s.network);
  v("ip", s.ip);
  v("bandwidth", s.bandwidth);
}

template <typename V>
void VisitFields(V& v, Like<V, RestoreFrom>& s) {
  v("snapshotName", s.snapshot_name);
}

template <typename V>
void VisitFields(V& v, Like<V, VirtualMachineSpec>& s) {
  v("hostName", s.host_name);
  v("powerState", s.power_state);
  v("hypervisor", s.hypervisor);
  v("cpus", s.cpus);
  v("memory", s.memory);
  v("boot", s.boot);
  v("disks", s.disks);
  v.UnlessAbsent("interfaces", s.interfaces, s.interfaces_absent);
  v("vsock", s.vsock);
  v("restoreFrom", s.restore_from);
  v("identity", s.identity);
  v("restartPolicy", s.restart_policy);
  v("restartMode", s.restart_mode);
  v("admissionPolicy", s.admission_policy);
  v("terminationGracePeriodSeconds", s.termination_grace_period_seconds);
}

template <typename V>
void VisitFields(V& v, Like<V, ObservedShaping>& s) {
  v("download", s.download);
  v("upload", s.upload);
}

template <typename V>
void VisitFields(V& v, Like<V, InterfaceStatus>& s) {
  v("name", s.name);
  v("ip", s.ip);
  v("mac", s.mac);
  v("tap", s.tap);
  v("classID", s.class_id);
  v("shaping", s.shaping);
}

template <typename V>
void VisitFields(V& v, Like<V, VmmStatus>& s) {
  v("version", s.version);
  v("pid", s.pid);
  v("startTime", s.start_time);
  v("uid", s.uid);
}

template <typename V>
void VisitFields(V& v, Like<V, SnapshotAliasStatus>& s) {
  v("strategy", s.strategy);
  v("reason", s.reason);
}

template <typename V>
void VisitFields(V& v, Like<V, VirtualMachineStatus>& s) {
  v.OmitZero("observedGeneration", s.observed_generation);
  v("phase", s.phase);
  v("hypervisor", s.hypervisor);
  v.OmitZero("cpus", s.cpus);
  v("memory", s.memory);
  v("interfaces", s.interfaces);
  v.OmitZero("vsockCID", s.vsock_cid);
  v("vmm", s.vmm);
  v("timings", s.timings);
  v("snapshotAlias", s.snapshot_alias);
  v("conditions", s.conditions);
}

template <typename V>
void VisitFields(V& v, Like<V, ImportedInterface>& s) {
  v("name", s.name);
  v("mac", s.mac);
  v("ip", s.ip);
}

template <typename V>
void VisitFields(V& v, Like<V, SnapshotImport>& s) {
  v("path", s.path);
  v("interfaces", s.interfaces);
}

template <typename V>
void VisitFields(V& v, Like<V, SnapshotSource>& s) {
  v("virtualMachineName", s.virtual_machine_name);
  v("import", s.import);
}

template <typename V>
void VisitFields(V& v, Like<V, SnapshotSpec>& s) {
  v("source", s.source);
  v("type", s.type);
  v("memory", s.memory);
}

template <typename V>
void VisitFields(V& v, Like<V, SnapshotSize>& s) {
  v("memory", s.memory);
  v("state", s.state);
  v("disk", s.disk);
}

template <typename V>
void VisitFields(V& v, Like<V, SnapshotNetwork>& s) {
  v("cidr", s.cidr);
  v("gateway", s.gateway);
  v("mtu", s.mtu);
}

template <typename V>
void VisitFields(V& v, Like<V, MachineInterface>& s) {
  v("name", s.name);
  v("network", s.network);
  v("bandwidth", s.bandwidth);
}

template <typename V>
void VisitFields(V& v, Like<V, SnapshotMachine>& s) {
  v("cpus", s.cpus);
  v("memory", s.memory);
  v("boot", s.boot);
  v("disks", s.disks);
  v("interfaces", s.interfaces);
  v("vsock", s.vsock);
  v("terminationGracePeriodSeconds", s.termination_grace_period_seconds);
}

template <typename V>
void VisitFields(V& v, Like<V, SnapshotHost>& s) {
  v("name", s.name);
  v("state", s.state);
}

template <typename V>
void VisitFields(V& v, Like<V, SnapshotStatus>& s) {
  v.OmitZero("observedGeneration", s.observed_generation);
  v("phase", s.phase);
  v("size", s.size);
  v("pauseMilliseconds", s.pause_milliseconds);
  v("hypervisor", s.hypervisor);
  v("hypervisorVersion", s.hypervisor_version);
  v("stateFormat", s.state_format);
  v("network", s.network);
  v("machine", s.machine);
  v("parent", s.parent);
  v("digest", s.digest);
  v("hosts", s.hosts);
  v("usedBy", s.used_by);
  v("conditions", s.conditions);
}

template <typename V>
void VisitFields(V& v, Like<V, ForkSource>& s) {
  v("kind", s.kind);
  v("name", s.name);
}

template <typename V>
void VisitFields(V& v, Like<V, InterfaceOverride>& s) {
  v("name", s.name);
  v("bandwidth", s.bandwidth);
}

template <typename V>
void VisitFields(V& v, Like<V, VmOverrides>& s) {
  v("hostName", s.host_name);
  v("interfaces", s.interfaces);
  v("identity", s.identity);
  v("restartPolicy", s.restart_policy);
  v("restartMode", s.restart_mode);
}

template <typename V>
void VisitFields(V& v, Like<V, VmTemplate>& s) {
  v("metadata", s.metadata);
  v("spec", s.spec);
}

template <typename V>
void VisitFields(V& v, Like<V, ForkSpec>& s) {
  v("source", s.source);
  v("targetState", s.target_state);
  v("template", s.vm_template);
  v("admissionPolicy", s.admission_policy);
  v("ttl", s.ttl);
  v("onHostLost", s.on_host_lost);
}

template <typename V>
void VisitFields(V& v, Like<V, ForkStatus>& s) {
  v.OmitZero("observedGeneration", s.observed_generation);
  v("snapshotName", s.snapshot_name);
  v("virtualMachineName", s.virtual_machine_name);
  v("timings", s.timings);
  v("conditions", s.conditions);
}

template <typename V>
void VisitFields(V& v, Like<V, ForkTemplate>& s) {
  v("metadata", s.metadata);
  v("spec", s.spec);
}

template <typename V>
void VisitFields(V& v, Like<V, ForkSetSpec>& s) {
  v("replicas", s.replicas);
  v("selector", s.selector);
  v("template", s.fork_template);
  v("maxConcurrent", s.max_concurrent);
}

template <typename V>
void VisitFields(V& v, Like<V, ForkSetStatus>& s) {
  v.OmitZero("observedGeneration", s.observed_generation);
  v("replicas", s.replicas);
  v("readyReplicas", s.ready_replicas);
  v("updatedReplicas", s.updated_replicas);
  v("selector", s.selector);
  v("snapshotName", s.snapshot_name);
  v("conditions", s.conditions);
}

}  // namespace forkplane::crd
