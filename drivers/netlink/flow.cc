#include "drivers/netlink/flow.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <functional>
#include <set>
#include <utility>
#include <vector>

#include "controller/base/unique_fd.h"
#include "drivers/netlink/flow_message.h"

namespace forkplane::netlink {
namespace {

// An attribute or a whole part of nfnetlink that this kernel does not have.
bool IsRefusal(const Error& error) {
  return error.sys_errno == EINVAL || error.sys_errno == EOPNOTSUPP;
}

// The entries that have one of some addresses.
class Finder {
 public:
  Finder(SharedSocket& socket, std::set<Ipv4> addresses)
      : socket_(socket), addresses_(std::move(addresses)) {}

  Status FindInAll() {
    return List([] { return ListFlows(); }, [](const TrackedFlow&) {});
  }

  Status FindByFilter() {
    for (const Ipv4 address : addresses_) {
      for (std::size_t place = 0; place < kFlowPlaces; ++place) {
        bool unfiltered = false;
        const Status listed = List([&] { return ListFlows(place, address); },
                                   [&](const TrackedFlow& flow) {
                                     if (flow.addresses.at(place) != address) unfiltered = true;
                                   });
        if (!listed.ok() && IsRefusal(listed.error())) return FindInAll();
        RETURN_IF_ERROR(listed);
        if (unfiltered) return OkStatus();  // that were all there are
      }
    }
    return OkStatus();
  }

  // One that was found at two places stands here twice.
  const std::vector<TrackedFlow>& flows() const { return flows_; }

 private:
  Status List(const std::function<Message()>& make,
              const std::function<void(const TrackedFlow&)>& see) {
    std::vector<TrackedFlow> found;
    const auto read = [&](const nlmsghdr* message) {
      std::optional<TrackedFlow> flow = ReadFlow(message);
      if (!flow) return;
      see(*flow);
      const bool wanted = std::any_of(flow->addresses.begin(), flow->addresses.end(),
                                      [&](Ipv4 a) { return addresses_.contains(a); });
      if (wanted) found.push_back(std::move(*flow));
    };
    RETURN_IF_ERROR(socket_.Dump(
        make, "list flows", [&] { found.clear(); }, read));
    flows_.insert(flows_.end(), std::make_move_iterator(found.begin()),
                  std::make_move_iterator(found.end()));
    return OkStatus();
  }

  SharedSocket& socket_;
  const std::set<Ipv4> addresses_;
  std::vector<TrackedFlow> flows_;
};

}  // namespace

NetlinkFlowDriver::NetlinkFlowDriver(std::optional<Socket> socket, std::uint32_t entries_per_walk)
    : entries_per_walk_(entries_per_walk) {
  if (socket) socket_ = std::make_unique<SharedSocket>(std::move(*socket));
}

Result<std::unique_ptr<NetlinkFlowDriver>> NetlinkFlowDriver::Open(std::uint32_t entries_per_walk) {
  std::optional<Socket> socket;
  const UniqueFd trial(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER));
  if (trial.valid() || errno != EPROTONOSUPPORT) {
    ASSIGN_OR_RETURN(socket, Socket::Open(NETLINK_NETFILTER));
  }
  return std::unique_ptr<NetlinkFlowDriver>(
      new NetlinkFlowDriver(std::move(socket), entries_per_walk));
}

Lookup<std::uint32_t> NetlinkFlowDriver::CountEntries() {
  std::optional<std::uint32_t> count;
  if (socket_ == nullptr) return count;
  Message message = CountFlows();
  const Status asked = socket_->Get(message, "count flows", [&](const nlmsghdr* answer) {
    if (const auto read = ReadFlowCount(answer)) count = read;
  });
  if (!asked.ok() && !IsRefusal(asked.error())) return asked.error();
  return count;
}

// Joins those who wait, and makes the pass for all of them when nobody is at it.
Result<std::size_t> NetlinkFlowDriver::FlushAddress(Ipv4 address) {
  std::shared_ptr<Batch> batch;
  {
    const MutexLock lock(mutex_);
    if (waiting_ == nullptr) waiting_ = std::make_shared<Batch>();
    batch = waiting_;
    batch->removed.emplace(address, 0);
    changed_.Wait(mutex_, {}, [&]() NO_THREAD_SAFETY_ANALYSIS { return batch->done || !busy_; });
    if (!batch->done) {
      busy_ = true;
      waiting_ = nullptr;
    }
  }
  if (!batch->done) {
    Status outcome = Flush(batch->removed);
    const MutexLock lock(mutex_);
    batch->outcome = std::move(outcome);
    batch->done = true;
    busy_ = false;
    changed_.NotifyAll();
  }
  if (!batch->outcome.ok()) return batch->outcome.error();
  return batch->removed.at(address);
}

Status NetlinkFlowDriver::Flush(Counts& removed) {
  ASSIGN_OR_RETURN(const auto entries, CountEntries());
  if (entries.value_or(0) == 0) return OkStatus();
  std::set<Ipv4> addresses;
  for (const auto& [address, count] : removed) addresses.insert(address);
  // One walk that reads all of them costs less than the walks it saves.
  const std::size_t walks = addresses.size() * kFlowPlaces;
  const bool few = *entries <= entries_per_walk_ * (walks - 1);
  Finder finder(*socket_, std::move(addresses));
  RETURN_IF_ERROR(few ? finder.FindInAll() : finder.FindByFilter());
  for (const TrackedFlow& flow : finder.flows()) {
    Message message = RemoveFlow(flow);
    Status status = socket_->Request(message, "remove a flow");
    if (!status.ok() && status.error().code != Code::kNotFound) return status;
    if (!status.ok()) continue;  // it ended, or was found twice
    for (const Ipv4 address : std::set<Ipv4>(flow.addresses.begin(), flow.addresses.end())) {
      if (const auto count = removed.find(address); count != removed.end()) ++count->second;
    }
  }
  return OkStatus();
}

Result<std::size_t> NetlinkFlowDriver::FlushIf(
    const std::function<bool(const drivers::Flow&)>& ends) {
  ASSIGN_OR_RETURN(const auto entries, CountEntries());
  if (entries.value_or(0) == 0) return std::size_t{0};
  std::vector<TrackedFlow> found;
  const auto read = [&](const nlmsghdr* message) {
    std::optional<TrackedFlow> flow = ReadFlow(message);
    if (!flow) return;
    const auto& at = flow->addresses;
    if (ends({at[0], at[1], at[2], at[3], flow->protocol, flow->port})) {
      found.push_back(std::move(*flow));
    }
  };
  RETURN_IF_ERROR(
      socket_->Dump([] { return ListFlows(); }, "list flows", [&] { found.clear(); }, read));
  std::size_t removed = 0;
  for (const TrackedFlow& flow : found) {
    Message message = RemoveFlow(flow);
    const Status status = socket_->Request(message, "remove a flow");
    if (!status.ok() && status.error().code != Code::kNotFound) return status.error();
    if (status.ok()) ++removed;  // others ended meanwhile
  }
  return removed;
}

}  // namespace forkplane::netlink
