// Hosts around the host under test, each a network namespace behind a veth whose near end has the
// name of a link of ours or of somebody else; and attempts to reach one from another.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "controller/base/net_address.h"
#include "controller/base/unique_fd.h"

namespace forkplane::walls {

inline constexpr std::uint16_t kPort = 53;  // of every server

// One host: its addresses, and servers on each of them that answer UDP and accept TCP.
class Place {
 public:
  // `link`: the near end; "": the host under test itself, in the namespace of the caller.
  Place(std::string name, const std::string& link, std::vector<std::string> addresses);

  const std::string& name() const { return name_; }
  // A socket of this place.
  UniqueFd Open(int type, int protocol) const;
  // Runs a command of ip in this place.
  void Ip(const std::string& arguments) const;
  // Its servers, when the addresses are there.
  void Serve();

  const std::vector<UniqueFd>& servers() const { return servers_; }

 private:
  void Inside(const std::function<void()>& body) const;

  std::string name_;
  std::vector<std::string> addresses_;
  UniqueFd namespace_;
  std::vector<UniqueFd> servers_;
};

enum class Protocol : char { kTcp = 'T', kUdp = 'U', kIcmp = 'I' };

struct Attempt {
  const Place* from = nullptr;
  std::string to;
  Protocol protocol = Protocol::kTcp;
  bool expected = false;
  bool passed = false;
  std::uint16_t id = 0;  // of the echo: another each time, or it would belong to an earlier one
};

// Makes all attempts at once, serves them, and notes which were answered. `sources`: of everything
// that a server of `watched` got.
void Try(std::vector<Attempt>& attempts, const std::vector<const Place*>& places,
         const std::vector<const Place*>& watched, std::vector<Ipv4>& sources);

}  // namespace forkplane::walls
