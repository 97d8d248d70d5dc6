// An object in Kubernetes' protobuf form, as the JSON that it means. Clients of client-go 0.32 and
// kubectl 1.32 send built-in kinds so and do not fall back to JSON; answers stay JSON, which they
// accept.
#pragma once

#include <string_view>

#include "controller/base/result.h"
#include "crd/json.h"

namespace forkplane::apiserver {

// Values in one body: fields, entries of maps and lists. A client's largest objects have some
// thousands.
inline constexpr std::size_t kProtoValuesMax = 200'000;

// `body` is the four bytes "k8s\0" and the message runtime.Unknown with apiVersion, kind and the
// object (k8s.io/apimachinery runtime/serializer/protobuf, v0.32.4). The JSON has both of them and
// the object's fields, empty ones left out as Go's omitempty does.
//
// Invalid: not of this form, cut off, text that is not UTF-8, a time out of range, more values than
// kProtoValuesMax, or a kind without a table. Depth is that of the tables. No exception, no copy of
// more than the text itself.
Result<crd::Json> DecodeProtobuf(std::string_view body);

}  // namespace forkplane::apiserver
