#include "reconcilers/shaping/plan.h"

#include <functional>

#include "controller/base/network_names.h"
#include "controller/runtime/plan_text.h"

namespace forkplane::shaping {
namespace {

using drivers::Equivalent;

constexpr int kDepthMax = 8;  // of HTB

// The kernel keeps the parent a class was born with.
bool MustBeBornAgain(const drivers::HtbClass& want, const drivers::HtbClass& is) {
  return want.parent_minor != is.parent_minor;
}

std::string Describe(const drivers::HtbClass& htb) {
  return fmt::format("7f00:{:x} rate={} ceil={} burst={} cburst={}", htb.minor,
                     htb.rate_bytes_per_second, htb.ceil_bytes_per_second, htb.burst_bytes,
                     htb.ceil_burst_bytes);
}

const char* NameOf(drivers::LeafKind kind) {
  return kind == drivers::LeafKind::kBfifo ? "bfifo" : "fq_codel";
}

// How far below the root a class hangs. Whoever adds classes by hand may hang them below others,
// and one with children cannot be deleted.
int DepthOf(const Observed& observed, std::uint32_t minor) {
  int depth = 0;
  for (auto is = observed.classes.find(minor); is != observed.classes.end() && depth < kDepthMax;
       is = observed.classes.find(is->second.htb.parent_minor)) {
    ++depth;
  }
  return depth;
}

void PlanDeletes(const std::map<std::uint32_t, const DesiredShape*>& shapes,
                 const Observed& observed, std::vector<Action>& plan) {
  std::multimap<int, std::uint32_t, std::greater<>> deepest_first;
  for (const auto& [minor, is] : observed.classes) {
    const auto shape = shapes.find(minor);
    const bool wanted = shape != shapes.end() && shape->second->intent != Intent::kRelease;
    const bool reborn = wanted && shape->second->intent == Intent::kShape &&
                        MustBeBornAgain(shape->second->rates.htb, is.htb);
    if (!wanted || reborn) deepest_first.emplace(DepthOf(observed, minor), minor);
  }
  for (const auto& [depth, minor] : deepest_first) plan.emplace_back(DeleteClass{minor});
}

void PlanClass(const Rates& want, const Observed& observed, std::vector<Action>& plan) {
  const auto it = observed.classes.find(want.htb.minor);
  const bool there = it != observed.classes.end() && !MustBeBornAgain(want.htb, it->second.htb);
  if (!there) {
    plan.emplace_back(AddClass{want.htb});
  } else if (!Equivalent(want.htb, it->second.htb)) {
    plan.emplace_back(ChangeClass{want.htb});
  }
  if (!there || it->second.leaf != want.leaf) {
    plan.emplace_back(SetLeaf{want.htb.minor, want.leaf});
  }
}

}  // namespace

std::string DeleteClass::Text() const { return fmt::format("DeleteClass 7f00:{:x}", minor); }
std::string AddClass::Text() const { return "AddClass " + Describe(htb); }
std::string ChangeClass::Text() const { return "ChangeClass " + Describe(htb); }
std::string SetLeaf::Text() const {
  return fmt::format("SetLeaf 7f00:{:x} {} limit={}", minor, NameOf(leaf.kind), leaf.limit_bytes);
}
std::string ChangeTbf::Text() const {
  return fmt::format("ChangeTbf {} rate={} burst={} limit={}{}", TapName(number),
                     tbf.rate_bytes_per_second, tbf.burst_bytes, tbf.limit_bytes,
                     queue == drivers::Queue::kDrop ? " dropping its queue" : "");
}

std::string ToString(const Action& action) { return runtime::ActionText(action); }

PartOfInterface PartOf(const Action& action) {
  struct {
    PartOfInterface operator()(const DeleteClass& a) { return {a.minor, ""}; }
    PartOfInterface operator()(const AddClass& a) { return {a.htb.minor, "class"}; }
    PartOfInterface operator()(const ChangeClass& a) { return {a.htb.minor, "class"}; }
    PartOfInterface operator()(const SetLeaf& a) { return {a.minor, "class"}; }
    PartOfInterface operator()(const ChangeTbf& a) { return {MinorOf(a.number), "tbf"}; }
  } part;
  return std::visit(part, action);
}

std::vector<Action> MakePlan(const Desired& desired, const Observed& observed) {
  std::vector<Action> plan;
  std::map<std::uint32_t, const DesiredShape*> shapes;
  for (const DesiredShape& shape : desired.shapes) shapes[MinorOf(shape.number)] = &shape;
  PlanDeletes(shapes, observed, plan);
  for (const DesiredShape& shape : desired.shapes) {
    if (shape.intent != Intent::kShape) continue;
    if (observed.ready) PlanClass(shape.rates, observed, plan);
    const auto tbf = observed.tbfs.find(shape.number);
    if (tbf != observed.tbfs.end() && !Equivalent(shape.rates.tbf, tbf->second)) {
      const bool narrower = shape.rates.tbf.burst_bytes < tbf->second.burst_bytes;
      plan.emplace_back(ChangeTbf{shape.number, shape.rates.tbf,
                                  narrower ? drivers::Queue::kDrop : drivers::Queue::kKeep});
    }
  }
  return plan;
}

std::string Shortfall(const DesiredShape& shape, const Observed& observed) {
  if (shape.intent == Intent::kRelease) return "Releasing";
  if (shape.intent == Intent::kKeep) return "VirtualMachineUnknown";
  if (!observed.ready) return "WaitingForUplink";
  const auto is = observed.classes.find(shape.rates.htb.minor);
  if (is == observed.classes.end() || !Equivalent(shape.rates.htb, is->second.htb) ||
      is->second.leaf != shape.rates.leaf) {
    return "ClassDiffers";
  }
  const auto tbf = observed.tbfs.find(shape.number);
  if (tbf == observed.tbfs.end()) return "WaitingForTap";
  return Equivalent(shape.rates.tbf, tbf->second) ? "" : "BucketDiffers";
}

}  // namespace forkplane::shaping
