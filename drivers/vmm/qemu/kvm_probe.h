// Does KVM run guests here, or is /dev/kvm only a file?
#pragma once

namespace forkplane::vmm {

// Runs a tiny guest in long mode: `lock cmpxchg16b` (which emulating KVMs refuse) and four million
// turns of a loop, within 300 ms; a machine that emulates instruction by instruction needs seconds.
// Nothing is left behind. The answer is kept for the life of the process.
bool KvmRunsGuests();

}  // namespace forkplane::vmm
