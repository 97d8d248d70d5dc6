#include "reconcilers/orphan/plan.h"

#include <algorithm>

#include "controller/runtime/plan_text.h"

namespace forkplane::orphan {

std::string ToString(const Action& action) { return runtime::ActionText(action); }

std::vector<Action> MakePlan(const Observed& observed) {
  if (!observed.synced) return {};
  std::vector<Action> actions;
  std::set<std::string> orphans;
  std::vector<std::string> held;
  for (const Lease& lease : observed.leases) {
    if (lease.releasing || observed.known.contains(lease.uid)) continue;
    orphans.insert(lease.uid);
    held.push_back(lease.name);
    if (!observed.recorded.contains(lease.uid))
      actions.emplace_back(RecordEvent{lease.uid, lease.name});
  }
  for (const std::string& uid : observed.recorded) {
    if (!orphans.contains(uid)) actions.emplace_back(ForgetEvent{uid});
  }
  std::sort(held.begin(), held.end());
  if (held != observed.held) actions.emplace_back(PublishHeld{std::move(held)});
  return actions;
}

}  // namespace forkplane::orphan
