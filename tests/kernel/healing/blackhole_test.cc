// Goal: nobody who asks for addresses that nobody leases fills the host's neighbour table.
// Method: the host itself sends to every address of the Network; the picture of all neighbours,
// whatever their state, is compared before and after.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include "tests/kernel/healing/world.h"

namespace forkplane::healing {
namespace {

constexpr std::uint32_t kNet = 0x0a4d0000;  // 10.77.0.0/24
constexpr std::uint32_t kFirstFree = 5;     // behind the gateway, the reserved one and two leases
constexpr std::uint32_t kLast = 254;

bool SendTo(int fd, std::uint32_t address) {
  sockaddr_in to = {};
  to.sin_family = AF_INET;
  to.sin_port = htons(9);
  to.sin_addr.s_addr = htonl(address);
  return sendto(fd, "x", 1, 0, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 1;
}

TEST(BlackholeTest, AddressesThatNobodyLeasesMakeNoNeighbours) {
  InWorld({}, [](World& world) {
    const UniqueFd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    ASSERT_TRUE(SendTo(fd.get(), kNet + 3)) << "one that is leased";
    for (std::uint32_t host = kFirstFree; host <= kLast; ++host) {
      EXPECT_FALSE(SendTo(fd.get(), kNet + host)) << host;
    }
    EXPECT_EQ(PortraitOf(Part::kNeighbours, world.pins()), world.Golden(Part::kNeighbours));
  });
}

}  // namespace
}  // namespace forkplane::healing
