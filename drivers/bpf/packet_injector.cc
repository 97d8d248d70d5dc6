#include "drivers/bpf/packet_injector.h"

#include <bpf/bpf.h>
#include <linux/bpf.h>

#include <array>
#include <cerrno>

namespace forkplane::bpf {
namespace {

// `return XDP_PASS;`
constexpr std::array<bpf_insn, 2> kPassAll = {{
    {.code = BPF_ALU64 | BPF_MOV | BPF_K,
     .dst_reg = BPF_REG_0,
     .src_reg = 0,
     .off = 0,
     .imm = XDP_PASS},
    {.code = BPF_JMP | BPF_EXIT, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0},
}};

}  // namespace

Result<std::unique_ptr<PacketInjector>> PacketInjector::Open() {
  UniqueFd program(bpf_prog_load(BPF_PROG_TYPE_XDP, "fk_inject", "GPL", kPassAll.data(),
                                 kPassAll.size(), nullptr));
  if (!program.valid()) return FromErrno(errno, "load the packet injector");
  return std::unique_ptr<PacketInjector>(new PacketInjector(std::move(program)));
}

Status PacketInjector::Inject(std::uint32_t index, std::span<const std::uint8_t> frame) {
  xdp_md context = {};
  context.data_end = static_cast<std::uint32_t>(frame.size());
  context.ingress_ifindex = index;
  bpf_test_run_opts options = {};
  options.sz = sizeof options;
  options.data_in = frame.data();
  options.data_size_in = static_cast<std::uint32_t>(frame.size());
  options.ctx_in = &context;
  options.ctx_size_in = sizeof context;
  options.repeat = 1;
  options.flags = BPF_F_TEST_XDP_LIVE_FRAMES;
  options.batch_size = 1;
  if (bpf_prog_test_run_opts(program_.get(), &options) == 0) return OkStatus();
  constexpr int kNotSupported = 524;  // the kernel's ENOTSUPP, which it exports by no header
  const int error = errno == kNotSupported ? EINVAL : errno;
  return FromErrno(error, "inject a packet");
}

}  // namespace forkplane::bpf
