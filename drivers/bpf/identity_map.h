/* The two maps as the programs (C) and the driver (C++) see them. Both are keyed by interface
 * index. Addresses are in network byte order. A change here is a new layout: pinned maps of the
 * old one are left to the programs that still use them and new ones are made. */
#pragma once

#include <linux/types.h>

/* kGatewayMac of network_names.h: its first two bytes and the other four. */
#define FK_GATEWAY_MAC_HIGH 0x02fcu
#define FK_GATEWAY_MAC_LOW 0x00000001u
#define FK_DNS_MAX 2

struct fk_identity {
  __u8 inner_mac[6];
  __u8 outer_mac[6];
  __u32 inner_address;
  __u32 outer_address;
  __u32 gateway;
  /* Told to guests by DHCP. */
  __u32 netmask;
  __u32 dns[FK_DNS_MAX]; /* 0: none */
  __u16 mtu;             /* in host byte order */
  __u16 reserved;
};

/* In the order of drivers::DropReason. */
enum fk_drop {
  FK_DROP_NO_ENTRY,
  FK_DROP_SOURCE_MAC,
  FK_DROP_ARP_SENDER,
  FK_DROP_SOURCE_ADDRESS,
  FK_DROP_ETHER_TYPE,
  FK_DROP_MALFORMED,
  FK_DROP_DESTINATION,
  FK_DROP_AMBIGUOUS,
  FK_DROP_QUOTED,
  FK_DROP_DHCP,
  FK_DROP_CHECKSUM,
  FK_DROP_FRAGMENTS,
  FK_DROP_REASONS
};

/* One per CPU. Key 0 counts for the host: packets of interfaces without an entry. */
struct fk_counters {
  __u64 from_guest_packets;
  __u64 from_guest_bytes;
  __u64 to_guest_packets;
  __u64 to_guest_bytes;
  __u64 dhcp_answers;
  __u64 drops[FK_DROP_REASONS];
};

#define FK_IDENTITIES_MAX 65536
