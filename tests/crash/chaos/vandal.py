"""The second process: does to the daemon's things whatever ip, tc, nft, bpf(2) and sysctl can, one after the other.

usage: vandal.py SEED SECONDS      prints how often it did what, as JSON, when the time is over
"""

import collections
import json
import os
import random
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "../.."), os.path.join(HERE, "../simulated")]
import host  # noqa: E402

LOOK_AGAIN = 20  # acts between looks at what there is

# {tap}, {ip}, {minor}: of something that is there. Half of them succeed: things come and go.
OF_TAP = [
    "ip link del dev {tap}", "ip link set dev {tap} down", "ip link set dev {tap} nomaster",
    "ip link set dev {tap} mtu 1400", "ip link set dev {tap} alias vandal", "ip link set dev {tap} name mine{minor}",
    "bridge link set dev {tap} isolated off", "tc qdisc del dev {tap} root", "tc qdisc del dev {tap} clsact",
    "tc qdisc change dev {tap} root handle 7f01: tbf rate 1gbit burst 62500 limit 312500",
    "tc qdisc replace dev {tap} root handle 9: pfifo limit 9",
    "tc filter del dev {tap} ingress", "tc filter del dev {tap} egress pref 1",
    "tc class del dev fkifb0 classid 7f00:{minor}",
    "tc class change dev fkifb0 parent 7f00:fffe classid 7f00:{minor} htb rate 1gbit quantum 20000",
    "ip route del {ip}/32 dev fkbr0", "ip neigh del {ip} dev fkbr0",
    "ip neigh replace {ip} lladdr 02:00:00:00:00:66 dev fkbr0 nud permanent",
    "sysctl -qw net.ipv6.conf.{tap}.disable_ipv6=0", "map delete {tap}", "map change {tap}",
]
OF_HOST = [
    "ip link del dev fkbr0", "ip link set dev fkbr0 down", "ip addr flush dev fkbr0", "ip neigh flush dev fkbr0 nud permanent",
    "ip link set dev fkbr0 address 02:00:00:00:00:77", "ip link del dev fkifb0", "ip link set dev fkifb0 down",
    "tc qdisc del dev fkifb0 root", "tc class del dev fkifb0 classid 7f00:ffff",
    "tc class change dev fkifb0 classid 7f00:fffe htb rate 1mbit quantum 20000",
    "tc class add dev fkifb0 parent 7f00:fffe classid 7f00:abcd htb rate 1mbit quantum 20000",
    "nft delete table inet forkplane", "nft flush chain inet forkplane forward",
    "nft insert rule inet forkplane forward accept", "sysctl -qw net.ipv4.ip_forward=0",
]
HOST_SHARE = 0.04  # what all VMs hang on is rare: else nothing else would be seen to break


def taps():
    names = [line.split()[0] for line in subprocess.run(["ip", "-br", "link"], check=False, capture_output=True,
                                                        text=True).stdout.splitlines()]
    return [name for name in names if len(name) == 10 and name.startswith("fk46")]


def act(line):
    words = line.split()
    if words[0] == "map":
        return host.break_identity(int(words[2][2:], 16), delete=words[1] == "delete")
    return subprocess.run(words, check=False, capture_output=True).returncode == 0


def main():
    chance = random.Random(int(sys.argv[1]))
    deadline = time.monotonic() + float(sys.argv[2])
    done, tried = collections.Counter(), 0
    there, addresses = [], []
    while time.monotonic() < deadline:
        if tried % LOOK_AGAIN == 0:
            there, addresses = taps(), list(host.host_routes())
        tried += 1
        if not there or not addresses or chance.random() < HOST_SHARE:
            template = chance.choice(OF_HOST)
        else:
            template = chance.choice(OF_TAP)
        tap = chance.choice(there) if there else "none"
        line = template.format(tap=tap, minor=tap[6:].lstrip("0") or "1", ip=chance.choice(addresses or ["0.0.0.0"]))
        if act(line):
            done[template] += 1
    print(json.dumps({"tried": tried, "done": done}))


if __name__ == "__main__":
    main()
