// bench_packets DIRECTORY COUNT ROUNDS PACKETS: P3. Small frames are written into the TAP of one VM
// of a host with 1 VM and of one with COUNT; each passes the program, the redirect, the HTB of the
// IFB and the bridge, and ends at a route into nothing. Beside them the same hosts with a list of
// u32 filters, one per VM, in place of the class that the program chooses; the VM that sends is the
// last in the list. A line of JSON with nanoseconds of CPU per packet, by side and host.
//
// Everything happens inside write(): the time of the writing thread is that of the packet. PACKETS
// is a multiple of 5000.
#include <arpa/inet.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <fstream>
#include <limits>
#include <sstream>

#include "controller/base/log.h"
#include "controller/base/network_names.h"
#include "tests/bench/network/foreign.h"
#include "tests/bench/network/lanes.h"

namespace forkplane::bench {
namespace {

constexpr std::uint64_t kWideBits = 10'000'000'000;  // of the VM that sends: never a bound
constexpr const char* kNowhere = "198.18.0.1";
constexpr std::size_t kVnetHeaderBytes = 12;
constexpr std::size_t kEthernetBytes = 14;
constexpr std::size_t kFrameBytes = 64;
constexpr int kEagainMilliseconds = 1000;
constexpr std::uint32_t kSlicePackets = 5'000;
constexpr int kIpv4Bytes = 20;

using Frame = std::array<std::uint8_t, kVnetHeaderBytes + kFrameBytes>;

std::uint16_t ChecksumOf(const iphdr& header) {
  std::array<std::uint16_t, kIpv4Bytes / 2> words = {};
  std::memcpy(words.data(), &header, sizeof words);
  std::uint32_t sum = 0;
  for (const std::uint16_t word : words) sum += word;
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(~sum);
}

// A datagram without a checksum from the guest's inner address.
Frame FrameFrom(const MacAddress& mac, Ipv4 address) {
  Frame frame = {};
  std::uint8_t* at = frame.data() + kVnetHeaderBytes;
  std::memcpy(at, kGatewayMac.bytes.data(), kGatewayMac.bytes.size());
  std::memcpy(at + 6, mac.bytes.data(), mac.bytes.size());
  at[12] = 0x08;
  at += kEthernetBytes;
  iphdr ip = {};
  ip.version = 4;
  ip.ihl = kIpv4Bytes / 4;
  ip.tot_len = htons(kFrameBytes - kEthernetBytes);
  ip.ttl = 64;
  ip.protocol = IPPROTO_UDP;
  ip.saddr = htonl(address.value);
  inet_pton(AF_INET, kNowhere, &ip.daddr);
  ip.check = ChecksumOf(ip);
  std::memcpy(at, &ip, sizeof ip);
  udphdr udp = {};
  udp.source = htons(1024);
  udp.dest = htons(9);
  udp.len = htons(kFrameBytes - kEthernetBytes - kIpv4Bytes);
  std::memcpy(at + sizeof ip, &udp, sizeof udp);
  return frame;
}

// Packets that have passed the queue of the IFB, in the namespace of this thread.
Result<std::uint64_t> PassedIfb() {
  std::ifstream file("/proc/thread-self/net/dev");
  const std::string wanted = IfbName(0) + ":";
  constexpr int kTransmittedPackets = 10;  // the column, that of the name is 0
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string name;
    if (!(words >> name) || name != wanted) continue;
    std::uint64_t value = 0;
    for (int column = 0; column < kTransmittedPackets; ++column) words >> value;
    return value;
  }
  return NotFound("no IFB in /proc/net/dev");
}

class Sender {
 public:
  virtual ~Sender() = default;
  // Nanoseconds of CPU per packet, in the slice that nobody disturbed most.
  Result<double> Send(std::uint32_t packets) {
    ASSIGN_OR_RETURN(const std::uint64_t before, PassedIfb());
    double least = std::numeric_limits<double>::max();
    for (std::uint32_t sent = 0; sent < packets; sent += kSlicePackets) {
      const double begun = CpuNanoseconds();
      for (std::uint32_t i = 0; i < kSlicePackets; ++i) RETURN_IF_ERROR(Write());
      least = std::min(least, (CpuNanoseconds() - begun) / kSlicePackets);
    }
    ASSIGN_OR_RETURN(const std::uint64_t after, PassedIfb());
    // The default class would have let almost nothing pass.
    if (after - before < packets) {
      return Internal(fmt::format("{} of {} packets passed", after - before, packets));
    }
    return least;
  }

 protected:
  Sender() = default;
  void SetUp(UniqueFd tap, const Frame& frame) {
    tap_ = std::move(tap);
    frame_ = frame;
  }

 private:
  static double CpuNanoseconds() {
    timespec now = {};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
  }
  Status Write() {
    for (;;) {
      if (write(tap_.get(), frame_.data(), frame_.size()) > 0) return OkStatus();
      if (errno != EAGAIN) return FromErrno(errno, "write into the TAP");
      pollfd file = {tap_.get(), POLLOUT, 0};
      if (poll(&file, 1, kEagainMilliseconds) <= 0) return Unavailable("the TAP takes nothing");
    }
  }

  UniqueFd tap_;
  Frame frame_ = {};
};

class OursSender final : public Sender {
 public:
  static Result<std::unique_ptr<Sender>> Open(const std::string& directory, std::uint32_t count) {
    auto sender = std::make_unique<OursSender>();
    ASSIGN_OR_RETURN(sender->world_, World::Open(directory, 0));
    World& world = *sender->world_;
    if (count > 1) RETURN_IF_ERROR(RaiseVms(world, "vm", count - 1));
    world.specs().Set("sender", Limits(kWideBits, kWideBits, kWideBits));
    ASSIGN_OR_RETURN(const auto lease, world.Claim("sender"));
    const ledger::InterfaceLease& interface = lease.interfaces.front();
    RETURN_IF_ERROR(world.WaitUntilShaped(ledger::KeyOf(interface.id)));
    ASSIGN_OR_RETURN(UniqueFd tap, world.drivers().taps->Dup(interface.number));
    sender->SetUp(std::move(tap), FrameFrom(interface.inner_mac, interface.inner_address));
    return std::unique_ptr<Sender>(std::move(sender));
  }

 private:
  std::unique_ptr<World> world_;
};

class ListSender final : public Foreign, public Sender {
 public:
  ListSender(std::unique_ptr<Drivers> on, std::string file)
      : Foreign(std::move(on)), file_(std::move(file)) {}
  static Result<std::unique_ptr<Sender>> Open(const std::string& directory, std::uint32_t count) {
    ASSIGN_OR_RETURN(auto on, OpenHost(directory + "/host.db"));
    auto sender = std::make_unique<ListSender>(std::move(on), directory + "/list.tc");
    RETURN_IF_ERROR(sender->Raise(count));
    return std::unique_ptr<Sender>(std::move(sender));
  }
  std::string name() const override { return "list"; }

  Status Raise(std::uint32_t count) override {
    SetCount(count);
    for (std::uint32_t n = 1; n <= count; ++n) {
      RETURN_IF_ERROR(MakeTap(n));
      RETURN_IF_ERROR(on().qdiscs->AddClsact(TapIndex(n)));
      RETURN_IF_ERROR(Translate(n));
      RETURN_IF_ERROR(on().qdiscs->AddTbf(TapIndex(n), RatesOf(n).tbf));
      RETURN_IF_ERROR(Plug(n));
    }
    RETURN_IF_ERROR(on().qdiscs->DeleteRoot(IfbIndex(0)));
    RETURN_IF_ERROR(WriteBatch(count));
    RETURN_IF_ERROR(RunProgram({"tc", "-batch", file_}));
    ASSIGN_OR_RETURN(UniqueFd tap, on().taps->Dup(count));
    SetUp(std::move(tap), FrameFrom(InnerMac(0), Ipv4{kGateway.value + 1}));
    return OkStatus();
  }

 private:
  // Another major than ours, which the program's choice does not reach.
  Status WriteBatch(std::uint32_t count) {
    std::ofstream out(file_);
    const std::string ifb = IfbName(0);
    out << fmt::format(
        "qdisc add dev {0} root handle 1: htb default ffff\n"
        "class add dev {0} parent 1: classid 1:fffe htb rate 100gbit quantum 20000\n"
        "class add dev {0} parent 1:fffe classid 1:ffff htb rate 8kbit quantum 20000\n",
        ifb);
    for (std::uint32_t n = 1; n <= count; ++n) {
      const shaping::Rates rates = RatesOf(n);
      const std::uint64_t rate = n == count ? kWideBits / 8 : rates.htb.rate_bytes_per_second;
      out << fmt::format(
          "class add dev {0} parent 1:fffe classid 1:{1:x} htb rate {2}bps quantum 20000\n"
          "qdisc add dev {0} parent 1:{1:x} bfifo limit {3}\n"
          "filter add dev {0} parent 1: protocol ip prio 1 u32 match ip src {4}/32 flowid "
          "1:{1:x}\n",
          ifb, n, rate, rates.leaf.limit_bytes, ToString(AddressOf(n)));
    }
    return out.flush() ? OkStatus() : Status(Unavailable("write " + file_));
  }

  const std::string file_;
};

struct Host {
  std::string name;
  Namespace net;
  std::unique_ptr<Sender> sender;
  std::vector<double> nanoseconds = {};
};

using SenderOpener = Result<std::unique_ptr<Sender>> (*)(const std::string&, std::uint32_t);

Result<Host> OpenOne(const std::string& name, const std::string& directory, std::uint32_t count,
                     SenderOpener opener) {
  ASSIGN_OR_RETURN(Namespace net, Namespace::New());
  RETURN_IF_ERROR(RunProgram({"mkdir", directory}));
  ASSIGN_OR_RETURN(auto sender, opener(directory, count));
  RETURN_IF_ERROR(RunProgram({"ip", "route", "add", "blackhole", std::string(kNowhere) + "/32"}));
  return Host{name, std::move(net), std::move(sender)};
}

Status Main(const std::string& directory, std::uint32_t count, std::size_t rounds,
            std::uint32_t packets) {
  std::vector<Host> hosts;
  for (const auto& [name, size, opener] :
       {std::tuple<const char*, std::uint32_t, SenderOpener>{"ours_one", 1, OursSender::Open},
        {"ours_all", count, OursSender::Open},
        {"list_one", 1, ListSender::Open},
        {"list_all", count, ListSender::Open}}) {
    ASSIGN_OR_RETURN(Host host, OpenOne(name, directory + "/" + name, size, opener));
    hosts.push_back(std::move(host));
  }
  for (std::size_t round = 0; round <= rounds; ++round) {
    for (std::size_t i = 0; i < hosts.size(); ++i) {
      Host& host = hosts[(round + i) % hosts.size()];
      RETURN_IF_ERROR(host.net.Enter());
      auto took = host.sender->Send(packets);
      if (!took.ok()) return std::move(took).error().WithContext(host.name);
      if (round > 0) host.nanoseconds.push_back(*took);
    }
  }
  std::vector<std::string> lists;
  lists.reserve(hosts.size());
  for (const Host& host : hosts) lists.push_back(JsonList(host.name, host.nanoseconds));
  std::printf("{%s}\n", fmt::format("{}", fmt::join(lists, ", ")).c_str());
  return OkStatus();
}

}  // namespace
}  // namespace forkplane::bench

int main(int argc, char** argv) {
  if (argc != 5) {
    std::fprintf(stderr, "usage: bench_packets DIRECTORY COUNT ROUNDS PACKETS\n");
    return 2;
  }
  forkplane::log::SetUp(forkplane::log::Format::kText, forkplane::log::Level::kWarn);
  const auto status = forkplane::bench::Main(
      argv[1], static_cast<std::uint32_t>(std::atoi(argv[2])),
      static_cast<std::size_t>(std::atoi(argv[3])), static_cast<std::uint32_t>(std::atoi(argv[4])));
  if (status.ok()) return 0;
  std::fprintf(stderr, "bench_packets: %s\n", status.error().message.c_str());
  return 1;
}
