// Does KVM run guests for a VMM on this host, or is /dev/kvm only a file?
//
// The question is asked by a process that is begun as a VMM is: private root, unprivileged uid, the
// groups of the device and no others. Asked by root it would say yes on every host, also where no
// VMM may open the node.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "controller/base/result.h"
#include "drivers/process_driver.h"

namespace forkplane::vmm {

inline constexpr char kKvmDevice[] = "/dev/kvm";

struct KvmProbeOptions {
  std::string executable = "/proc/self/exe";           // what runs KvmProbeMain: our own binary
  std::vector<std::string> arguments = {"kvm-probe"};  // the device's path follows
  std::string device = kKvmDevice;                     // tests name others
  uid_t user = 0;                                      // of no VM and no person; 0 is refused
  gid_t group = 0;
};

struct KvmAnswer {
  bool runs = false;
  // Otherwise: what was found ("/dev/kvm is 0600 root:root: ...") and what mends it.
  std::string why;
  std::string remedy;
};

// An error when the question could not be asked: no process can be begun on this host.
Result<KvmAnswer> ProbeKvm(process::ProcessDriver& processes, const KvmProbeOptions& options);

// What the asking process says by its exit status, and prints when it runs.
inline constexpr int kRuns = 0;
inline constexpr int kDoesNotRun = 1;
inline constexpr char kRunsText[] = "a probe guest ran";

// The asking process itself; the app calls it for the verb `kvm-probe`. Runs a tiny guest in long
// mode: `lock cmpxchg16b` (which emulating KVMs refuse) and four million turns of a loop, within
// 300 ms; a machine that emulates instruction by instruction needs seconds. Prints one line: that
// it runs, or why not. The value is its exit status.
int KvmProbeMain(const std::string& device);

}  // namespace forkplane::vmm
