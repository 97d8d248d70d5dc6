// Names and numbers of the network on a host are base's, since the ledger leases them.
#pragma once

#include "controller/base/network_names.h"
