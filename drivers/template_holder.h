// Memory of a snapshot that many forks map at once: a sealed memfd, which nobody can write again,
// kept alive by one small process per snapshot. The process outlives the daemon, so a restarted
// daemon gets the same memory back and forks made before and after share their pages.
//
// NOTE Memory: each template costs its non-zero pages of RAM (tmpfs) until Drop; List gives the
// sizes for a host's allocatable. The snapshot directory's file is the durable truth: when the
// holder is gone (reboot, OOM kill) Get is nullopt and the caller loads the file again with
// MakeFromFile + Keep.
// NOTE Security: the holder's socket is root's, 0600, in a 0700 directory, and it answers uid 0
// only; the process itself runs unprivileged in a private root.
// NOTE Threading: thread-safe; calls for one uid are serialised by the caller's queue key.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "controller/base/result.h"
#include "controller/base/unique_fd.h"

namespace forkplane::storage {

struct TemplateInfo {
  std::string uid;               // of the Snapshot
  std::uint64_t size_bytes = 0;  // apparent size
  std::uint64_t held_bytes = 0;  // allocated pages
};

class TemplateHolder {
 public:
  virtual ~TemplateHolder() = default;

  // Starts a holder for an already sealed memfd (see SealedMemfd below). Holding the uid already is
  // success when the size is equal, Conflict otherwise. Invalid: not sealed against writes.
  virtual Status Keep(const std::string& uid, const UniqueFd& memfd) = 0;
  // A descriptor of the template. nullopt: nobody holds it, and that is proven. A holder that is
  // slow or stopped is Unavailable: taken for none, it would be doubled, or forgotten with its
  // memory.
  virtual Lookup<UniqueFd> Get(const std::string& uid) = 0;
  // Ends the holder. Forks that map the memory keep it. Absent is success.
  virtual Status Drop(const std::string& uid) = 0;
  virtual Result<std::vector<TemplateInfo>> List() = 0;
};

// An unsealed memfd of that size.
Result<UniqueFd> MakeMemfd(const std::string& name, std::uint64_t size_bytes);
// Copies the data of a file (holes stay holes), from offset 0 to its end; no page goes through the
// daemon's own memory where the kernel can help it (sendfile). Returns the bytes copied.
Result<std::uint64_t> CopySparse(int from, int to);
// F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL. Conflict: somebody maps it writable.
Status Seal(const UniqueFd& memfd);
bool IsSealed(int fd);
// F_SEAL_SHRINK | F_SEAL_GROW on a memfd that another process holds too, opened for writing: nobody
// can cut it while we have it mapped, which would be a SIGBUS. Once true it stays so. Conflict: it
// is no memfd, or one that takes no seals.
Status FixSize(int fd);
// MakeMemfd + CopySparse + Seal.
Result<UniqueFd> MakeFromFile(const std::string& name, int file);

// The holder process itself: `argv` is what the daemon started it with. The app calls it for the
// verb `template-holder`. Never returns to serve anything else; the value is the exit status.
int TemplateHolderMain();

}  // namespace forkplane::storage
