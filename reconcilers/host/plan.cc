#include "reconcilers/host/plan.h"

#include "controller/base/network_names.h"
#include "controller/runtime/plan_text.h"

namespace forkplane::host {
namespace {

constexpr std::uint32_t kLeafMtu = kMtuMax;  // GSO: a class must let the largest frame pass
constexpr std::uint64_t kUnboundedBytesPerSecond = 125'000'000'000;  // 1 Tbit/s
constexpr std::uint32_t kHostQueueBytes = 4 * 1024 * 1024;  // for a link that is busy, not for HTB
constexpr int kMajorShift = 16;

std::string Describe(const drivers::HtbClass& htb) {
  return fmt::format("7f00:{:x} rate={} ceil={}", htb.minor, htb.rate_bytes_per_second,
                     htb.ceil_bytes_per_second);
}

bool HasOurHandle(const drivers::ObservedRoot& root) {
  return root.kind == "htb" && root.handle == kHtbHandle;
}

bool IsOurs(const std::optional<drivers::ObservedRoot>& root) {
  return root && HasOurHandle(*root) && root->default_minor == kDefaultClassMinor;
}

const drivers::ObservedClass* Find(const std::vector<drivers::ObservedClass>& classes,
                                   std::uint32_t minor) {
  for (const auto& is : classes) {
    if (is.htb.minor == minor) return &is;
  }
  return nullptr;
}

class DomainPlanner {
 public:
  DomainPlanner(const Desired& desired, const DomainObserved& observed, std::uint32_t ifb,
                std::vector<Action>& plan)
      : want_(desired), is_(observed), ifb_(ifb), plan_(plan) {}

  void Plan() {
    bool there = is_.link.has_value();
    if (there && is_.link->kind != drivers::LinkKind::kIfb) {
      plan_.emplace_back(DeleteLink{ifb_});
      there = false;
    }
    if (!there) plan_.emplace_back(CreateIfb{ifb_});
    up_ = there && is_.link->up;
    if (there && !IsBounded()) GoDown();  // before anything is mended
    if (there && is_.link->name != IfbName(ifb_)) {
      GoDown();  // older kernels rename only what is down
      plan_.emplace_back(SetName{ifb_});
    }
    if (there && is_.link->alias != want_.alias) plan_.emplace_back(SetAlias{ifb_});
    if (!there || !is_.ipv6_disabled) plan_.emplace_back(DisableIpv6{ifb_});
    const bool kept = there && PlanRoot();
    if (!there) plan_.emplace_back(AddHtb{ifb_});
    PlanClasses(kept);
    if (!up_) plan_.emplace_back(SetUp{ifb_, true});
  }

 private:
  // Uploads wait for a HTB of ours that has its own two classes.
  bool IsBounded() const {
    return IsOurs(is_.qdiscs.root) && Find(is_.qdiscs.classes, kRootClassMinor) != nullptr &&
           Find(is_.qdiscs.classes, kDefaultClassMinor) != nullptr;
  }

  // True when the HTB that stands is ours.
  bool PlanRoot() {
    const auto& root = is_.qdiscs.root;
    if (IsOurs(root)) return true;
    if (root) plan_.emplace_back(DeleteRoot{ifb_});
    plan_.emplace_back(AddHtb{ifb_});
    return false;
  }

  void PlanClasses(bool kept) {
    static const std::vector<drivers::ObservedClass> kNone;
    const auto& classes = kept ? is_.qdiscs.classes : kNone;
    const auto* root = Find(classes, kRootClassMinor);
    const auto* unclaimed = Find(classes, kDefaultClassMinor);
    PlanClass(want_.Root(), root);
    PlanClass(want_.Default(), unclaimed);
    const drivers::Leaf leaf = want_.DefaultLeaf();
    if (unclaimed == nullptr || unclaimed->leaf != leaf) {
      plan_.emplace_back(SetLeaf{ifb_, kDefaultClassMinor, leaf});
    }
  }

  void PlanClass(const drivers::HtbClass& want, const drivers::ObservedClass* is) {
    if (is == nullptr) {
      plan_.emplace_back(AddClass{ifb_, want});
    } else if (!drivers::Equivalent(want, is->htb)) {
      plan_.emplace_back(ChangeClass{ifb_, want});
    }
  }

  void GoDown() {
    if (!up_) return;
    plan_.emplace_back(SetUp{ifb_, false});
    up_ = false;
  }

  const Desired& want_;
  const DomainObserved& is_;
  const std::uint32_t ifb_;
  std::vector<Action>& plan_;
  bool up_ = false;
};

// What QdiscDriver::ShapeOn puts in the place of IFB 0.
class UplinkPlanner {
 public:
  UplinkPlanner(const Desired& desired, const UplinkObserved& observed, std::vector<Action>& plan)
      : want_(desired), is_(observed), plan_(plan) {}

  void Plan() {
    const auto& root = is_.qdiscs.root;
    if (!IsOurs(root)) {
      if (root && !HasOurHandle(*root)) return;  // Blocker
      if (root) plan_.emplace_back(DeleteRoot{kIfb});
      plan_.emplace_back(AddHtb{kIfb});
    }
    PlanClass(want_.Root(), std::nullopt);
    PlanClass(want_.Host(), want_.HostLeaf());
    if (!IsOurs(root) || is_.classifier != drivers::ProgramState::kOurs) {
      plan_.emplace_back(AttachClassifier{});
    }
    PlanClass(want_.Default(), want_.DefaultLeaf());
  }

 private:
  static constexpr std::uint32_t kIfb = 0;

  void PlanClass(const drivers::HtbClass& want, const std::optional<drivers::Leaf>& leaf) {
    const auto* is = IsOurs(is_.qdiscs.root) ? Find(is_.qdiscs.classes, want.minor) : nullptr;
    if (is == nullptr) {
      plan_.emplace_back(AddClass{kIfb, want});
    } else if (!drivers::Equivalent(want, is->htb)) {
      plan_.emplace_back(ChangeClass{kIfb, want});
    }
    if (leaf && (is == nullptr || is->leaf != *leaf)) {
      plan_.emplace_back(SetLeaf{kIfb, want.minor, *leaf});
    }
  }

  const Desired& want_;
  const UplinkObserved& is_;
  std::vector<Action>& plan_;
};

}  // namespace

drivers::HtbClass Desired::Root() const {
  const std::uint32_t burst = drivers::DefaultBurst(capacity_bytes_per_second, kLeafMtu);
  return {kRootClassMinor, 0,     capacity_bytes_per_second, capacity_bytes_per_second,
          burst,           burst, drivers::kQuantumBytes};
}

// A root of its own beside fffe: a parent cannot be changed later, and it must hold what it
// promises also while the root class is being repaired.
drivers::HtbClass Desired::Default() const {
  const std::uint32_t burst = drivers::DefaultBurst(default_bytes_per_second, kLeafMtu);
  return {kDefaultClassMinor,       0,     default_bytes_per_second,
          default_bytes_per_second, burst, burst,
          drivers::kQuantumBytes};
}

drivers::Leaf Desired::DefaultLeaf() const {
  return {leaf, drivers::DefaultQueueBytes(default_bytes_per_second)};
}

// As fast as any link: it is there to tell the host's traffic from the guests', not to bound it.
drivers::HtbClass Desired::Host() const {
  const std::uint32_t burst = drivers::DefaultBurst(kUnboundedBytesPerSecond, kLeafMtu);
  return {kHostClassMinor, 0,     kUnboundedBytesPerSecond, kUnboundedBytesPerSecond,
          burst,           burst, drivers::kQuantumBytes};
}

drivers::Leaf Desired::HostLeaf() const { return {leaf, kHostQueueBytes}; }

std::string Blocker(const Desired& desired, const Observed& observed) {
  if (desired.uplink == 0 || !observed.uplink) return {};
  const auto& root = observed.uplink->qdiscs.root;
  if (!root || HasOurHandle(*root)) return {};
  return fmt::format("the uplink has a root qdisc that somebody made ({} {:x}:)", root->kind,
                     root->handle >> kMajorShift);
}

std::string_view PartOf(const Action& action) {
  struct {
    std::string_view operator()(const CreateIfb&) { return "ifb"; }
    std::string_view operator()(const DeleteLink&) { return "ifb"; }
    std::string_view operator()(const SetName&) { return "ifb"; }
    std::string_view operator()(const SetAlias&) { return "ifb"; }
    std::string_view operator()(const DisableIpv6&) { return "ifb"; }
    std::string_view operator()(const SetUp&) { return "ifb"; }
    std::string_view operator()(const DeleteRoot&) { return "htb"; }
    std::string_view operator()(const AddHtb&) { return "htb"; }
    std::string_view operator()(const AddClass&) { return "class"; }
    std::string_view operator()(const ChangeClass&) { return "class"; }
    std::string_view operator()(const SetLeaf&) { return "class"; }
    std::string_view operator()(const AttachClassifier&) { return "filter"; }
    std::string_view operator()(const PinPrograms&) { return "pins"; }
    std::string_view operator()(const LeaveLink&) { return ""; }
  } part;
  return std::visit(part, action);
}

std::string CreateIfb::Text() const { return "CreateIfb " + IfbName(ifb); }
std::string DeleteLink::Text() const { return "DeleteLink " + IfbName(ifb); }
std::string SetName::Text() const { return "SetName " + IfbName(ifb); }
std::string SetAlias::Text() const { return "SetAlias " + IfbName(ifb); }
std::string DisableIpv6::Text() const { return "DisableIpv6 " + IfbName(ifb); }
std::string SetUp::Text() const { return (up ? "SetUp " : "SetDown ") + IfbName(ifb); }
std::string DeleteRoot::Text() const { return "DeleteRoot " + IfbName(ifb); }
std::string AddHtb::Text() const { return "AddHtb " + IfbName(ifb); }
std::string AddClass::Text() const {
  return fmt::format("AddClass {} {}", IfbName(ifb), Describe(htb));
}
std::string ChangeClass::Text() const {
  return fmt::format("ChangeClass {} {}", IfbName(ifb), Describe(htb));
}
std::string SetLeaf::Text() const {
  return fmt::format("SetLeaf {} 7f00:{:x} limit={}", IfbName(ifb), minor, leaf.limit_bytes);
}
std::string LeaveLink::Text() const { return fmt::format("LeaveLink {}", index); }

std::string ToString(const Action& action) { return runtime::ActionText(action); }

std::vector<Action> MakePlan(const Desired& desired, const Observed& observed) {
  std::vector<Action> plan;
  for (const std::uint32_t ifb : desired.domains) {
    static const DomainObserved kNothing;
    const auto domain = observed.domains.find(ifb);
    DomainPlanner(desired, domain == observed.domains.end() ? kNothing : domain->second, ifb, plan)
        .Plan();
  }
  if (desired.uplink != 0 && observed.uplink) {
    UplinkPlanner(desired, *observed.uplink, plan).Plan();
  }
  for (const std::uint32_t index : observed.left) plan.emplace_back(LeaveLink{index});
  for (const auto& [ifb, domain] : observed.domains) {
    if (domain.link && !desired.domains.contains(ifb)) plan.emplace_back(DeleteLink{ifb});
  }
  if (!observed.pinned) plan.emplace_back(PinPrograms{});
  return plan;
}

}  // namespace forkplane::host
