// The lists of a strategic merge patch. Internal to the room.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "controller/base/result.h"
#include "crd/json.h"

namespace forkplane::apiserver {

// What tells elements of one list apart: the element itself (`merge_key` empty), or its member of
// that name. As text, so that it can be looked up. Invalid: the element has none.
Result<std::string> IdentityOf(const crd::Json& element, const std::string& merge_key);

// Puts merged elements in order: those named in `wanted` stand as there, the others as in `stored`,
// and one of the others stands before one of the former when it did in `stored`. All are lists of
// identities; `ids` belongs to `elements`, position by position.
void Arrange(const std::vector<std::string>& wanted, const std::vector<std::string>& stored,
             std::vector<std::string> ids, crd::Json& elements);

// The identities of all elements.
Result<std::vector<std::string>> IdentitiesOf(const crd::Json& elements,
                                              const std::string& merge_key);

// Whether `some` all stand in `all`, in the same order.
bool KeepsOrder(const std::vector<std::string>& some, const std::vector<std::string>& all);

}  // namespace forkplane::apiserver
