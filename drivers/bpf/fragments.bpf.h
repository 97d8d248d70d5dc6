// A budget for the fragments that guests send (docs/adr/0005-fragments-of-guests.md). The host puts
// them together before it tracks connections, in memory that all share
// (net.ipv4.ipfrag_high_thresh, 4 MiB), and keeps what is incomplete for 30 s (ipfrag_time):
// without a budget one guest takes all of it and everybody's fragments are lost, the host's own
// too. Included by identity.bpf.c.
//
// What can be under way at once is BURST + 30 s of PER_SECOND: 304 fragments of one TAP, 1472 of
// all, of at most 2304 bytes (a frame of 1514 with the kernel's own share): 3.4 MB.
#pragma once

#define NANOSECONDS 1000000000ull
#define TAP_FRAGMENTS_BURST 64 /* a datagram of 64 KiB is 45 */
#define TAP_FRAGMENTS_PER_SECOND 8
#define HOST_FRAGMENTS_BURST 512
#define HOST_FRAGMENTS_PER_SECOND 32

struct fk_budget {
  struct bpf_spin_lock lock;
  __u64 full_at;  // nanoseconds of CLOCK_MONOTONIC
};

// Made with the first fragment of a TAP; key 0: of all.
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, FK_IDENTITIES_MAX);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, __u32);
  __type(value, struct fk_budget);
} fragments SEC(".maps");

static __always_inline int is_fragment(const struct iphdr* ip) {
  return (ip->frag_off & bpf_htons(0x3fff)) != 0;  // more to come, or not the first
}

// One of a budget that is full again at `full_at` (GCRA). 0: it is used up.
static __always_inline int take_one(__u32 key, __u64 burst, __u64 per_second) {
  const __u64 cost = NANOSECONDS / per_second;
  const __u64 now = bpf_ktime_get_ns();
  struct fk_budget* budget = bpf_map_lookup_elem(&fragments, &key);
  int granted = 0;
  if (!budget) {
    const struct fk_budget unused = {};
    bpf_map_update_elem(&fragments, &key, &unused, BPF_NOEXIST);
    budget = bpf_map_lookup_elem(&fragments, &key);
    if (!budget) return 0;
  }
  bpf_spin_lock(&budget->lock);
  __u64 full_at = budget->full_at > now ? budget->full_at : now;
  if (full_at + cost <= now + burst * cost) {
    budget->full_at = full_at + cost;
    granted = 1;
  }
  bpf_spin_unlock(&budget->lock);
  return granted;
}

// PASS, or the reason to drop.
static __always_inline int judge_fragment(const struct __sk_buff* skb, const struct iphdr* ip) {
  if (!is_fragment(ip)) return PASS;
  return take_one(skb->ifindex, TAP_FRAGMENTS_BURST, TAP_FRAGMENTS_PER_SECOND) &&
                 take_one(0, HOST_FRAGMENTS_BURST, HOST_FRAGMENTS_PER_SECOND)
             ? PASS
             : FK_DROP_FRAGMENTS;
}
