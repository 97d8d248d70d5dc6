"""Goal: --redirect and --leaf do what they say on a kernel that has it, and nothing at all on one that has not.

Method: every value in turn; the Host's status says what is in use, a simulated VM is shaped with it.
"""

import os

from support.lab import namespaces, traffic
from world import machine, network

NEEDS = []
PATIENCE = 30


def has_fq_codel():
    """By the loopback of this namespace, which nobody else uses."""
    done = namespaces.run("tc", "qdisc", "add", "dev", "lo", "root", "fq_codel", check=False)
    namespaces.run("tc", "qdisc", "del", "dev", "lo", "root", check=False)
    return done.returncode == 0


def run(world):
    line = world.report.line
    leaves = ["bfifo", "fq_codel"] if has_fq_codel() else ["bfifo"]
    for redirect in ("bpf", "mirred", "mark"):
        for leaf in leaves:
            what = f"--redirect {redirect} --leaf {leaf}"
            world.start("--redirect", redirect, "--leaf", leaf)
            name = f"{redirect}-{leaf}".replace("_", "-")
            world.apply(network(), machine(name))
            line(world.kubectl.wait(f"vm/{name}", "condition=NetworkShaped", PATIENCE), f"{what}: a VM is shaped")
            kernel = (world.kubectl.get("host", "e2e") or {}).get("status", {}).get("kernel", {})
            line((kernel.get("redirect"), kernel.get("leaf")) == (redirect, leaf), f"{what}: in use", str(kernel))
            world.kubectl("delete", "vm", name, "--timeout=30s")
    somebodys_uplink(world)
    if "fq_codel" in leaves:
        return
    refused = namespaces.run(world.binary, "serve", "--state-dir", os.path.join(world.state, "other"), "--listen",
                             "127.0.0.1:0", "--leaf", "fq_codel", check=False, timeout=PATIENCE)
    line(refused.returncode != 0 and "--leaf fq_codel: this kernel has none" in refused.stderr,
         "--leaf fq_codel is refused at start: this kernel has none", refused.stderr.strip())


def somebodys_uplink(world):
    """--redirect mark shapes on the uplink, unless somebody else does; another choice leaves it."""
    line = world.report.line
    root = lambda: namespaces.run("tc", "qdisc", "show", "dev", namespaces.UPLINK, "root").stdout.strip()  # noqa: E731
    line(root().startswith("qdisc htb 7f00:"), "--redirect mark: the uplink's root is a HTB", root())
    namespaces.run("tc", "qdisc", "replace", "dev", namespaces.UPLINK, "root", "handle", "9:", "pfifo")
    world.start("--redirect", "mark")
    line(world.kubectl.wait("host/e2e", "condition=NetworkReady=false", PATIENCE) and
         world.condition("host", "e2e", "NetworkReady").get("reason") == "UplinkTaken",
         "somebody's root qdisc there: the Host says so", world.condition("host", "e2e", "NetworkReady").get("message", ""))
    line(root().startswith("qdisc pfifo 9:"), "and it is left alone", root())
    shut = lambda: namespaces.run("nft", "list", "set", "inet", "forkplane", "unshaped").stdout  # noqa: E731
    line(traffic.until(lambda: f'"{namespaces.UPLINK}"' in shut(), PATIENCE) is not None,
         "nothing that guests send leaves by it", shut())
    namespaces.run("tc", "qdisc", "del", "dev", namespaces.UPLINK, "root")
    line(world.kubectl.wait("host/e2e", "condition=NetworkReady", PATIENCE), "freed: it is ours", root())
    line(traffic.until(lambda: namespaces.UPLINK not in shut(), PATIENCE) is not None, "and open again", shut())
    world.start()
    line(world.kubectl.wait("host/e2e", "condition=NetworkReady", PATIENCE) and "7f00:" not in root(),
         "back on an IFB nothing of ours is left on it", root())
