// The DHCP answer, made out of the question by the ingress program (RFC 2131, 2132). All clones of
// a memory image get the same lease, for ever, so that none has to be renewed; no daemon, socket or
// port takes part. Included by identity.bpf.c.
//
//   DISCOVER -> OFFER; REQUEST -> ACK, or NAK when another address is asked for; everything else
//   from 0.0.0.0 is dropped.
//
// Kernel facts this relies on: bpf_skb_change_tail can grow only a linear packet (a paged one makes
// the kernel warn); what it adds was zero on 6.18 (measured), which is promised nowhere. It refuses
// to cut into a checksum that is still to be made (CHECKSUM_PARTIAL), which is the only way to see
// one from here.
#pragma once

#define DHCP_SERVER_PORT 67
#define DHCP_CLIENT_PORT 68
#define DHCP_COOKIE 0x63825363u
#define DHCP_REQUEST 1 /* op: BOOTREQUEST */
#define DHCP_REPLY 2
#define DHCP_OPTIONS_MAX 32
#define DHCP_LEASE_FOR_EVER 0xffffffffu

enum { DHCP_DISCOVER = 1, DHCP_OFFER, DHCP_REQUEST_ADDRESS, DHCP_DECLINE, DHCP_ACK, DHCP_NAK };
enum {
  OPTION_PAD = 0,
  OPTION_NETMASK = 1,
  OPTION_ROUTER = 3,
  OPTION_DNS = 6,
  OPTION_MTU = 26,
  OPTION_REQUESTED = 50,
  OPTION_LEASE_TIME = 51,
  OPTION_TYPE = 53,
  OPTION_SERVER = 54,
  OPTION_END = 255
};

// What stands in front of sname, file, the cookie and the options.
struct dhcp_message {
  __u8 operation, hardware, hardware_length, hops;
  __be32 transaction;
  __be16 seconds, flags;
  __be32 client, yours, server, relay;
  __u8 client_mac[6], client_mac_padding[10];
} __attribute__((packed));

// The server's name and the boot file, which nobody has.
#define DHCP_NAMES_BYTES 192
#define DHCP_COOKIE_OFFSET (sizeof(struct dhcp_message) + DHCP_NAMES_BYTES)

struct dhcp_address {
  __u8 code, length;
  __be32 address;
} __attribute__((packed));

struct dhcp_head {
  struct ethhdr eth;
  struct iphdr ip;
  struct udphdr udp;
  struct dhcp_message message;
} __attribute__((packed));

struct dhcp_options {
  __be32 cookie;
  __u8 type_code, type_length, type;
  struct dhcp_address server, lease_time, netmask, router;
  __u8 mtu_code, mtu_length;
  __be16 mtu;
  __u8 dns_code, dns_length;
  __be32 dns[FK_DNS_MAX];
  __u8 end, padding[18];
} __attribute__((packed));

#define DHCP_FRAME_BYTES \
  (sizeof(struct dhcp_head) + DHCP_NAMES_BYTES + sizeof(struct dhcp_options)) /* 342 */
_Static_assert(sizeof(struct dhcp_head) + DHCP_NAMES_BYTES + sizeof(struct dhcp_options) == 342,
               "300 bytes of message, the least a client must be sent");

// What the question's options say.
struct dhcp_question {
  __u8 type;
  __u8 has_requested;
  __be32 requested;
};

static __always_inline int udp_ports(struct __sk_buff* skb, const struct iphdr* ip,
                                     __be16 ports[2]) {
  if (ip->protocol != IPPROTO_UDP || (ip->frag_off & bpf_htons(0x1fff))) return 0;
  return bpf_skb_load_bytes(skb, ETH_HLEN + ip->ihl * 4, ports, 4) == 0;
}

// A whole packet of a client without an address.
static __always_inline int asks_for_lease(struct __sk_buff* skb, const struct iphdr* ip) {
  __be16 ports[2];
  if (ip->saddr || ip->daddr != 0xffffffffu || (ip->frag_off & bpf_htons(0x3fff))) return 0;
  return udp_ports(skb, ip, ports) && ports[0] == bpf_htons(DHCP_CLIENT_PORT) &&
         ports[1] == bpf_htons(DHCP_SERVER_PORT);
}

// A guest that would answer others in our place, where isolation is off.
static __always_inline int plays_dhcp_server(struct __sk_buff* skb, const struct iphdr* ip) {
  __be16 ports[2];
  return udp_ports(skb, ip, ports) && ports[1] == bpf_htons(DHCP_CLIENT_PORT);
}

// Sent back by the ingress program of the same TAP. No other frame has it for origin: a bridge does
// not return one to the port it came from, and what the host sends or routes has none, or the
// bridge. Were a packet routed straight back one day, it would be addressed to the outer MAC.
static __always_inline int is_dhcp_answer(struct __sk_buff* skb, const struct ethhdr* eth,
                                          const struct fk_identity* id) {
  return skb->ingress_ifindex == skb->ifindex && same_mac(eth->h_dest, id->inner_mac);
}

// PASS, or the reason to drop. `end` is the end of the datagram: an option that passes it is found
// out by what should follow.
static __always_inline int load_options(struct __sk_buff* skb, __u32 at, __u32 end,
                                        struct dhcp_question* question) {
  for (int i = 0; i < DHCP_OPTIONS_MAX; i++) {
    struct {
      __u8 code, length;
    } option;
    if (at >= end || bpf_skb_load_bytes(skb, at, &option.code, 1)) return FK_DROP_MALFORMED;
    if (option.code == OPTION_END) return PASS;
    at++;
    if (option.code == OPTION_PAD) continue;
    if (at >= end || bpf_skb_load_bytes(skb, at, &option.length, 1)) return FK_DROP_MALFORMED;
    at++;
    if (option.code == OPTION_TYPE) {
      if (option.length != 1 || bpf_skb_load_bytes(skb, at, &question->type, 1))
        return FK_DROP_MALFORMED;
    } else if (option.code == OPTION_REQUESTED) {
      if (option.length != 4 || bpf_skb_load_bytes(skb, at, &question->requested, 4))
        return FK_DROP_MALFORMED;
      question->has_requested = 1;
    }
    at += option.length;
  }
  return FK_DROP_MALFORMED;
}

// PASS, or the reason to drop.
static __always_inline int load_question(struct __sk_buff* skb, const struct iphdr* ip,
                                         const struct fk_identity* id, struct dhcp_message* message,
                                         struct dhcp_question* question) {
  struct udphdr udp;
  __be32 cookie;
  __u32 at = ETH_HLEN + ip->ihl * 4;
  if (bpf_skb_load_bytes(skb, at, &udp, sizeof(udp))) return FK_DROP_MALFORMED;
  __u32 end = at + bpf_ntohs(udp.len);
  if (end > ETH_HLEN + (__u32)bpf_ntohs(ip->tot_len) || end > skb->len) return FK_DROP_MALFORMED;
  at += sizeof(udp);
  if (bpf_skb_load_bytes(skb, at, message, sizeof(*message)) ||
      bpf_skb_load_bytes(skb, at + DHCP_COOKIE_OFFSET, &cookie, sizeof(cookie)))
    return FK_DROP_MALFORMED;
  if (message->operation != DHCP_REQUEST || message->hardware != ARP_HARDWARE_ETHERNET ||
      message->hardware_length != 6 || !same_mac(message->client_mac, id->inner_mac) ||
      cookie != bpf_htonl(DHCP_COOKIE))
    return FK_DROP_MALFORMED;
  return load_options(skb, at + DHCP_COOKIE_OFFSET + sizeof(cookie), end, question);
}

// 0: nothing is answered.
static __always_inline __u8 answer_type(const struct dhcp_question* question, __be32 address) {
  if (question->type == DHCP_DISCOVER) return DHCP_OFFER;
  if (question->type != DHCP_REQUEST_ADDRESS) return 0;
  return question->has_requested && question->requested != address ? DHCP_NAK : DHCP_ACK;
}

static __always_inline __u16 folded(__u32 sum) {
  sum = (sum & 0xffff) + (sum >> 16);
  return (__u16)((sum & 0xffff) + (sum >> 16));
}

// Makes room for the answer, and only for it. 1: a checksum is still to be made where the
// question's UDP checksum was; 0: none is; else negative.
static __always_inline int resize(struct __sk_buff* skb, const struct iphdr* ip) {
  // Longer than any question; and the rest has to be made linear.
  if (skb->len > ETH_FRAME_LEN || bpf_skb_pull_data(skb, skb->len)) return -1;
  int partial = bpf_skb_change_tail(skb, ETH_HLEN + ip->ihl * 4, 0) != 0;
  // It will be made where the question's header ends, which must be where the answer's does.
  if (partial && ip->ihl != 5) return -1;
  return bpf_skb_change_tail(skb, DHCP_FRAME_BYTES, 0) ? -1 : partial;
}

static __always_inline int store_head(struct __sk_buff* skb, const struct dhcp_message* message,
                                      const struct fk_identity* id, __u8 type, int partial) {
  // In registers: a constant array would be a map (.rodata), new at each load and bound to every
  // program, so that a restarted daemon would adopt none.
  const __be16 mac_high = bpf_htons(FK_GATEWAY_MAC_HIGH);
  const __be32 mac_low = bpf_htonl(FK_GATEWAY_MAC_LOW);
  struct dhcp_head head = {};
  const __u16 udp_bytes = DHCP_FRAME_BYTES - ETH_HLEN - sizeof(head.ip);
  const __u32 addresses =
      (id->gateway & 0xffff) + (id->gateway >> 16) + 0xffff + 0xffff;  // and the broadcast one
  __builtin_memcpy(head.eth.h_dest, id->inner_mac, 6);
  __builtin_memcpy(head.eth.h_source, &mac_high, 2);
  __builtin_memcpy(head.eth.h_source + 2, &mac_low, 4);
  head.eth.h_proto = bpf_htons(ETH_P_IP);
  head.ip.version = 4;
  head.ip.ihl = 5;
  head.ip.tot_len = bpf_htons(DHCP_FRAME_BYTES - ETH_HLEN);
  head.ip.ttl = 64;
  head.ip.protocol = IPPROTO_UDP;
  head.ip.saddr = id->gateway;
  head.ip.daddr = 0xffffffffu;
  head.ip.check =
      ~folded(addresses + bpf_htons(0x4500) + head.ip.tot_len + bpf_htons(64 << 8 | IPPROTO_UDP));
  head.udp.source = bpf_htons(DHCP_SERVER_PORT);
  head.udp.dest = bpf_htons(DHCP_CLIENT_PORT);
  head.udp.len = bpf_htons(udp_bytes);
  // None; but one that is still to be made begins with that of the pseudo header.
  if (partial) head.udp.check = folded(addresses + bpf_htons(IPPROTO_UDP) + head.udp.len);
  head.message.operation = DHCP_REPLY;
  head.message.hardware = ARP_HARDWARE_ETHERNET;
  head.message.hardware_length = 6;
  head.message.transaction = message->transaction;
  head.message.flags = message->flags;
  __builtin_memcpy(head.message.client_mac, id->inner_mac, 6);
  if (type != DHCP_NAK) {
    head.message.yours = id->inner_address;
    head.message.server = id->gateway;
  }
  return bpf_skb_store_bytes(skb, 0, &head, sizeof(head), 0);
}

static __always_inline int store_options(struct __sk_buff* skb, const struct fk_identity* id,
                                         __u8 type) {
  struct dhcp_options options = {};
  options.cookie = bpf_htonl(DHCP_COOKIE);
  options.type_code = OPTION_TYPE;
  options.type_length = 1;
  options.type = type;
  options.server = (struct dhcp_address){OPTION_SERVER, 4, id->gateway};
  if (type == DHCP_NAK) {
    options.lease_time.code = OPTION_END;
  } else {
    options.lease_time = (struct dhcp_address){OPTION_LEASE_TIME, 4, DHCP_LEASE_FOR_EVER};
    options.netmask = (struct dhcp_address){OPTION_NETMASK, 4, id->netmask};
    options.router = (struct dhcp_address){OPTION_ROUTER, 4, id->gateway};
    options.mtu_code = OPTION_MTU;
    options.mtu_length = sizeof(options.mtu);
    options.mtu = bpf_htons(id->mtu);
    // The list ends behind the last server there is.
    if (!id->dns[0]) {
      options.dns_code = OPTION_END;
    } else {
      options.dns_code = OPTION_DNS;
      options.dns_length = id->dns[1] ? 8 : 4;
      options.dns[0] = id->dns[0];
      options.dns[1] = id->dns[1] ? id->dns[1] : bpf_htonl((__u32)OPTION_END << 24);
      if (id->dns[1]) options.end = OPTION_END;
    }
  }
  return bpf_skb_store_bytes(skb, sizeof(struct dhcp_head) + DHCP_NAMES_BYTES, &options,
                             sizeof(options), 0);
}

static __always_inline int store_names(struct __sk_buff* skb) {
  const __u64 zeros[8] = {};
  _Static_assert(DHCP_NAMES_BYTES == 3 * sizeof(zeros), "three pieces");
  const __u32 at = sizeof(struct dhcp_head);
  return bpf_skb_store_bytes(skb, at, zeros, sizeof(zeros), 0) ||
         bpf_skb_store_bytes(skb, at + sizeof(zeros), zeros, sizeof(zeros), 0) ||
         bpf_skb_store_bytes(skb, at + 2 * sizeof(zeros), zeros, sizeof(zeros), 0);
}

// ANSWER, or the reason to drop.
static __always_inline int answer_dhcp(struct __sk_buff* skb, const struct iphdr* ip,
                                       const struct fk_identity* id) {
  struct dhcp_message message;
  struct dhcp_question question = {};
  int result = load_question(skb, ip, id, &message, &question);
  if (result != PASS) return result;
  __u8 type = answer_type(&question, id->inner_address);
  if (!type) return FK_DROP_DHCP;
  int partial = resize(skb, ip);
  if (partial < 0 || store_head(skb, &message, id, type, partial) || store_names(skb) ||
      store_options(skb, id, type))
    return FK_DROP_MALFORMED;
  return ANSWER;
}
