"""Hears what comes out of a link."""

import socket
import struct
import threading
from collections import namedtuple

ETH_P_ALL = 3
ETH_P_IP = 0x0800
ETH_P_ARP = 0x0806
ETHERNET_BYTES = 14
PROTOCOL_ICMP = 1
PACKET_OUTGOING = 4

# `kind` is "arp", "announcement" (an ARP frame about its sender) or "icmp"; `source` is the IPv4 address it claims.
Frame = namedtuple("Frame", "kind source mac")


class Listener:
    """From `with` to its end: the ARP and ICMP frames that came out of a link, and the largest of all frames."""

    def __init__(self, link):
        self.frames = []
        self.largest_in = self.largest_out = 0  # of those that came out of the link, that went into it
        self.ended = threading.Event()
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        self.socket.bind((link, ETH_P_ALL))
        self.socket.settimeout(0.1)
        self.thread = threading.Thread(target=self._listen, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()
        self.socket.close()

    def _listen(self):
        while not self.ended.is_set():
            try:
                data, (_, _, direction, *_) = self.socket.recvfrom(1 << 16)
            except TimeoutError:
                continue
            if direction == PACKET_OUTGOING:
                self.largest_out = max(self.largest_out, len(data))
                continue
            self.largest_in = max(self.largest_in, len(data))
            frame = parse(data)
            if frame:
                self.frames.append(frame)

    def heard(self, **wanted):
        """How many frames were as wanted, by the fields of Frame."""
        return sum(all(getattr(frame, name) == value for name, value in wanted.items()) for frame in self.frames)


def parse(data):
    """The Frame, or None."""
    mac = data[6:12].hex(":")
    (ether_type,) = struct.unpack_from("!H", data, 12)
    body = data[ETHERNET_BYTES:]
    if ether_type == ETH_P_ARP and len(body) >= 28:
        sender, target = body[14:18], body[24:28]
        return Frame("announcement" if sender == target else "arp", socket.inet_ntoa(sender), mac)
    if ether_type == ETH_P_IP and len(body) >= 20 and body[9] == PROTOCOL_ICMP:
        return Frame("icmp", socket.inet_ntoa(body[12:16]), mac)
    return None
