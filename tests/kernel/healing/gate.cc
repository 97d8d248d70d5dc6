#include "tests/kernel/healing/gate.h"

#include "controller/base/check.h"
#include "controller/base/network_names.h"
#include "drivers/netlink/events.h"

namespace forkplane::healing {
namespace {

constexpr std::uint32_t kMarkIfb = kIfbMax;
constexpr std::chrono::seconds kPatience{10};

}  // namespace

Gate::Gate(drivers::LinkDriver& links, int receive_buffer_bytes) : links_(links) {
  CHECK(links_.CreateIfb({kMarkIfb, "mark"}).ok());
  inner_ = *netlink::NetlinkLinkEvents::Open(receive_buffer_bytes == 0 ? netlink::kEventBufferBytes
                                                                       : receive_buffer_bytes);
}

Status Gate::Start(Callback callback) {
  callback_ = std::move(callback);
  return inner_->Start([this](const drivers::LinkEvent& event) { OnEvent(event); });
}

void Gate::Stop() { inner_->Stop(); }

void Gate::OnEvent(const drivers::LinkEvent& event) {
  {
    const MutexLock lock(mutex_);
    changed_.Wait(mutex_, {}, [this]() NO_THREAD_SAFETY_ANALYSIS { return !stalled_; });
    if (event.index == IfbIndex(kMarkIfb)) {
      ++marks_;
      changed_.NotifyAll();
      return;
    }
    history_.push_back(event);
    if (held_) {
      gathered_.push_back(event);
      return;
    }
  }
  callback_(event);
}

void Gate::Hold() {
  const MutexLock lock(mutex_);
  held_ = true;
}

void Gate::Release() {
  std::vector<drivers::LinkEvent> gathered;
  {
    const MutexLock lock(mutex_);
    held_ = false;
    gathered.swap(gathered_);
  }
  for (const auto& event : gathered) callback_(event);
}

std::vector<drivers::LinkEvent> Gate::Gathered(bool forget) {
  int before = 0;
  {
    const MutexLock lock(mutex_);
    before = marks_;
  }
  // One event: a change of a link that is down is told of once.
  const auto mark = links_.Observe(IfbIndex(kMarkIfb));
  CHECK(mark.ok() && mark->has_value());
  CHECK(links_.SetMtu(IfbIndex(kMarkIfb), (*mark)->mtu - 1).ok());
  const MutexLock lock(mutex_);
  const bool told = changed_.WaitUntil(mutex_, {}, std::chrono::steady_clock::now() + kPatience,
                                       [&]() NO_THREAD_SAFETY_ANALYSIS { return marks_ > before; });
  CHECK(told);
  auto gathered = gathered_;
  if (forget) gathered_.clear();
  return gathered;
}

void Gate::Stall(bool stalled) {
  const MutexLock lock(mutex_);
  stalled_ = stalled;
  changed_.NotifyAll();
}

std::vector<drivers::LinkEvent> Gate::History() {
  const MutexLock lock(mutex_);
  return history_;
}

}  // namespace forkplane::healing
