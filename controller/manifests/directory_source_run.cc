// When the directory source makes a pass.
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "controller/base/log.h"
#include "controller/manifests/directory_source.h"

namespace forkplane::manifests {
namespace {

constexpr std::chrono::milliseconds kBackoffFirst{1'000};
// A change rarely comes alone: wait until it has been quiet for a while, but not for ever.
constexpr std::chrono::milliseconds kQuiet{100};
constexpr std::chrono::milliseconds kChangesMax{1'000};

void Ring(int eventfd) {
  const std::uint64_t one = 1;
  (void)!::write(eventfd, &one, sizeof(one));
}

}  // namespace

void DirectorySource::Wake() { Ring(wake_.get()); }

// One second, two, four ... while something is expected soon; when the tree has settled, if
// something waits for that; else the resync period, spread by a tenth so that many hosts do not act
// together.
std::chrono::milliseconds DirectorySource::NextWait(const SyncReport& report) {
  const auto tenth = static_cast<std::uint64_t>(options_.resync.count() / 10);
  std::chrono::milliseconds wait = options_.resync - std::chrono::milliseconds(tenth) +
                                   std::chrono::milliseconds(rng_.Below(2 * tenth + 1));
  if (report.settles_in && !report.kept.empty()) wait = std::min(wait, *report.settles_in);
  if (!report.retry_soon) {
    backoff_ = {};
    return wait;
  }
  backoff_ = std::min(std::max(2 * backoff_, kBackoffFirst), options_.resync);
  return std::min(wait, backoff_);
}

void DirectorySource::Run(const std::stop_token& stop) {
  const UniqueFd stop_fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  CHECK(stop_fd.valid());
  const std::stop_callback on_stop(stop, [&stop_fd] { Ring(stop_fd.get()); });
  log::Info("manifests directory is followed", {{"path", options_.path}});
  while (!stop.stop_requested()) {
    const SyncReport report = Sync();
    if (WaitForChange(stop_fd.get(), NextWait(report))) return;
  }
}

bool DirectorySource::WaitForChange(int stop_fd, std::chrono::milliseconds patience) {
  MonotonicTime deadline = clock_.Now() + patience;
  std::optional<MonotonicTime> last_moment;  // set by the first change
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - clock_.Now());
    std::array<pollfd, 3> fds{pollfd{stop_fd, POLLIN, 0},
                              pollfd{watch_ ? watch_->fd() : -1, POLLIN, 0},
                              pollfd{wake_.get(), POLLIN, 0}};
    const int ready =
        ::poll(fds.data(), fds.size(), static_cast<int>(std::max<long>(left.count(), 0)));
    if (fds[0].revents != 0) return true;
    if (ready == 0) return false;
    if (fds[2].revents != 0) {
      std::uint64_t count = 0;
      (void)!::read(wake_.get(), &count, sizeof(count));
      return false;
    }
    if (fds[1].revents == 0 || !watch_->Drain()) continue;
    backoff_ = {};  // what failed before may work with what has changed
    const MonotonicTime now = clock_.Now();
    if (!last_moment) last_moment = now + kChangesMax;
    deadline = std::min(now + kQuiet, *last_moment);
  }
}

}  // namespace forkplane::manifests
