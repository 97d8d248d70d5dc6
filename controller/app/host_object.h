// The Host object of this host, and the name under which VMs are bound to it.
#pragma once

#include <string>

#include "controller/base/result.h"
#include "controller/store/object_store.h"

namespace forkplane::app {

// Makes the Host object unless it stands, and returns its name. A name that nobody chose
// (`chosen` false: it is the machine's) yields to the one Host that is on record: VMs are bound to
// that, and a machine that was renamed must find them.
Result<std::string> EnsureHostObject(store::ObjectStore& objects, const std::string& name,
                                     bool chosen);

}  // namespace forkplane::app
