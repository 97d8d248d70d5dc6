#include "drivers/bpf/identity.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>

#include "controller/base/network_names.h"
#include "drivers/bpf/filter.h"
#include "drivers/bpf/identity_map.h"
#include "drivers/netlink/link.h"

namespace forkplane::bpf {
namespace {

using drivers::AttachedPrograms;
using drivers::Direction;
using drivers::IdentityCounters;
using drivers::IdentityEntry;
using drivers::IdentityEntryAt;
using drivers::ProgramState;
using drivers::RedirectMode;

static_assert(FK_DROP_REASONS == drivers::kDropReasons);
static_assert(FK_DROP_QUOTED == static_cast<int>(drivers::DropReason::kQuoted));
static_assert(FK_DROP_DHCP == static_cast<int>(drivers::DropReason::kDhcp));
static_assert(FK_DROP_FRAGMENTS == static_cast<int>(drivers::DropReason::kFragments));
static_assert(FK_DROP_DESTINATION == static_cast<int>(drivers::DropReason::kDestination));
static_assert(kGatewayMac.bytes == std::array<std::uint8_t, 6>{
                                       FK_GATEWAY_MAC_HIGH >> 8, FK_GATEWAY_MAC_HIGH & 0xff,
                                       FK_GATEWAY_MAC_LOW >> 24, FK_GATEWAY_MAC_LOW >> 16 & 0xff,
                                       FK_GATEWAY_MAC_LOW >> 8 & 0xff, FK_GATEWAY_MAC_LOW & 0xff});
static_assert(FK_DNS_MAX == drivers::kDnsMax);

fk_identity ToMap(const IdentityEntry& entry) {
  fk_identity value = {};
  std::memcpy(value.inner_mac, entry.inner_mac.bytes.data(), sizeof value.inner_mac);
  std::memcpy(value.outer_mac, entry.outer_mac.bytes.data(), sizeof value.outer_mac);
  value.inner_address = htonl(entry.inner_address.value);
  value.outer_address = htonl(entry.outer_address.value);
  value.gateway = htonl(entry.gateway.value);
  value.netmask = htonl((Ipv4Prefix{{}, entry.prefix_length}.Mask()));
  for (std::size_t i = 0; i < entry.dns.size(); ++i) value.dns[i] = htonl(entry.dns.at(i).value);
  value.mtu = entry.mtu;
  return value;
}

IdentityEntry FromMap(const fk_identity& value) {
  IdentityEntry entry;
  std::memcpy(entry.inner_mac.bytes.data(), value.inner_mac, sizeof value.inner_mac);
  std::memcpy(entry.outer_mac.bytes.data(), value.outer_mac, sizeof value.outer_mac);
  entry.inner_address = Ipv4{ntohl(value.inner_address)};
  entry.outer_address = Ipv4{ntohl(value.outer_address)};
  entry.gateway = Ipv4{ntohl(value.gateway)};
  entry.prefix_length = static_cast<std::uint8_t>(std::popcount(value.netmask));
  for (std::size_t i = 0; i < entry.dns.size(); ++i) entry.dns.at(i) = Ipv4{ntohl(value.dns[i])};
  entry.mtu = value.mtu;
  return entry;
}

std::string What(std::string_view verb, std::uint32_t index) {
  return fmt::format("{} identity of link {:#x}", verb, index);
}

Status CheckTap(std::string_view verb, std::uint32_t index) {
  if (IsTapIndex(index)) return OkStatus();
  return Invalid(fmt::format("{}: not a TAP of ours", What(verb, index)));
}

FilterSpec SpecOf(std::uint32_t index, Direction direction) {
  return {index, ParentOf(direction), kProgramPreference, 0};
}

FilterSpec MirredSpecOf(std::uint32_t index) {
  const std::uint32_t ifb = IfbOf(NumberOfTap(index));
  return {index, ParentOf(Direction::kIngress), kMirredPreference, IfbIndex(ifb)};
}

FilterSpec ClassifierSpecOf(std::uint32_t index) {
  return {index, kHtbHandle, kProgramPreference, 0};
}

const Filter* Find(const std::vector<Filter>& filters, std::uint16_t preference) {
  const auto found = std::find_if(filters.begin(), filters.end(), [&](const Filter& filter) {
    return filter.preference == preference;
  });
  return found == filters.end() ? nullptr : &*found;
}

// More than one of our preference: the newest is asked first, and that is not ours.
bool IsAlone(const std::vector<Filter>& filters, std::uint16_t preference) {
  return std::count_if(filters.begin(), filters.end(),
                       [&](const Filter& filter) { return filter.preference == preference; }) == 1;
}

// A program of ours, loaded by this daemon or one before it, whatever its version and mode: they
// all translate. Told by its name, which only root can give.
bool IsOfOurKind(std::uint32_t program_id, Direction direction) {
  const std::string name = ProgramName(program_id);
  return direction == Direction::kEgress ? name == "to_guest" : name.starts_with("from_guest");
}

ProgramState StateOf(const std::vector<Filter>& filters, const Program& program,
                     Direction direction) {
  const Filter* filter = Find(filters, kProgramPreference);
  if (filter == nullptr) return ProgramState::kNone;
  const bool asked = filter->direct_action && filter->handle == kFilterHandle &&
                     IsAlone(filters, kProgramPreference);
  if (!asked) return ProgramState::kForeign;
  if (filter->program_id == program.id) return ProgramState::kOurs;
  return IsOfOurKind(filter->program_id, direction) ? ProgramState::kStale : ProgramState::kForeign;
}

}  // namespace

Result<std::unique_ptr<BpfIdentityDriver>> BpfIdentityDriver::Open(const IdentityOptions& options) {
  RedirectMode mode = options.mode.value_or(RedirectMode::kMirred);
  if (!options.mode) {
    ASSIGN_OR_RETURN(mode, drivers::ChooseRedirect("auto", ProbeRedirect));
  }
  ASSIGN_OR_RETURN(Programs programs, LoadPrograms(options.pin_directory));
  ASSIGN_OR_RETURN(netlink::Socket socket, netlink::Socket::Open());
  ASSIGN_OR_RETURN(auto quiet, netlink::QuietSocket::OpenFor(options.own));
  return std::unique_ptr<BpfIdentityDriver>(new BpfIdentityDriver(
      std::move(programs), std::move(socket), std::move(quiet), mode, options.pin_directory));
}

const Program& BpfIdentityDriver::ProgramFor(Direction direction) const {
  if (direction == Direction::kEgress) return programs_.to_guest;
  switch (mode_) {
    case RedirectMode::kBpf:
      return programs_.from_guest;
    case RedirectMode::kMirred:
      return programs_.from_guest_mirred;
    case RedirectMode::kMark:
      break;
  }
  return programs_.from_guest_mark;
}

Lookup<IdentityEntry> BpfIdentityDriver::ObserveEntry(std::uint32_t index) {
  fk_identity value = {};
  if (bpf_map_lookup_elem(programs_.identities.get(), &index, &value) == 0) {
    return std::optional<IdentityEntry>(FromMap(value));
  }
  if (errno == ENOENT) return std::optional<IdentityEntry>();
  return FromErrno(errno, What("get", index));
}

// A key that is deleted while we walk makes the kernel start again at the first: entries may come
// twice, so the walk is bounded and duplicates are removed.
Result<std::vector<IdentityEntryAt>> BpfIdentityDriver::ListEntries() {
  std::vector<IdentityEntryAt> entries;
  std::uint32_t key = 0;
  const void* previous = nullptr;
  for (int i = 0; i < 2 * FK_IDENTITIES_MAX; ++i) {
    if (bpf_map_get_next_key(programs_.identities.get(), previous, &key) != 0) {
      if (errno != ENOENT) return FromErrno(errno, "list identities");
      break;
    }
    ASSIGN_OR_RETURN(const auto entry, ObserveEntry(key));
    if (entry) entries.push_back({key, *entry});
    previous = &key;
  }
  const auto less = [](const auto& a, const auto& b) { return a.index < b.index; };
  const auto same = [](const auto& a, const auto& b) { return a.index == b.index; };
  std::sort(entries.begin(), entries.end(), less);
  entries.erase(std::unique(entries.begin(), entries.end(), same), entries.end());
  return entries;
}

Status BpfIdentityDriver::SetEntry(std::uint32_t index, const IdentityEntry& entry) {
  RETURN_IF_ERROR(CheckTap("set", index));
  const int cpus = libbpf_num_possible_cpus();
  if (cpus < 0) return FromErrno(-cpus, "number of CPUs");
  const std::vector<fk_counters> zero(static_cast<std::size_t>(cpus));
  // Counters first: a packet is never translated uncounted.
  if (bpf_map_update_elem(programs_.counters.get(), &index, zero.data(), BPF_NOEXIST) != 0 &&
      errno != EEXIST) {
    return netlink::KernelError(errno == E2BIG ? ENOSPC : errno, What("count", index));
  }
  const fk_identity value = ToMap(entry);
  if (bpf_map_update_elem(programs_.identities.get(), &index, &value, BPF_ANY) != 0) {
    return netlink::KernelError(errno == E2BIG ? ENOSPC : errno, What("set", index));
  }
  return OkStatus();
}

Status BpfIdentityDriver::DeleteEntry(std::uint32_t index) {
  RETURN_IF_ERROR(CheckTap("delete", index));
  const bool gone = bpf_map_delete_elem(programs_.identities.get(), &index) != 0;
  const int error = gone ? errno : 0;
  // Absent is what we want.
  bpf_map_delete_elem(programs_.counters.get(), &index);
  bpf_map_delete_elem(programs_.fragments.get(), &index);
  if (gone) return FromErrno(error, What("delete", index));
  return OkStatus();
}

Result<IdentityCounters> BpfIdentityDriver::Counters(std::uint32_t index) {
  const int cpus = libbpf_num_possible_cpus();
  if (cpus < 0) return FromErrno(-cpus, "number of CPUs");
  std::vector<fk_counters> values(static_cast<std::size_t>(cpus));
  if (bpf_map_lookup_elem(programs_.counters.get(), &index, values.data()) != 0) {
    return FromErrno(errno, What("count", index));
  }
  IdentityCounters sum;
  for (const fk_counters& value : values) {
    sum.from_guest_packets += value.from_guest_packets;
    sum.from_guest_bytes += value.from_guest_bytes;
    sum.to_guest_packets += value.to_guest_packets;
    sum.to_guest_bytes += value.to_guest_bytes;
    sum.dhcp_answers += value.dhcp_answers;
    for (std::size_t i = 0; i < sum.drops.size(); ++i) sum.drops[i] += value.drops[i];
  }
  return sum;
}

Result<AttachedPrograms> BpfIdentityDriver::ObservePrograms(std::uint32_t index) {
  AttachedPrograms attached;
  ASSIGN_OR_RETURN(const auto egress, ListFilters(socket_, index, ParentOf(Direction::kEgress)));
  attached.egress = StateOf(egress, ProgramFor(Direction::kEgress), Direction::kEgress);
  ASSIGN_OR_RETURN(const auto ingress, ListFilters(socket_, index, ParentOf(Direction::kIngress)));
  attached.ingress = StateOf(ingress, ProgramFor(Direction::kIngress), Direction::kIngress);
  if (egress.empty() && ingress.empty()) {
    // A filter dump of a missing link is empty, not an error.
    ASSIGN_OR_RETURN(const auto link, netlink::ObserveLink(socket_, index));
    if (!link) return NotFound(fmt::format("observe programs: no link {:#x}", index));
  }
  if (attached.ingress == ProgramState::kOurs) attached.ingress = RedirectStateOf(ingress, index);
  return attached;
}

// Of the filter behind the program. One whose IFB has gone drops what comes, so it is only stale.
ProgramState BpfIdentityDriver::RedirectStateOf(const std::vector<Filter>& ingress,
                                                std::uint32_t index) const {
  const Filter* mirred = Find(ingress, kMirredPreference);
  if (mode_ != RedirectMode::kMirred) {
    return mirred == nullptr ? ProgramState::kOurs : ProgramState::kStale;
  }
  const bool ours = mirred != nullptr && IsAlone(ingress, kMirredPreference) &&
                    mirred->program_id == programs_.match_all.id;
  if (!ours) return ProgramState::kForeign;  // passes unshaped
  if (mirred->mirred_index == MirredSpecOf(index).mirred_index) return ProgramState::kOurs;
  return mirred->mirred_index == 0 ? ProgramState::kStale : ProgramState::kForeign;
}

Status BpfIdentityDriver::Attach(std::uint32_t index, Direction direction) {
  RETURN_IF_ERROR(CheckTap("attach", index));
  const FilterSpec spec = SpecOf(index, direction);
  const bool mirred = direction == Direction::kIngress && mode_ == RedirectMode::kMirred;
  if (mirred) {
    // The redirect first: behind a program that only translates, packets would pass unshaped.
    RETURN_IF_ERROR(PutOnlyFilter(SocketOfTap(), MirredSpecOf(index), programs_.match_all));
  }
  ASSIGN_OR_RETURN(const bool stood, PutOnlyFilter(SocketOfTap(), spec, ProgramFor(direction)));
  // A program of the other mode had a filter behind it.
  if (!stood || mirred || direction == Direction::kEgress) return OkStatus();
  ASSIGN_OR_RETURN(const auto filters, ListFilters(socket_, index, ParentOf(direction)));
  if (Find(filters, kMirredPreference) == nullptr) return OkStatus();
  return DeleteFilters(SocketOfTap(), MirredSpecOf(index));  // of the other mode
}

Status BpfIdentityDriver::Detach(std::uint32_t index, Direction direction) {
  RETURN_IF_ERROR(CheckTap("detach", index));
  // The program last: without the filter behind it a packet is passed on translated, without the
  // program it would be passed on as the guest sent it.
  if (direction == Direction::kIngress) {
    ASSIGN_OR_RETURN(const auto filters, ListFilters(socket_, index, ParentOf(direction)));
    if (Find(filters, kMirredPreference) != nullptr) {
      RETURN_IF_ERROR(DeleteFilters(SocketOfTap(), MirredSpecOf(index)));
    }
  }
  return DeleteFilters(SocketOfTap(), SpecOf(index, direction));
}

Result<bool> BpfIdentityDriver::ArePinned() { return bpf::ArePinned(programs_, pin_directory_); }

Status BpfIdentityDriver::Pin() { return PinPrograms(programs_, pin_directory_); }

// A HTB of ours has no other filters: whoever adds one decides about our packets.
Result<ProgramState> BpfIdentityDriver::ObserveClassifier(std::uint32_t index) {
  ASSIGN_OR_RETURN(const auto filters, ListFilters(socket_, index, kHtbHandle));
  if (filters.empty()) return ProgramState::kNone;
  const bool alone = filters.size() == 1 && filters.front().class_id == kHtbHandle;
  if (!alone) return ProgramState::kForeign;
  const bool ours = filters.front().preference == kProgramPreference &&
                    filters.front().handle == kFilterHandle && filters.front().direct_action &&
                    filters.front().program_id == programs_.class_of_mark.id;
  return ours ? ProgramState::kOurs : ProgramState::kStale;
}

Status BpfIdentityDriver::AttachClassifier(std::uint32_t index) {
  ASSIGN_OR_RETURN(const auto filters, ListFilters(socket_, index, kHtbHandle));
  for (const Filter& filter : filters) {
    if (filter.preference == kProgramPreference) continue;
    FilterSpec other = ClassifierSpecOf(index);
    other.preference = filter.preference;
    RETURN_IF_ERROR(DeleteFilters(socket_, other));
  }
  RETURN_IF_ERROR(PutOnlyFilter(socket_, ClassifierSpecOf(index), programs_.class_of_mark));
  return OkStatus();
}

}  // namespace forkplane::bpf
