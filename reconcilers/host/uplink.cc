// The uplink: what it can carry, and with --redirect mark what is shaped there.
#include "controller/base/network_names.h"
#include "reconcilers/host/reconciler.h"

namespace forkplane::host {

// Also those that no loop uses yet: who wrote them thinks they are there.
Result<HostReconciler::Outcome> HostReconciler::JudgeUplinks(const crd::Host* object) {
  Outcome outcome;
  if (object == nullptr) return outcome;
  for (std::size_t i = 0; i < object->spec.uplinks.size(); ++i) {
    const std::string& name = object->spec.uplinks[i].interface;
    ASSIGN_OR_RETURN(const auto uplink, drivers_.routes.UplinkByName(name));
    if (uplink || name.empty()) continue;
    outcome.reason = "UplinkNotFound";
    outcome.message = fmt::format(
        "spec.uplinks[{}].interface: this host has no link \"{}\": name one that \"ip link\" "
        "shows, "
        "or leave the entry out for the link of the default route",
        i, name);
    return outcome;
  }
  return outcome;
}

bool HostReconciler::ShapesOnUplink() const {
  return drivers_.identities.Mode() == drivers::RedirectMode::kMark;
}

// While there is no uplink the last one stays what is shaped on: some guests may still use it.
void HostReconciler::ShapeOn(std::uint32_t uplink) {
  if (uplink == 0 && ShapesOnUplink()) return;
  if (std::exchange(shaped_on_, uplink) == uplink) return;
  drivers_.qdiscs.ShapeOn(uplink);
  if (options_.moved) options_.moved();
}

Status HostReconciler::FindUplink() {
  const auto object = options_.object ? options_.object() : nullptr;
  ASSIGN_OR_RETURN(const Capacity capacity, UploadCapacity(object.get()));
  if (!ShapesOnUplink()) {
    PublishUplink(capacity, false);
    return OkStatus();
  }
  ShapeOn(capacity.index);
  const Desired desired = Desire(object.get(), capacity);
  Observed observed;
  RETURN_IF_ERROR(ObserveUplink(desired, observed));
  PublishUplink(capacity, !Blocker(desired, observed).empty());
  if (shaped_on_ != 0) return OkStatus();
  // The default route has gone since: the classes stand where an earlier daemon made them.
  ASSIGN_OR_RETURN(const auto links, drivers_.qdiscs.ForeignLinksWithHtb());
  if (!links.empty()) ShapeOn(links.front());
  return OkStatus();
}

void HostReconciler::PublishUplink(const Capacity& capacity, bool taken) {
  if (options_.uplinks == nullptr) return;
  options_.uplinks->Publish(options_.host_name,
                            {static_cast<std::int64_t>(capacity.bits_per_second),
                             taken ? capacity.uplink : std::string()});
}

bool HostReconciler::IsShut() const {
  if (options_.uplinks == nullptr) return false;
  const auto fact = options_.uplinks->Get(options_.host_name);
  return fact ? !fact->unshaped.empty() : ShapesOnUplink();
}

// With --redirect mark: whether there is an uplink, and whether its root is free.
HostReconciler::Outcome HostReconciler::JudgeShaping(const Desired& desired,
                                                     const Observed& observed,
                                                     const Capacity& capacity) const {
  if (!ShapesOnUplink()) return {};
  if (desired.uplink == 0) {
    return {"UplinkNotFound",
            "--redirect mark shapes on the uplink, and there is none: no default route, and "
            "spec.uplinks[0].interface names no link; other routes' uploads are not shaped"};
  }
  const std::string blocker = Blocker(desired, observed);
  if (blocker.empty()) return {};
  return {
      "UplinkTaken",
      fmt::format("{}: it is left alone, uploads cannot be shaped, and nothing of guests leaves "
                  "by {}: tc qdisc del dev {} root, or --redirect auto",
                  blocker, capacity.uplink, capacity.uplink)};
}

// What the operator says; else what the uplink says; else a number nobody reaches, said aloud.
Result<HostReconciler::Capacity> HostReconciler::UploadCapacity(const crd::Host* object) {
  Capacity capacity;
  std::optional<drivers::Uplink> uplink;
  const crd::HostUplink* named =
      object != nullptr && !object->spec.uplinks.empty() ? &object->spec.uplinks.front() : nullptr;
  if (named != nullptr && !named->interface.empty()) {
    ASSIGN_OR_RETURN(uplink, drivers_.routes.UplinkByName(named->interface));
  } else {
    ASSIGN_OR_RETURN(uplink, drivers_.routes.DefaultUplink());
  }
  if (uplink) {
    capacity.uplink = uplink->name;
    capacity.index = uplink->index;
  }
  if (named != nullptr && named->capacity && named->capacity->upload) {
    capacity.bits_per_second = static_cast<std::uint64_t>(named->capacity->upload->Value());
  } else if (uplink && uplink->speed_bits_per_second) {
    capacity.bits_per_second = *uplink->speed_bits_per_second;
  } else {
    capacity.bits_per_second = kUnknownCapacityBits;
    capacity.known = false;
  }
  return capacity;
}

Status HostReconciler::ObserveUplink(const Desired& desired, Observed& observed) {
  // Left by an earlier daemon, or when another link has become the uplink; never the last one that
  // guests are shaped on.
  if (ShapesOnUplink() ? desired.uplink != 0 : left_behind_) {
    ASSIGN_OR_RETURN(observed.left, drivers_.qdiscs.ForeignLinksWithHtb());
    std::erase(observed.left, desired.uplink);
  }
  if (desired.uplink == 0) return OkStatus();
  UplinkObserved uplink;
  ASSIGN_OR_RETURN(uplink.qdiscs, drivers_.qdiscs.ObserveUplink(IfbIndex(0)));
  ASSIGN_OR_RETURN(uplink.classifier, drivers_.identities.ObserveClassifier(desired.uplink));
  observed.uplink = std::move(uplink);
  return OkStatus();
}

}  // namespace forkplane::host
