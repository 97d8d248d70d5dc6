#pragma once

#include <string>
#include <string_view>

namespace forkplane {

// RFC 4648 with padding, without line ends.
std::string EncodeBase64(std::string_view bytes);

}  // namespace forkplane
