// Identity translation at a TAP (see drivers/identity_driver.h), for clsact ingress (from the
// guest) and egress (to the guest). No constant is filled in at load time: everything follows from
// the interface index and the map, so equal code is an equal program, and a position mix-up of
// rodata cannot happen.
//
// Kernel facts this relies on: bpf_l4_csum_replace with BPF_F_PSEUDO_HDR is right for finished and
// for partial checksums (CHECKSUM_PARTIAL, GSO); a VLAN tag has been moved out of the frame before
// clsact sees it, so a tagged frame looks like plain IPv4 unless vlan_present is asked. skb_iif,
// here ingress_ifindex, survives a bpf_redirect to an egress.
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>
#include <linux/udp.h>
#include <stddef.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "drivers/bpf/identity_map.h"

#define PRIORITY_MAJOR 0x7f000000u /* class 7f00:minor of the HTB on the IFB */
#define IFB_INDEX_BASE 0x47000000u
#define TAP_INDEX_BASE 0x46000000u
#define INDEX_RANGE_MASK 0xff000000u
#define HOST_CLASS_MINOR 0xfffdu
#define DEFAULT_CLASS_MINOR 0xffffu
#define UNJUDGED_MARK 0x4e000000u /* kUnjudgedMark */
#define PASS (-1)   /* TC_ACT_UNSPEC: translated, go on */
#define ANSWER (-2) /* has become the DHCP answer */

#define ARP_HARDWARE_ETHERNET 1
#define ICMP_HEADER_BYTES 8
#define ICMP_CHECK_OFFSET 2
#define TCP_CHECK_OFFSET 16
#define UDP_CHECK_OFFSET 6

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, FK_IDENTITIES_MAX);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, __u32);
  __type(value, struct fk_identity);
} identities SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_HASH);
  __uint(max_entries, FK_IDENTITIES_MAX);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, __u32);
  __type(value, struct fk_counters);
} counters SEC(".maps");

struct arp_ipv4 {
  __be16 hardware, protocol;
  __u8 hardware_length, protocol_length;
  __be16 operation;
  __u8 sender_mac[6];
  __be32 sender_address;
  __u8 target_mac[6];
  __be32 target_address;
} __attribute__((packed));

// One direction of translation: every `from` address becomes `to`.
struct translation {
  const __u8 *from_mac, *to_mac;
  __be32 from, to;
};

static __always_inline int same_mac(const __u8* a, const __u8* b) {
  return a[0] == b[0] && a[1] == b[1] && a[2] == b[2] && a[3] == b[3] && a[4] == b[4] &&
         a[5] == b[5];
}

static __always_inline int drop(struct __sk_buff* skb, enum fk_drop reason) {
  __u32 key = reason == FK_DROP_NO_ENTRY ? 0 : skb->ifindex;
  struct fk_counters* count = bpf_map_lookup_elem(&counters, &key);
  if (count && (__u32)reason < FK_DROP_REASONS) count->drops[reason]++;
  return TC_ACT_SHOT;
}

// Where the checksum that covers the addresses stands behind the IPv4 header; -1: none.
static __always_inline int check_offset(__u8 protocol) {
  if (protocol == IPPROTO_TCP) return TCP_CHECK_OFFSET;
  if (protocol == IPPROTO_UDP || protocol == IPPROTO_UDPLITE) return UDP_CHECK_OFFSET;
  return -1;
}

static __always_inline int is_icmp_error(__u8 type) {
  // Unreachable, source quench, redirect, time exceeded, parameter problem.
  return type == 3 || type == 4 || type == 5 || type == 11 || type == 12;
}

// RFC 1624: a checksum after four covered bytes changed. Works in any byte order.
static __always_inline __u16 updated_check(__u16 check, __u32 from, __u32 to) {
  __u32 sum = (__u16)~check;
  sum += (__u16)~from;
  sum += (__u16)(~from >> 16);
  sum += (__u16)to;
  sum += to >> 16;
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return (__u16)~sum;
}

// Replaces the address at `field` of the outer IPv4 header and mends its checksums.
static __always_inline int replace_address(struct __sk_buff* skb, const struct iphdr* ip, int field,
                                           __be32 from, __be32 to) {
  int in_packet = check_offset(ip->protocol);
  // Only the first fragment has the transport header.
  if (in_packet >= 0 && !(ip->frag_off & bpf_htons(0x1fff))) {
    __u64 flags = BPF_F_PSEUDO_HDR | sizeof(to);
    if (ip->protocol == IPPROTO_UDP) flags |= BPF_F_MARK_MANGLED_0;
    if (bpf_l4_csum_replace(skb, ETH_HLEN + ip->ihl * 4 + in_packet, from, to, flags))
      return FK_DROP_MALFORMED;
  }
  if (bpf_l3_csum_replace(skb, ETH_HLEN + offsetof(struct iphdr, check), from, to, sizeof(to)) ||
      bpf_skb_store_bytes(skb, ETH_HLEN + field, &to, sizeof(to), 0))
    return FK_DROP_MALFORMED;
  return PASS;
}

// Mends the checksum of the quoted transport header, if so much was quoted, and the ICMP checksum
// for it.
static __always_inline void replace_quoted_check(struct __sk_buff* skb, __u32 icmp, __u32 transport,
                                                 __u8 protocol, __be32 from, __be32 to) {
  __u16 old, new;
  int in_packet = check_offset(protocol);
  if (in_packet < 0) return;
  if (bpf_skb_load_bytes(skb, transport + in_packet, &old, sizeof(old))) return;
  if (protocol == IPPROTO_UDP && old == 0) return;
  new = updated_check(old, from, to);
  if (protocol == IPPROTO_UDP && new == 0) new = 0xffff;
  bpf_skb_store_bytes(skb, transport + in_packet, &new, sizeof(new), 0);
  bpf_l4_csum_replace(skb, icmp + ICMP_CHECK_OFFSET, old, new, sizeof(new));
}

// An ICMP error quotes the packet it is about: one that the other side of this translation sent or
// received. `field` is where that packet must hold t->from. The quoted header's own checksum makes
// up for the changed address, so the ICMP checksum stays right for both.
static __always_inline int translate_quote(struct __sk_buff* skb, const struct iphdr* ip,
                                           const struct translation* t, int field) {
  __u32 icmp = ETH_HLEN + ip->ihl * 4;
  __u32 quote = icmp + ICMP_HEADER_BYTES;
  struct iphdr quoted;
  __u8 type;
  if (ip->protocol != IPPROTO_ICMP || (ip->frag_off & bpf_htons(0x1fff))) return PASS;
  if (bpf_skb_load_bytes(skb, icmp, &type, sizeof(type))) return FK_DROP_MALFORMED;
  if (!is_icmp_error(type)) return PASS;
  if (bpf_skb_load_bytes(skb, quote, &quoted, sizeof(quoted))) return FK_DROP_QUOTED;
  if (quoted.version != 4 || quoted.ihl < 5) return FK_DROP_QUOTED;
  if ((field == offsetof(struct iphdr, saddr) ? quoted.saddr : quoted.daddr) != t->from)
    return FK_DROP_QUOTED;
  bpf_l3_csum_replace(skb, quote + offsetof(struct iphdr, check), t->from, t->to, sizeof(t->to));
  bpf_skb_store_bytes(skb, quote + field, &t->to, sizeof(t->to), 0);
  if (!(quoted.frag_off & bpf_htons(0x1fff)))
    replace_quoted_check(skb, icmp, quote + quoted.ihl * 4, quoted.protocol, t->from, t->to);
  return PASS;
}

static __always_inline int load_arp(struct __sk_buff* skb, struct arp_ipv4* arp) {
  if (bpf_skb_load_bytes(skb, ETH_HLEN, arp, sizeof(*arp))) return FK_DROP_MALFORMED;
  if (arp->hardware != bpf_htons(ARP_HARDWARE_ETHERNET) || arp->protocol != bpf_htons(ETH_P_IP) ||
      arp->hardware_length != 6 || arp->protocol_length != 4)
    return FK_DROP_MALFORMED;
  return PASS;
}

static __always_inline int load_ip(struct __sk_buff* skb, struct iphdr* ip) {
  if (bpf_skb_load_bytes(skb, ETH_HLEN, ip, sizeof(*ip))) return FK_DROP_MALFORMED;
  return ip->version == 4 && ip->ihl >= 5 ? PASS : FK_DROP_MALFORMED;
}

#include "drivers/bpf/fragments.bpf.h"

#include "drivers/bpf/checksum.bpf.h"
#include "drivers/bpf/dhcp.bpf.h"

static __always_inline int arp_from_guest(struct __sk_buff* skb, const struct translation* t) {
  struct arp_ipv4 arp;
  int result = load_arp(skb, &arp);
  if (result != PASS) return result;
  if (is_checksum_pending(skb)) return FK_DROP_CHECKSUM;
  // Sender 0.0.0.0 is the probe for a duplicate (RFC 5227).
  if (!same_mac(arp.sender_mac, t->from_mac) ||
      (arp.sender_address && arp.sender_address != t->from))
    return FK_DROP_ARP_SENDER;
  __builtin_memcpy(arp.sender_mac, t->to_mac, 6);
  if (arp.sender_address) arp.sender_address = t->to;
  if (arp.target_address == t->from) arp.target_address = t->to;
  if (same_mac(arp.target_mac, t->from_mac)) __builtin_memcpy(arp.target_mac, t->to_mac, 6);
  return bpf_skb_store_bytes(skb, ETH_HLEN, &arp, sizeof(arp), 0) ? FK_DROP_MALFORMED : PASS;
}

static __always_inline int ip_from_guest(struct __sk_buff* skb, const struct translation* t,
                                         const struct fk_identity* id) {
  struct iphdr ip;
  int result = load_ip(skb, &ip);
  if (result != PASS) return result;
  result = judge_pending_checksum(skb, &ip);
  if (result != PASS) return result;
  if (asks_for_lease(skb, &ip)) return answer_dhcp(skb, &ip, id);
  if (ip.saddr != t->from) return FK_DROP_SOURCE_ADDRESS;
  result = judge_fragment(skb, &ip);
  if (result != PASS) return result;
  if (plays_dhcp_server(skb, &ip)) return FK_DROP_DHCP;
  result = translate_quote(skb, &ip, t, offsetof(struct iphdr, daddr));
  if (result != PASS) return result;
  /* Not ARP: the host looks routes up for that too, and no rule of the table sees it. */
  skb->mark = UNJUDGED_MARK;
  return replace_address(skb, &ip, offsetof(struct iphdr, saddr), t->from, t->to);
}

// PASS, ANSWER, or the reason to drop.
static __always_inline int translate_from_guest(struct __sk_buff* skb,
                                                const struct fk_identity* id) {
  const struct translation t = {id->inner_mac, id->outer_mac, id->inner_address, id->outer_address};
  struct ethhdr eth;
  int result;
  if (bpf_skb_load_bytes(skb, 0, &eth, sizeof(eth))) return FK_DROP_MALFORMED;
  if (!same_mac(eth.h_source, t.from_mac)) return FK_DROP_SOURCE_MAC;
  if (skb->vlan_present) return FK_DROP_ETHER_TYPE;
  if (eth.h_proto == bpf_htons(ETH_P_IP))
    result = ip_from_guest(skb, &t, id);
  else if (eth.h_proto == bpf_htons(ETH_P_ARP))
    result = arp_from_guest(skb, &t);
  else
    result = FK_DROP_ETHER_TYPE;
  if (result != PASS) return result;
  return bpf_skb_store_bytes(skb, offsetof(struct ethhdr, h_source), t.to_mac, 6, 0)
             ? FK_DROP_MALFORMED
             : PASS;
}

static __always_inline int arp_to_guest(struct __sk_buff* skb, const struct translation* t) {
  struct arp_ipv4 arp;
  int result = load_arp(skb, &arp);
  if (result != PASS) return result;
  // Somebody who has, or asks for, the address that the guest believes to be its own.
  if ((arp.target_address == t->to && t->to != t->from) || arp.sender_address == t->to)
    return FK_DROP_AMBIGUOUS;
  if (same_mac(arp.target_mac, t->from_mac)) __builtin_memcpy(arp.target_mac, t->to_mac, 6);
  if (arp.target_address == t->from) arp.target_address = t->to;
  return bpf_skb_store_bytes(skb, ETH_HLEN, &arp, sizeof(arp), 0) ? FK_DROP_MALFORMED : PASS;
}

static __always_inline int ip_to_guest(struct __sk_buff* skb, const struct translation* t,
                                       int unicast) {
  struct iphdr ip;
  int result = load_ip(skb, &ip);
  if (result != PASS) return result;
  if ((ip.daddr == t->to && t->to != t->from) || ip.saddr == t->to) return FK_DROP_AMBIGUOUS;
  if (ip.daddr != t->from) return unicast ? FK_DROP_DESTINATION : PASS;
  result = translate_quote(skb, &ip, t, offsetof(struct iphdr, saddr));
  if (result != PASS) return result;
  return replace_address(skb, &ip, offsetof(struct iphdr, daddr), t->from, t->to);
}

static __always_inline int translate_to_guest(struct __sk_buff* skb, const struct fk_identity* id) {
  const struct translation t = {id->outer_mac, id->inner_mac, id->outer_address, id->inner_address};
  struct ethhdr eth;
  int result;
  if (bpf_skb_load_bytes(skb, 0, &eth, sizeof(eth))) return FK_DROP_MALFORMED;
  if (is_dhcp_answer(skb, &eth, id)) return PASS;
  int unicast = !(eth.h_dest[0] & 1);
  if (unicast && !same_mac(eth.h_dest, t.from_mac)) return FK_DROP_DESTINATION;
  if (skb->vlan_present) return FK_DROP_ETHER_TYPE;
  if (eth.h_proto == bpf_htons(ETH_P_IP))
    result = ip_to_guest(skb, &t, unicast);
  else if (eth.h_proto == bpf_htons(ETH_P_ARP))
    result = arp_to_guest(skb, &t);
  else
    result = FK_DROP_ETHER_TYPE;
  if (result != PASS || !unicast) return result;
  return bpf_skb_store_bytes(skb, offsetof(struct ethhdr, h_dest), t.to_mac, 6, 0)
             ? FK_DROP_MALFORMED
             : PASS;
}

static __always_inline int from_guest_any(struct __sk_buff* skb) {
  __u32 key = skb->ifindex;
  __u32 bytes = skb->len;
  const struct fk_identity* id = bpf_map_lookup_elem(&identities, &key);
  if (!id) return drop(skb, FK_DROP_NO_ENTRY);
  int result = translate_from_guest(skb, id);
  struct fk_counters* count = bpf_map_lookup_elem(&counters, &key);
  if (result == ANSWER) {
    if (count) count->dhcp_answers++;
    return bpf_redirect(key, 0);
  }
  if (result != PASS) return drop(skb, result);
  if (count) {
    count->from_guest_packets++;
    count->from_guest_bytes += bytes;
  }
  skb->priority = PRIORITY_MAJOR | (key & 0xffff);
  return PASS;
}

SEC("tc") int from_guest(struct __sk_buff* skb) {
  int result = from_guest_any(skb);
  if (result != PASS) return result;
  return bpf_redirect(IFB_INDEX_BASE + ((skb->ifindex >> 16) & 0xff), 0);
}

// The same for kernels whose bpf_redirect would send the packet through clsact again: act_mirred of
// the next filter takes it to the IFB.
SEC("tc") int from_guest_mirred(struct __sk_buff* skb) { return from_guest_any(skb); }

// That next filter: matches everything and leaves the verdict to its action.
SEC("tc") int match_all(struct __sk_buff* skb) {
  (void)skb;
  return -1;
}

/* Where upload is shaped on the uplink: the priority is lost when the host forwards the packet, the
 * mark is not. It is the TAP's index, which says whose the packet is, once it is judged: the bits
 * of the unjudged mark include those of the index's range. */
SEC("tc") int from_guest_mark(struct __sk_buff* skb) {
  int result = from_guest_any(skb);
  if (result == PASS) skb->mark |= skb->ifindex;
  return result;
}

/* The classifier of the HTB on the uplink. A guest whose number is no class of that HTB's, and a
 * class that is not there yet, mean the small default class. */
SEC("tc") int class_of_mark(struct __sk_buff* skb) {
  if ((skb->mark & INDEX_RANGE_MASK) != TAP_INDEX_BASE)
    skb->tc_classid = HOST_CLASS_MINOR;
  else
    skb->tc_classid = skb->mark & 0x00ff0000u ? DEFAULT_CLASS_MINOR : skb->mark & 0xffff;
  return TC_ACT_OK;
}

SEC("tc") int to_guest(struct __sk_buff* skb) {
  __u32 key = skb->ifindex;
  const struct fk_identity* id = bpf_map_lookup_elem(&identities, &key);
  if (!id) return drop(skb, FK_DROP_NO_ENTRY);
  int result = translate_to_guest(skb, id);
  if (result != PASS) return drop(skb, result);
  struct fk_counters* count = bpf_map_lookup_elem(&counters, &key);
  if (count) {
    count->to_guest_packets++;
    count->to_guest_bytes += skb->len;
  }
  return PASS;
}

// GPL, for the helpers the kernel gives to no other.
char _license[] SEC("license") = "GPL";
