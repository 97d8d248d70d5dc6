// Wires the loops scheduler, virtual_machine, snapshot, snapshot_alias, restore_slot, fork,
// fork_set and orphan.
#pragma once

#include <memory>
#include <vector>

#include "controller/app/network_loops.h"
#include "controller/runtime/event_recorder.h"

namespace forkplane::app {

class MachineLoops {
 public:
  // All outlive the loops.
  MachineLoops(LoopNeeds needs, runtime::EventRecorder& events);
  ~MachineLoops();

  void Attach();  // before the informers start
  void Start();   // after they have synced
  void Stop();
  void Resync();
  std::vector<runtime::Controller*> Controllers();

 private:
  struct Loops;
  std::unique_ptr<Loops> loops_;
};

}  // namespace forkplane::app
