"""What the kernel and the disk hold, read without a line of the daemon's: iproute2, the bpf system call, directories."""

import ctypes
import json
import os
import platform
import re
import struct

from support.lab.namespaces import run

IFB = "fkifb0"
IDENTITIES = "/sys/fs/bpf/forkplane/identities"
BPF_LOOKUP, BPF_UPDATE, BPF_DELETE, BPF_NEXT_KEY, BPF_OBJ_GET = 1, 2, 3, 4, 7
BPF_SYSCALL = {"x86_64": 321, "aarch64": 280}[platform.machine()]
IDENTITY_BYTES = 40  # drivers/bpf/identity_map.h: two MACs, three addresses, what DHCP tells


def links():
    """Our links by name."""
    return {link["ifname"]: link for link in json.loads(run("ip", "-j", "-d", "link").stdout)
            if link["ifname"].startswith("fk")}


def classes():
    """Upload classes by id, without the two of the host itself: {"7f00:1": (rate, ceil)}."""
    text = run("tc", "class", "show", "dev", IFB, check=False).stdout
    found = {}
    for name, rate, ceil in re.findall(r"class htb (\S+) .*?rate (\S+) ceil (\S+)", text):
        if name not in ("7f00:fffe", "7f00:ffff"):
            found[name] = (bits(rate), bits(ceil))
    return found


def tbfs():
    """Download rates by TAP."""
    text = run("tc", "qdisc", "show").stdout
    return {dev: bits(rate) for dev, rate in re.findall(r"qdisc tbf 7f01: dev (\S+) root .*?rate (\S+)", text)}


def bits(text):
    """"7Mbit" in bits per second, and a spec's "7M"."""
    number, unit = re.fullmatch(r"([\d.]+)([KMG]?)(?:bit)?", text).groups()
    return round(float(number) * {"": 1, "K": 10**3, "M": 10**6, "G": 10**9}[unit])


def programs(tap):
    """How many of our two programs are attached to the TAP."""
    return sum("bpf" in run("tc", "filter", "show", "dev", tap, side, check=False).stdout
               for side in ("ingress", "egress"))


RESERVED = "10.90.0.2"  # of the Network: its route is for the forwarding probe, and goes with the bridge


def _routes():
    return json.loads(run("ip", "-j", "route").stdout or "[]")


def host_routes():
    """Those of guests."""
    return {route["dst"]: route["dev"] for route in _routes()
            if route.get("dev", "").startswith("fk") and "/" not in route["dst"] and route["dst"] != RESERVED}


def blackholes():
    return [route["dst"] for route in _routes() if route.get("type") == "blackhole"]


def neighbours():
    return {entry["dst"]: entry["lladdr"] for entry in json.loads(run("ip", "-j", "neigh").stdout or "[]")
            if entry["dev"].startswith("fk") and "PERMANENT" in entry["state"]}


def addresses(link):
    listed = json.loads(run("ip", "-j", "-4", "addr", "show", "dev", link, check=False).stdout or "[]")
    return [f"{entry['local']}/{entry['prefixlen']}" for found in listed for entry in found.get("addr_info", [])]


def firewall():
    return run("nft", "list", "table", "inet", "forkplane", check=False).stdout


def _bpf(command, attributes):
    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(attributes, 128)
    return libc.syscall(BPF_SYSCALL, command, buffer, 128)


def _open_map():
    path = ctypes.create_string_buffer(IDENTITIES.encode())
    fd = _bpf(BPF_OBJ_GET, struct.pack("Q", ctypes.addressof(path)))
    if fd < 0:
        raise OSError(ctypes.get_errno(), IDENTITIES)
    return fd


def identities():
    """The map by interface index: (inner MAC, outer MAC, inner, outer, gateway address)."""
    fd = _open_map()
    try:
        return _entries(fd)
    finally:
        os.close(fd)


def break_identity(index, delete):
    """Deletes the entry of an interface, or gives it another outer address; whether there was one."""
    fd = _open_map()
    try:
        key = ctypes.c_uint32(index)
        value = ctypes.create_string_buffer(IDENTITY_BYTES)
        both = struct.pack("IxxxxQQQ", fd, ctypes.addressof(key), ctypes.addressof(value), 0)
        if delete:
            return _bpf(BPF_DELETE, both) == 0
        if _bpf(BPF_LOOKUP, both) != 0:
            return False
        value[19] = bytes([value.raw[19] ^ 0x40])
        return _bpf(BPF_UPDATE, both) == 0
    finally:
        os.close(fd)


def _entries(fd):
    found = {}
    key = ctypes.c_uint32(0)
    following = ctypes.c_uint32(0)
    value = ctypes.create_string_buffer(IDENTITY_BYTES)
    previous = 0  # a null pointer: the first key
    while _bpf(BPF_NEXT_KEY, struct.pack("IxxxxQQ", fd, previous, ctypes.addressof(following))) == 0:
        key.value = following.value
        previous = ctypes.addressof(key)
        if _bpf(BPF_LOOKUP, struct.pack("IxxxxQQ", fd, previous, ctypes.addressof(value))) == 0:
            raw = value.raw
            macs = tuple(":".join(f"{byte:02x}" for byte in raw[at:at + 6]) for at in (0, 6))
            ips = tuple(".".join(str(byte) for byte in raw[at:at + 4]) for at in (12, 16, 20))
            found[key.value] = macs + ips
    return found


def directories(state, kind):
    return set(os.listdir(os.path.join(state, kind)))


def machines(state):
    """The simulated machines by VM uid: what survives the daemon as a VMM would."""
    found = {}
    for uid in directories(state, "vms"):
        try:
            with open(os.path.join(state, "vms", uid, "simulated.json"), encoding="utf-8") as file:
                found[uid] = json.load(file)
        except FileNotFoundError:
            pass
    return found


def running(state):
    """The processes of the machines whose guest runs: {uid: (pid, startTicks)}."""
    return {uid: (machine["pid"], machine["startTicks"]) for uid, machine in machines(state).items()
            if machine["state"] == RUNNING}


RUNNING = 3  # vmm::MachineState::kRunning
