// Where the host is asked to finish a checksum (VIRTIO_NET_HDR_F_NEEDS_CSUM). Whoever sends the
// packet on writes two bytes there, long after the programs have judged it, and the guest chooses
// both the place and, by what is summed up, their value: another port, sender or address than the
// one that was judged (provoked). So the place must be the checksum field of the packet's own TCP
// or UDP header. Included by identity.bpf.c.
//
// Kernel facts this relies on: tun believes any place that lies within the packet
// (skb_partial_csum_set). No field of __sk_buff and no helper shows it, so the kernel's own
// structure is read, at offsets that libbpf takes from the kernel's BTF at load time:
// bpf_probe_read_kernel is open to traffic programs that are loaded with CAP_PERFMON since Linux
// 5.8, bpf_cast_to_kern_ctx only since 6.2. A kernel without BTF (CONFIG_DEBUG_INFO_BTF) loads no
// program, and so no guest has a network.
#pragma once

#include <bpf/bpf_core_read.h>

#define CHECKSUM_PARTIAL 3 /* linux/skbuff.h */

struct sk_buff {
  __u8 ip_summed : 2;
  __u16 csum_start; /* from the start of the buffer, as mac_header is */
  __u16 csum_offset;
  __u16 mac_header;
} __attribute__((preserve_access_index));

static __always_inline int is_checksum_pending(const struct __sk_buff* skb) {
  const struct sk_buff* kernel = (const void*)skb;
  return BPF_CORE_READ_BITFIELD_PROBED(kernel, ip_summed) == CHECKSUM_PARTIAL;
}

// PASS, or the reason to drop. A fragment cannot have one: its checksum covers what others carry.
static __always_inline int judge_pending_checksum(const struct __sk_buff* skb,
                                                  const struct iphdr* ip) {
  if (!is_checksum_pending(skb)) return PASS;
  const struct sk_buff* kernel = (const void*)skb;
  const __u16 start = BPF_CORE_READ(kernel, csum_start) - BPF_CORE_READ(kernel, mac_header);
  const __u16 offset = BPF_CORE_READ(kernel, csum_offset);
  const int field = ip->protocol == IPPROTO_TCP   ? TCP_CHECK_OFFSET
                    : ip->protocol == IPPROTO_UDP ? UDP_CHECK_OFFSET
                                                  : -1;
  if (is_fragment(ip) || start != ETH_HLEN + ip->ihl * 4 || offset != field)
    return FK_DROP_CHECKSUM;
  return PASS;
}
