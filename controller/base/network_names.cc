#include "controller/base/network_names.h"

namespace forkplane {

std::string TapName(std::uint32_t number) { return fmt::format("fk{:08x}", TapIndex(number)); }
std::string IfbName(std::uint32_t ifb) { return fmt::format("fkifb{}", ifb); }
std::string BridgeName(std::uint32_t n) { return fmt::format("fkbr{}", n); }

}  // namespace forkplane
