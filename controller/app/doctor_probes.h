// What `forkplane doctor` looks at. The Judge functions are pure: facts in, findings out; the Probe
// functions gather the facts from this machine. Every Probe leaves the machine as it was.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "controller/app/doctor.h"
#include "drivers/process/bounds.h"

namespace forkplane::app {

// In the order in which an operator would mend them: kernel and rights, network, machines, files.
// `self` is our own binary, or what else runs the verb kvm-probe.
std::vector<Finding> ProbeAll(const Options& options, const std::string& self = "/proc/self/exe");

// Kernel, capabilities, devices, cgroup tree, bpffs, forwarding, the state directory.
std::vector<Finding> ProbeHost(const Options& options);
// Every network feature the drivers use, with the drivers themselves, in a network namespace that
// goes with the probe. ~50 ms.
std::vector<Finding> ProbeNetwork(const Options& options);
// VMM processes, hypervisors, KVM, guest images, kubectl. What a VMM finds is asked by processes
// begun as VMMs are.
std::vector<Finding> ProbeMachines(const Options& options, const std::string& self);

// `release` as uname(2) gives it: "6.1.0-18-amd64".
Finding JudgeKernel(std::string_view release);
// `effective` is CapEff of /proc/self/status. One finding when all are there, else one for each
// that is not.
std::vector<Finding> JudgeCapabilities(std::uint64_t effective);
// `given` is what a VM's cgroup was given in the tree mounted at `tree`, `offered` what the tree's
// root has to give.
Finding JudgeBounds(const std::string& tree, const process::Controllers& offered,
                    const process::Controllers& given);
// `uid_map` and `gid_map` as in /proc/self: the uids of --uid-range must exist in this user
// namespace.
Finding JudgeUids(const UidRange& range, std::string_view uid_map, std::string_view gid_map);
// `hard_limit` is RLIMIT_NOFILE's; the daemon raises its own up to it.
Finding JudgeDescriptors(std::uint64_t hard_limit);
Finding JudgeFreeSpace(const std::string& directory, std::uint64_t free_bytes);
// `wanted` is --leaf or --redirect; `has` what the kernel was found to do.
Finding JudgeLeaf(std::string_view wanted, bool has_fq_codel);
Finding JudgeRedirect(std::string_view wanted, bool bpf_works);
// `has_ctnetlink`: flows of released addresses can be flushed.
Finding JudgeFlows(bool has_ctnetlink);
// `refusal` of the kernel to let a packet in; empty: it does.
Finding JudgeForwardingProbe(const std::string& refusal);

// The executable that a name stands for: itself when it has a '/', else searched in `path` (the
// form of $PATH). Empty: there is none.
std::string FindExecutable(const std::string& name, std::string_view path);

}  // namespace forkplane::app
