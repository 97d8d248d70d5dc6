// All six kinds.
#pragma once

#include "crd/fork.h"
#include "crd/fork_set.h"
#include "crd/host.h"
#include "crd/network.h"
#include "crd/snapshot.h"
#include "crd/virtual_machine.h"
