// Addresses are base's. Everything here is IPv4: on translated interfaces IPv6 is dropped
// (identity_driver.h), so no driver needs another family yet.
#pragma once

#include "controller/base/net_address.h"

namespace forkplane::drivers {

using Ipv4Address = Ipv4;

}  // namespace forkplane::drivers
