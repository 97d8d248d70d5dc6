#include "drivers/identity_driver.h"

namespace forkplane::drivers {

std::string_view ToString(DropReason reason) {
  switch (reason) {
    case DropReason::kNoEntry:
      return "no_entry";
    case DropReason::kSourceMac:
      return "source_mac";
    case DropReason::kArpSender:
      return "arp_sender";
    case DropReason::kSourceAddress:
      return "source_address";
    case DropReason::kEtherType:
      return "ether_type";
    case DropReason::kMalformed:
      return "malformed";
    case DropReason::kDestination:
      return "destination";
    case DropReason::kAmbiguous:
      return "ambiguous";
    case DropReason::kQuoted:
      return "quoted";
    case DropReason::kDhcp:
      return "dhcp";
    case DropReason::kChecksum:
      return "checksum";
    case DropReason::kFragments:
      return "fragments";
  }
  return "unknown";
}

std::string_view ToString(RedirectMode mode) {
  switch (mode) {
    case RedirectMode::kBpf:
      return "bpf";
    case RedirectMode::kMirred:
      return "mirred";
    case RedirectMode::kMark:
      return "mark";
  }
  return "unknown";
}

Result<RedirectMode> ChooseRedirect(std::string_view wanted, const RedirectProbe& works) {
  if (wanted == "mark") return RedirectMode::kMark;
  if (wanted != "mirred") {
    ASSIGN_OR_RETURN(const bool bpf, works(RedirectMode::kBpf));
    if (bpf) return RedirectMode::kBpf;
  }
  if (wanted == "bpf") {
    return Invalid(
        "--redirect bpf: bpf_redirect of this kernel sends packets through clsact twice (Linux 6.4 "
        "or later does not)");
  }
  ASSIGN_OR_RETURN(const bool mirred, works(RedirectMode::kMirred));
  if (mirred) return RedirectMode::kMirred;
  return Invalid(fmt::format("--redirect {}: this kernel has no act_mirred{}", wanted,
                             wanted == "auto" ? ", and its bpf_redirect does not work" : ""));
}

}  // namespace forkplane::drivers
