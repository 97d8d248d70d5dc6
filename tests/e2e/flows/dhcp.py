"""Goal: a guest that is told nothing on its command line asks by DHCP, and what it was given stays true in its clones.

Method: udhcpc of a real guest; it asks again in two clones, at the same time and while no daemon runs.
"""

import concurrent.futures
import os
import re

from support.lab import traffic as lab
from world import guest_machine, machine, network

NEEDS = ["guest"]
BOOT_SECONDS = 90
ASK_SECONDS = 20
CLONES = ("one", "two")
LEASE = {"address": "10.90.0.2/24", "router": "10.90.0.1", "serverid": "10.90.0.1", "dns": "1.1.1.1 9.9.9.9",
         "mtu": "1400", "lease": str(0xffffffff)}


def snapshot():
    return {"apiVersion": "forkplane.dev/v1alpha1", "kind": "Snapshot", "metadata": {"name": "warm", "namespace": "default"},
            "spec": {"source": {"virtualMachineName": "base"}}}


def run(world):
    line = world.report.line
    world.start("--image-roots", os.environ["FORKPLANE_LAB_IMAGES"])
    links = world.links_at_start
    boot = {"kernel": "guest/vmlinuz", "initramfs": "guest/initramfs", "cmdline": "ip=dhcp"}
    world.apply(network(mtu=1400, dns=["1.1.1.1", "9.9.9.9"]), guest_machine("base", boot=boot))
    world.kubectl.wait("vm/base", "condition=Ready", BOOT_SECONDS)
    at = world.address("base")
    line(lab.answers(at, BOOT_SECONDS) is not None, "a guest that asks gets its address", at)
    line(answers(world) >= 2, "an offer and an acknowledgement are counted", str(answers(world)))
    page = lab.http_get(at)
    line(f"ip={LEASE['address']} " in page, "it is the inner one, found by the guest's init", page.strip())
    line(ask(at) == LEASE, "the lease says what the Network is", str(ask(at)))
    world.apply(snapshot())
    world.kubectl.wait("vmsnap/warm", "condition=Ready", BOOT_SECONDS)
    world.apply(*[machine(name, hypervisor="qemu", restoreFrom={"snapshotName": "warm"}) for name in CLONES])
    for name in CLONES:
        world.kubectl.wait(f"vm/{name}", "condition=Ready", BOOT_SECONDS)
        line(lab.answers(world.address(name), BOOT_SECONDS) is not None, f"clone {name} answers without asking")
    clones = [world.address(name) for name in CLONES]
    before = answers(world)
    line(ask_all(clones) == [LEASE, LEASE], "both clones ask at once: the same lease")
    line(answers(world) == before + 4, "two answers to each", str(answers(world) - before))
    world.daemon.stop()
    line(ask_all(clones) == [LEASE, LEASE], "and while no daemon runs")
    world.start("--image-roots", os.environ["FORKPLANE_LAB_IMAGES"])
    world.links_at_start = links
    world.kubectl("delete", "vm", "--all", "--timeout=60s")
    world.kubectl("delete", "vmsnap/warm", "--timeout=60s")
    world.kubectl("delete", "network/default", "--timeout=30s")
    line(world.made() == [], "nothing is left", str(world.made()))


def answers(world):
    return int(re.search(r"^forkplane_dhcp_answers_total (\d+)", world.daemon.metrics(), re.MULTILINE).group(1))


def ask(at):
    """What the guest is told when it asks (again)."""
    page = lab.http_get(at, "/cgi-bin/ask", seconds=ASK_SECONDS)
    return dict(line.split("=", 1) for line in page.splitlines() if "=" in line)


def ask_all(addresses):
    with concurrent.futures.ThreadPoolExecutor() as pool:
        return list(pool.map(ask, addresses))
