"""Goal: --redirect and --leaf do what they say on a kernel that has it, and nothing at all on one that has not.

Method: every value in turn; the Host's status says what is in use, a simulated VM is shaped with it.
"""

import os

from support.lab import namespaces
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
    for redirect in ("bpf", "mirred"):
        for leaf in leaves:
            what = f"--redirect {redirect} --leaf {leaf}"
            world.start("--redirect", redirect, "--leaf", leaf)
            name = f"{redirect}-{leaf}".replace("_", "-")
            world.apply(network(), machine(name))
            line(world.kubectl.wait(f"vm/{name}", "condition=NetworkShaped", PATIENCE), f"{what}: a VM is shaped")
            kernel = (world.kubectl.get("host", "e2e") or {}).get("status", {}).get("kernel", {})
            line((kernel.get("redirect"), kernel.get("leaf")) == (redirect, leaf), f"{what}: in use", str(kernel))
            world.kubectl("delete", "vm", name, "--timeout=30s")
    if "fq_codel" in leaves:
        return
    refused = namespaces.run(world.binary, "serve", "--state-dir", os.path.join(world.state, "other"), "--listen",
                             "127.0.0.1:0", "--leaf", "fq_codel", check=False, timeout=PATIENCE)
    line(refused.returncode != 0 and "--leaf fq_codel: this kernel has none" in refused.stderr,
         "--leaf fq_codel is refused at start: this kernel has none", refused.stderr.strip())
