// Objects that versions before the record store applied: they carry the document in an annotation.
#pragma once

#include "controller/base/result.h"
#include "controller/manifests/record_store.h"
#include "controller/store/object_store.h"
#include "crd/type_registry.h"

namespace forkplane::manifests {

// Reads them into records, once per record store. The source of such a record is not known, and a
// copy of an object carries the annotation too: so what the directory still asks for becomes owned
// with its last document, and what it does not ask for is held until an operator decides.
Status TakeOver(store::ObjectStore& objects, const crd::TypeRegistry& types, RecordStore& records);

}  // namespace forkplane::manifests
