#include "drivers/netlink/tc_codec.h"

#include <linux/gen_stats.h>
#include <linux/pkt_sched.h>
#include <sys/socket.h>

#include <algorithm>
#include <limits>

#include "controller/base/network_names.h"

namespace forkplane::netlink {
namespace {

using drivers::HtbClass;
using drivers::Leaf;
using drivers::LeafKind;
using drivers::ObservedClass;
using drivers::ObservedRoot;
using drivers::Tbf;
using drivers::TcCounters;

__extension__ using Wide = unsigned __int128;

// PSCHED_SHIFT is 6 since Linux 2.6.31: a tick is 64 ns whatever HZ is.
constexpr std::uint64_t kTickNanoseconds = 64;
constexpr std::uint64_t kNanosecondsPerSecond = 1'000'000'000;
constexpr std::uint64_t kRate32Max = std::numeric_limits<std::uint32_t>::max();

// With it the kernel needs no rate tables (TCA_HTB_RTAB, TCA_TBF_RTAB) from us.
constexpr std::uint8_t kLinkLayerEthernet = 1;  // TC_LINKLAYER_ETHERNET

tc_ratespec RateSpec(std::uint64_t rate) {
  tc_ratespec spec = {};
  spec.linklayer = kLinkLayerEthernet;
  spec.rate = static_cast<std::uint32_t>(std::min(rate, kRate32Max));
  return spec;
}

// The time that so many bytes take at this rate, rounded up.
std::uint32_t TicksOf(std::uint64_t rate, std::uint32_t bytes) {
  const Wide divisor = Wide{rate} * kTickNanoseconds;
  const Wide ticks = (Wide{bytes} * kNanosecondsPerSecond + divisor - 1) / divisor;
  return static_cast<std::uint32_t>(
      std::min<Wide>(ticks, std::numeric_limits<std::uint32_t>::max()));
}

std::uint32_t BytesOf(std::uint64_t rate, std::uint32_t ticks) {
  const Wide bytes = Wide{ticks} * kTickNanoseconds * rate / kNanosecondsPerSecond;
  return static_cast<std::uint32_t>(
      std::min<Wide>(bytes, std::numeric_limits<std::uint32_t>::max()));
}

Tbf TbfOf(const Attributes& options) {
  Tbf tbf;
  const tc_tbf_qopt parameters = options.Read<tc_tbf_qopt>(TCA_TBF_PARMS).value_or(tc_tbf_qopt{});
  tbf.rate_bytes_per_second = options.U64(TCA_TBF_RATE64).value_or(parameters.rate.rate);
  tbf.limit_bytes = parameters.limit;
  tbf.burst_bytes = BytesOf(tbf.rate_bytes_per_second, parameters.buffer);
  return tbf;
}

}  // namespace

TcCounters CountersOf(const Attributes& attributes) {
  TcCounters counters;
  const Attributes stats = attributes.Nested(TCA_STATS2);
  if (const auto basic = stats.Read<gnet_stats_basic>(TCA_STATS_BASIC)) {
    counters.bytes = basic->bytes;
    counters.packets = basic->packets;
  }
  if (const auto packets = stats.U64(TCA_STATS_PKT64)) counters.packets = *packets;
  if (const auto queue = stats.Read<gnet_stats_queue>(TCA_STATS_QUEUE)) {
    counters.drops = queue->drops;
    counters.overlimits = queue->overlimits;
    counters.backlog_bytes = queue->backlog;
  }
  return counters;
}

tcmsg TcHeader(std::uint32_t index, std::uint32_t parent, std::uint32_t handle) {
  tcmsg header = {};
  header.tcm_family = AF_UNSPEC;
  header.tcm_ifindex = static_cast<int>(index);
  header.tcm_parent = parent;
  header.tcm_handle = handle;
  return header;
}

Message TcMessage(std::uint16_t type, int flags, const tcmsg& header) {
  Message message(type, flags);
  message.Header(header);
  return message;
}

void PutTbf(Message& message, const Tbf& tbf) {
  tc_tbf_qopt parameters = {};
  parameters.rate = RateSpec(tbf.rate_bytes_per_second);
  parameters.limit = tbf.limit_bytes;
  parameters.buffer = TicksOf(tbf.rate_bytes_per_second, tbf.burst_bytes);
  message.Text(TCA_KIND, "tbf").Nest(TCA_OPTIONS, [&](Message& options) {
    options.Struct(TCA_TBF_PARMS, parameters).U32(TCA_TBF_BURST, tbf.burst_bytes);
    if (tbf.rate_bytes_per_second > kRate32Max) {
      options.U64(TCA_TBF_RATE64, tbf.rate_bytes_per_second);
    }
  });
}

void PutHtbRoot(Message& message, std::uint32_t default_minor) {
  tc_htb_glob glob = {};
  glob.version = 3;
  glob.rate2quantum = 10;  // unused, every class has its quantum; 0 is refused
  glob.defcls = default_minor;
  message.Text(TCA_KIND, "htb").Nest(TCA_OPTIONS, [&](Message& options) {
    options.Struct(TCA_HTB_INIT, glob);
  });
}

void PutHtbClass(Message& message, const HtbClass& htb) {
  tc_htb_opt parameters = {};
  parameters.rate = RateSpec(htb.rate_bytes_per_second);
  parameters.ceil = RateSpec(htb.ceil_bytes_per_second);
  parameters.buffer = TicksOf(htb.rate_bytes_per_second, htb.burst_bytes);
  parameters.cbuffer = TicksOf(htb.ceil_bytes_per_second, htb.ceil_burst_bytes);
  parameters.quantum = htb.quantum_bytes;
  message.Text(TCA_KIND, "htb").Nest(TCA_OPTIONS, [&](Message& options) {
    options.Struct(TCA_HTB_PARMS, parameters);
    if (htb.rate_bytes_per_second > kRate32Max) {
      options.U64(TCA_HTB_RATE64, htb.rate_bytes_per_second);
    }
    if (htb.ceil_bytes_per_second > kRate32Max) {
      options.U64(TCA_HTB_CEIL64, htb.ceil_bytes_per_second);
    }
  });
}

void PutLeaf(Message& message, const Leaf& leaf) {
  if (leaf.kind == LeafKind::kBfifo) {
    message.Text(TCA_KIND, "bfifo").Struct(TCA_OPTIONS, tc_fifo_qopt{leaf.limit_bytes});
    return;
  }
  message.Text(TCA_KIND, "fq_codel").Nest(TCA_OPTIONS, [&](Message& options) {
    options.U32(TCA_FQ_CODEL_MEMORY_LIMIT, leaf.limit_bytes);
  });
}

ObservedRoot RootOf(const tcmsg& header, const Attributes& attributes) {
  ObservedRoot root;
  root.kind = attributes.Text(TCA_KIND);
  root.handle = header.tcm_handle;
  root.counters = CountersOf(attributes);
  const Attributes options = attributes.Nested(TCA_OPTIONS);
  if (root.kind == "tbf") root.tbf = TbfOf(options);
  if (root.kind == "htb") {
    root.default_minor =
        options.Read<tc_htb_glob>(TCA_HTB_INIT).value_or(tc_htb_glob{}).defcls & 0xffff;
  }
  return root;
}

ObservedClass ClassOf(const tcmsg& header, const Attributes& attributes) {
  ObservedClass observed;
  const Attributes options = attributes.Nested(TCA_OPTIONS);
  const tc_htb_opt parameters = options.Read<tc_htb_opt>(TCA_HTB_PARMS).value_or(tc_htb_opt{});
  HtbClass& htb = observed.htb;
  htb.minor = header.tcm_handle & 0xffff;
  htb.parent_minor = header.tcm_parent == TC_H_ROOT ? 0 : header.tcm_parent & 0xffff;
  htb.rate_bytes_per_second = options.U64(TCA_HTB_RATE64).value_or(parameters.rate.rate);
  htb.ceil_bytes_per_second = options.U64(TCA_HTB_CEIL64).value_or(parameters.ceil.rate);
  htb.burst_bytes = BytesOf(htb.rate_bytes_per_second, parameters.buffer);
  htb.ceil_burst_bytes = BytesOf(htb.ceil_bytes_per_second, parameters.cbuffer);
  htb.quantum_bytes = parameters.quantum;
  observed.counters = CountersOf(attributes);
  return observed;
}

std::optional<Leaf> LeafOf(const Attributes& attributes) {
  const std::string kind = attributes.Text(TCA_KIND);
  if (kind == "bfifo") {
    const auto options = attributes.Read<tc_fifo_qopt>(TCA_OPTIONS);
    return Leaf{LeafKind::kBfifo, options.value_or(tc_fifo_qopt{}).limit};
  }
  if (kind != "fq_codel") return std::nullopt;
  const auto limit = attributes.Nested(TCA_OPTIONS).U32(TCA_FQ_CODEL_MEMORY_LIMIT);
  return Leaf{LeafKind::kFqCodel, limit.value_or(0)};
}

}  // namespace forkplane::netlink
