#include "crd/native_rules.h"

#include <nlohmann/json.hpp>

#include "controller/base/net_address.h"
#include "controller/base/network_names.h"
#include "crd/types.h"
#include "crd/well_known.h"

namespace forkplane::crd {
namespace {

// An Ethernet header; a burst below one full frame would never let that frame pass.
constexpr std::int64_t kEthernetHeaderBytes = 14;
constexpr std::int64_t kDefaultMtu = 1500;
// One byte per second, the kernel's unit: less would be 0, which it takes for "none at all".
constexpr std::int64_t kRateMin = 8;
constexpr std::size_t kNameBytesMax = 253;
constexpr std::size_t kLabelValueBytesMax = 63;

class Checker {
 public:
  explicit Checker(std::vector<Cause>& causes) : causes_(causes) {}

  void Refuse(std::string field, std::string_view value, std::string_view why) {
    causes_.push_back(InvalidCause(std::move(field), Quoted(value), why));
  }

  void Path(const std::string& field, const std::string& path) {
    if (path.empty()) return;
    if (path.starts_with('/')) {
      return Refuse(field, path,
                    "must be relative to the roots configured on the host: remove the "
                    "leading slash and the root");
    }
    if (path.find('\0') != std::string::npos) return Refuse(field, path, "must not contain NUL");
    std::size_t start = 0;
    while (start <= path.size()) {
      const auto slash = std::min(path.find('/', start), path.size());
      const std::string part = path.substr(start, slash - start);
      if (part == "..") return Refuse(field, path, "must not contain '..': name the file itself");
      if (part.empty() || part == ".") {
        return Refuse(field, path, "has an empty or '.' part: write it without");
      }
      start = slash + 1;
    }
  }

  void Limits(const std::string& field, const std::optional<Bandwidth>& bandwidth,
              std::int64_t mtu) {
    if (!bandwidth) return;
    if (const auto& download = bandwidth->download) {
      Rate(field + ".download.rate", download->rate, kNoLimit);
      Burst(field + ".download.burst", download->burst, mtu);
    }
    const auto& upload = bandwidth->upload;
    if (!upload) return;
    Rate(field + ".upload.rate", upload->rate, kNoLimit);
    Rate(field + ".upload.ceil", upload->ceil, kNoLimit);
    Burst(field + ".upload.burst", upload->burst, mtu);
    if (upload->ceil && !upload->rate) {
      causes_.push_back(RequiredCause(field + ".upload.rate", "ceil needs a guaranteed rate"));
    } else if (upload->ceil && *upload->ceil < *upload->rate) {
      Refuse(field + ".upload.ceil", upload->ceil->Text(),
             fmt::format("must not be below rate: write {} or more", upload->rate->Text()));
    }
  }

  // `otherwise`: what holds when it is left out.
  void Rate(const std::string& field, const std::optional<Quantity>& rate,
            std::string_view otherwise) {
    if (!rate || rate->Value() >= kRateMin) return;
    Refuse(field, rate->Text(),
           fmt::format("is below one byte per second: write {} (bits per second) or more, or leave "
                       "it out for {}",
                       kRateMin, otherwise));
  }

 private:
  static constexpr std::string_view kNoLimit = "no limit of its own";

  void Burst(const std::string& field, const std::optional<Quantity>& burst, std::int64_t mtu) {
    const std::int64_t frame = mtu + kEthernetHeaderBytes;
    if (!burst || burst->Value() >= frame) return;
    Refuse(field, burst->Text(),
           fmt::format("is below one frame: write {} (bytes) or more", frame));
  }

  std::vector<Cause>& causes_;
};

// Decodes, turning what only the C++ type refuses (a quantity over 64 bits) into a Cause.
template <typename K>
std::optional<K> Decoded(const Json& object, std::vector<Cause>& causes) {
  auto kind = K::FromJson(object);
  if (kind.ok()) return std::move(kind).value();
  const std::string& message = kind.error().message;
  const auto colon = message.find(": ");
  const std::string field = message.substr(0, colon);
  const Json* value = FindPath(object, field);
  causes.push_back(InvalidCause(field, value == nullptr ? "\"\"" : GoText(*value),
                                colon == std::string::npos ? message : message.substr(colon + 2)));
  return std::nullopt;
}

void CheckBootAndDisks(const VirtualMachineSpec& spec, Checker& check) {
  check.Path("spec.boot.kernel", spec.boot.kernel);
  check.Path("spec.boot.initramfs", spec.boot.initramfs);
  int roots = 0;
  for (std::size_t i = 0; i < spec.disks.size(); ++i) {
    const Disk& disk = spec.disks[i];
    check.Path(fmt::format("spec.disks[{}].image", i), disk.image);
    if (disk.root && ++roots == 2) {
      check.Refuse(fmt::format("spec.disks[{}].root", i), disk.name,
                   "another disk is the root already: set root on one disk only");
    }
  }
}

void ValidateVirtualMachine(const Json& object, const Json*, std::vector<Cause>& causes) {
  const auto vm = Decoded<VirtualMachine>(object, causes);
  if (!vm) return;
  Checker check(causes);
  CheckBootAndDisks(vm->spec, check);
  constexpr std::int64_t kMemoryMin = std::int64_t{16} << 20;
  if (vm->spec.memory.Value() < kMemoryMin) {
    check.Refuse("spec.memory", vm->spec.memory.Text(),
                 "is too little for any guest: write 16Mi or more");
  }
  for (std::size_t i = 0; i < vm->spec.interfaces.size(); ++i) {
    const std::string field = fmt::format("spec.interfaces[{}]", i);
    check.Limits(field + ".bandwidth", vm->spec.interfaces[i].bandwidth, kDefaultMtu);
  }
  if (vm->spec.restart_mode == RestartMode::kRefork && !vm->spec.restore_from) {
    check.Refuse("spec.restartMode", "Refork",
                 "needs spec.restoreFrom: use Boot for a machine that was not restored");
  }
  if (vm->spec.identity == Identity::kInherited && !vm->spec.restore_from) {
    check.Refuse("spec.identity", "Inherited",
                 "needs spec.restoreFrom: there is nothing to inherit from");
  }
}

void ValidateSnapshot(const Json& object, const Json*, std::vector<Cause>& causes) {
  const auto snapshot = Decoded<Snapshot>(object, causes);
  if (!snapshot) return;
  const SnapshotSource& source = snapshot->spec.source;
  Checker check(causes);
  if (source.virtual_machine_name.empty() == !source.import.has_value()) {
    causes.push_back(InvalidCause("spec.source", "\"object\"",
                                  "give exactly one of virtualMachineName and import"));
  }
  if (!source.import) return;
  check.Path("spec.source.import.path", source.import->path);
  for (std::size_t i = 0; i < source.import->interfaces.size(); ++i) {
    const auto mac = ParseMac(source.import->interfaces[i].mac);
    if (!mac.ok() || !mac->IsMulticast()) continue;
    check.Refuse(fmt::format("spec.source.import.interfaces[{}].mac", i), ToString(*mac),
                 "is a multicast address: write the guest's own");
  }
}

void CheckForkSpec(const std::string& field, const ForkSpec& spec, Checker& check) {
  const auto& interfaces = spec.vm_template.spec.interfaces;
  for (std::size_t i = 0; i < interfaces.size(); ++i) {
    check.Limits(fmt::format("{}.template.spec.interfaces[{}].bandwidth", field, i),
                 interfaces[i].bandwidth, kDefaultMtu);
  }
}

// Of the metadata that children take over: what they could not have is refused at their owner.
void CheckTemplateMetadata(const Json& object, const std::string& field,
                           std::vector<Cause>& causes) {
  if (const Json* labels = FindPath(object, field + ".labels")) {
    ValidateLabels(field + ".labels", *labels, causes);
  }
  if (const Json* annotations = FindPath(object, field + ".annotations")) {
    ValidateAnnotations(field + ".annotations", *annotations, causes);
  }
}

// A child's name is its owner's and a suffix. Judged at creation only: what is there stays
// editable.
void CheckNameLength(const ObjectMeta& metadata, std::size_t bytes_max, std::string_view why,
                     Checker& check) {
  if (metadata.name.size() <= bytes_max) return;
  check.Refuse("metadata.name", metadata.name,
               fmt::format("must be no more than {} characters: {}", bytes_max, why));
}

void ValidateFork(const Json& object, const Json* old, std::vector<Cause>& causes) {
  const auto fork = Decoded<Fork>(object, causes);
  if (!fork) return;
  Checker check(causes);
  if (old == nullptr && fork->spec.source.kind == ForkSourceKind::kVirtualMachine) {
    CheckNameLength(fork->metadata, kNameBytesMax - kSourceSuffix.size(),
                    fmt::format("the Snapshot of its source is named after it, with \"{}\" behind",
                                kSourceSuffix),
                    check);
  }
  CheckForkSpec("spec", fork->spec, check);
  CheckTemplateMetadata(object, "spec.template.metadata", causes);
}

void ValidateForkSet(const Json& object, const Json* old, std::vector<Cause>& causes) {
  const auto set = Decoded<ForkSet>(object, causes);
  if (!set) return;
  Checker check(causes);
  if (old == nullptr) {
    CheckNameLength(set->metadata, kLabelValueBytesMax, "its Forks carry its name as a label",
                    check);
  }
  CheckForkSpec("spec.template.spec", set->spec.fork_template.spec, check);
  const StringMap& labels = set->spec.fork_template.metadata.labels;
  CheckTemplateMetadata(object, "spec.template.metadata", causes);
  CheckTemplateMetadata(object, "spec.template.spec.template.metadata", causes);
  if (!set->spec.selector) return;
  if (set->spec.selector->Empty()) {
    causes.push_back(InvalidCause("spec.selector", "\"object\"",
                                  "an empty selector would take every Fork: leave it out, or name "
                                  "labels of the template"));
  } else if (!set->spec.selector->Matches(labels)) {
    causes.push_back(InvalidCause("spec.selector", "\"object\"",
                                  "does not match spec.template.metadata.labels: the set would not "
                                  "find its own Forks"));
  }
}

void CheckGateway(const NetworkSpec& spec, const Cidr& cidr, Checker& check) {
  if (spec.gateway.empty()) return;
  const auto gateway = ParseIpv4(spec.gateway);
  if (!gateway.ok()) return check.Refuse("spec.gateway", spec.gateway, gateway.error().message);
  const std::string remedy = fmt::format("leave it out for {}", ToString(DefaultGateway(cidr)));
  if (!cidr.Contains(*gateway)) {
    return check.Refuse("spec.gateway", spec.gateway,
                        fmt::format("is outside {}: {}", ToString(cidr), remedy));
  }
  if (*gateway == cidr.base || *gateway == cidr.broadcast()) {
    return check.Refuse("spec.gateway", spec.gateway,
                        "is the network or broadcast address: " + remedy);
  }
  if (*gateway == InnerAddress(cidr)) {
    check.Refuse("spec.gateway", spec.gateway,
                 "is the second host address, which is the constant inner address of every "
                 "guest: " +
                     remedy);
  }
}

void CheckPorts(const std::string& field, const std::vector<PortRange>& ports, Checker& check) {
  for (std::size_t i = 0; i < ports.size(); ++i) {
    const PortRange& range = ports[i];
    const std::string at = fmt::format("{}[{}]", field, i);
    if (range.protocol == Transport::kIcmp && range.port) {
      check.Refuse(at + ".port", std::to_string(*range.port), "ICMP has no ports: leave it out");
    } else if (range.end_port && !range.port) {
      check.Refuse(at + ".endPort", std::to_string(*range.end_port),
                   "is the end of a range that begins at port: name port too");
    } else if (range.end_port && *range.end_port < *range.port) {
      check.Refuse(at + ".endPort", std::to_string(*range.end_port),
                   fmt::format("must not be below port: write {} or more", *range.port));
    }
  }
}

// Both kinds of peers: `block` gives the one address block of a peer, named `name` there.
template <typename Peer>
void CheckPeers(const std::string& field, std::string_view name, std::string Peer::*block,
                const std::vector<Peer>& peers, Checker& check) {
  for (std::size_t i = 0; i < peers.size(); ++i) {
    const std::string at = fmt::format("{}[{}]", field, i);
    const std::string& text = peers[i].*block;
    if (const auto cidr = ParseCidr(text); !cidr.ok()) {
      check.Refuse(fmt::format("{}.{}", at, name), text, cidr.error().message);
    }
    CheckPorts(at + ".ports", peers[i].ports, check);
  }
}

void CheckAccess(const NetworkSpec& spec, Checker& check) {
  CheckPeers("spec.egress.allow", "cidr", &EgressPeer::cidr, spec.egress.allow, check);
  CheckPeers("spec.ingress.allow", "from", &IngressPeer::from, spec.ingress.allow, check);
}

void ValidateNetwork(const Json& object, const Json*, std::vector<Cause>& causes) {
  const auto network = Decoded<Network>(object, causes);
  if (!network) return;
  const NetworkSpec& spec = network->spec;
  Checker check(causes);
  const auto cidr = ParseCidr(spec.cidr);
  if (!cidr.ok()) {
    check.Refuse("spec.cidr", spec.cidr, cidr.error().message);
  } else {
    if (cidr->prefix < 8 || cidr->prefix > 29) {
      check.Refuse("spec.cidr", spec.cidr, "must be /8 to /29: choose another prefix length");
    } else {
      CheckGateway(spec, *cidr, check);
    }
  }
  CheckAccess(spec, check);
  check.Limits("spec.defaultBandwidth", spec.default_bandwidth, spec.mtu);
  check.Rate("spec.unshapedRate", spec.unshaped_rate, "5M");
}

void ValidateHost(const Json& object, const Json*, std::vector<Cause>& causes) {
  const auto host = Decoded<Host>(object, causes);
  if (!host) return;
  Checker check(causes);
  for (std::size_t i = 0; i < host->spec.uplinks.size(); ++i) {
    const auto& capacity = host->spec.uplinks[i].capacity;
    if (!capacity) continue;
    const std::string field = fmt::format("spec.uplinks[{}].capacity", i);
    check.Rate(field + ".upload", capacity->upload, "the speed of the link");
  }
}

}  // namespace

NativeValidator NativeValidatorOf(std::string_view kind) {
  if (kind == VirtualMachine::kKind) return ValidateVirtualMachine;
  if (kind == Snapshot::kKind) return ValidateSnapshot;
  if (kind == Fork::kKind) return ValidateFork;
  if (kind == ForkSet::kKind) return ValidateForkSet;
  if (kind == Network::kKind) return ValidateNetwork;
  if (kind == Host::kKind) return ValidateHost;
  return {};
}

}  // namespace forkplane::crd
