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
  }
  return "unknown";
}

}  // namespace forkplane::drivers
