// The kernel's events on their way to the loops, which a test can hold up: so it sees the damage
// before it is repaired, and learns whether the kernel has told of it.
//
// NOTE Order: a mark is an event made for the purpose on a link that no loop cares for. When it
// arrives, every event of what was done before has arrived too.
#pragma once

#include <memory>
#include <vector>

#include "controller/base/mutex.h"
#include "drivers/link_driver.h"
#include "drivers/link_events.h"

namespace forkplane::healing {

class Gate final : public drivers::LinkEvents {
 public:
  // Makes the mark's link. `receive_buffer_bytes` 0: as large as the daemon's.
  Gate(drivers::LinkDriver& links, int receive_buffer_bytes);

  Status Start(Callback callback) override;
  void Stop() override;

  // From now on events are gathered and not passed on.
  void Hold();
  // What was gathered is passed on, and whatever comes from now on.
  void Release();
  // Waits until everything that was done so far has been told; what is gathered then. Forgets it
  // when asked to.
  std::vector<drivers::LinkEvent> Gathered(bool forget);
  // The reader stands still, and its socket fills.
  void Stall(bool stalled);
  // All that came since Start, passed on or not, without marks.
  std::vector<drivers::LinkEvent> History();

 private:
  void OnEvent(const drivers::LinkEvent& event);

  drivers::LinkDriver& links_;
  std::unique_ptr<drivers::LinkEvents> inner_;
  Callback callback_;
  Mutex mutex_;
  CondVar changed_;
  bool held_ GUARDED_BY(mutex_) = false;
  bool stalled_ GUARDED_BY(mutex_) = false;
  int marks_ GUARDED_BY(mutex_) = 0;
  std::vector<drivers::LinkEvent> gathered_ GUARDED_BY(mutex_);
  std::vector<drivers::LinkEvent> history_ GUARDED_BY(mutex_);
};

}  // namespace forkplane::healing
