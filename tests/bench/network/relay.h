// A guest without a VMM: a TAP in another network namespace, whose whole Linux stack is the guest,
// and two threads that carry frames between it and a TAP of the host, as a VMM does. Offloads pass
// through (virtio-net header of 12 bytes on both), so TCP sends 64 KiB segments as a guest does.
#pragma once

#include <sys/types.h>

#include <memory>
#include <thread>

#include "controller/base/result.h"
#include "controller/base/unique_fd.h"

namespace forkplane::bench {

class Relay {
 public:
  // `host` is a duplicate of the host TAP's file; the guest's TAP is made as "eth0", down, in the
  // network namespace of process `guest`.
  static Result<std::unique_ptr<Relay>> Start(UniqueFd host, pid_t guest);
  ~Relay();

 private:
  Relay(UniqueFd host, UniqueFd guest) : host_(std::move(host)), guest_(std::move(guest)) {}
  // What `to` has no room for waits; the sender's own queue is the bound, as behind a VMM.
  static void Carry(const std::stop_token& stop, int from, int to);

  UniqueFd host_;
  UniqueFd guest_;
  std::jthread upload_;
  std::jthread download_;
};

}  // namespace forkplane::bench
