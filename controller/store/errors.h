// Errors of the store with the exact texts of a Kubernetes API server, and how the HTTP layer reads
// them.
//
// Error::code tells our loops what to do; a Kubernetes Status needs a finer `reason`. Where the
// code alone does not say it, the error carries one mark: a Cause with neither field nor message,
// whose `reason` is the Status reason ("Expired", "Forbidden", "BadRequest", "Timeout",
// "InsufficientResources").
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "controller/base/result.h"
#include "controller/store/object.h"

namespace forkplane::store {

// Marks `error` with a Status reason.
Error WithReason(Error error, std::string_view reason);

// The mark, or what follows from the code: NotFound, AlreadyExists, Invalid, Conflict,
// InsufficientResources, ServiceUnavailable (Unavailable and Cancelled), InternalError.
std::string_view StatusReason(const Error& error);
// The causes a client may see: all but the mark.
std::vector<Cause> VisibleCauses(const Error& error);
// History the caller asked for is gone: list again. (Code kConflict, reason Expired, HTTP 410.)
bool IsExpired(const Error& error);

// `virtualmachines.forkplane.dev "a" not found`
Error NotFoundError(const GroupResource& resource, std::string_view name);
// `virtualmachines.forkplane.dev "a" already exists`, with `object is being deleted: ` in front
// when terminating.
Error ExistsError(const GroupResource& resource, std::string_view name, bool terminating);
// `Operation cannot be fulfilled on virtualmachines.forkplane.dev "a": <why>`; why is the
// well-known "the object has been modified; ..." when empty.
Error ConflictError(const GroupResource& resource, std::string_view name,
                    std::string_view why = {});
// `VirtualMachine.forkplane.dev "b" is invalid: [f1: ..., f2: ...]`, one cause without brackets.
// Each cause's message is without its field ("Required value"); the text joins both.
Error InvalidError(std::string_view kind, std::string_view group, std::string_view name,
                   std::vector<Cause> causes);
// HTTP 400.
Error BadRequestError(std::string message);
// `virtualmachines.forkplane.dev "a" is forbidden: <why>`, HTTP 403; code kInvalid.
Error ForbiddenError(const GroupResource& resource, std::string_view name, std::string_view why);
// `configmaps "a" cannot be read: <object.unreadable>`, HTTP 500.
Error UnreadableError(const ObjectKey& key, const Object& object);
// `too old resource version: <asked> (<oldest>)`, HTTP 410.
Error ExpiredError(Revision asked, Revision oldest);
// `Timeout: Too large resource version: <asked>, current: <current>`, HTTP 504.
Error FutureRevisionError(Revision asked, Revision current);

}  // namespace forkplane::store
