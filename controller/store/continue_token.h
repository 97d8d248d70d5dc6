// The opaque `continue` of a list: base64url without padding of
// {"v":"meta.k8s.io/v1","rv":427,"start":"ns/name\u0000"}, as upstream makes it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "controller/base/result.h"
#include "controller/store/object.h"

namespace forkplane::store {

struct ContinueToken {
  Revision revision = 0;  // of the snapshot; 0: the newest state (upstream's rv -1)
  std::string start;      // the first key that may come, "ns/name"
};

std::string EncodeContinue(const ContinueToken& token);
// BadRequest for anything we did not make.
Result<ContinueToken> DecodeContinue(std::string_view text);

}  // namespace forkplane::store
