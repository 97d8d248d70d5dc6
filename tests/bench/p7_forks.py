"""P7: from POST of a Fork to the guest's first HTTP answer, against a script that starts the same QEMU processes."""

import contextlib
import glob
import json
import os
import statistics
import subprocess
import sys
import time

from api_client import Addresses, Api
from bare_qemu import at_once, first_answer
from harness import CannotRun, percentile
from lab import kube
from lab.namespaces import run
from lab.traffic import answers, until

SLOWER_AT_MOST = 1.10
CIDR, GATEWAY, INNER = "10.90.0.0/24", "10.90.0.1/24", "10.90.0.2"
GATEWAY_MAC = "02:fc:00:00:00:01"
MEMORY_FD = 5
MEMORY = "96Mi"
PATIENCE_SECONDS = 120


def images_directory():
    return os.path.join(kube.cache_directory(), "images")


def prepare(build):
    """What needs the network outside: the guest's packages, made into an image once and kept in the cache."""
    binary = os.path.join(build, "controller/app/forkplane")
    if not os.path.exists(os.path.join(images_directory(), "guest", "initramfs")) and os.path.exists(binary):
        print("P7: downloading and making the guest image (once)", file=sys.stderr, flush=True)
        done = run(binary, "image", "build-guest", "--output", images_directory(), check=False)
        print(done.stderr, file=sys.stderr, end="")


class Ours:
    """A daemon with one booted guest and a Snapshot of it, "warm"."""

    def __init__(self, session):
        binary = session.program("controller/app/forkplane")
        state = session.directory("p7")
        if not os.path.exists(os.path.join(images_directory(), "guest", "initramfs")):
            raise CannotRun(f"no guest image: {binary} image build-guest --output {images_directory()}")
        self.state = state
        self.daemon = kube.Daemon(binary, state, "--image-roots", images_directory())
        self.daemon.start()
        self.api = Api(self.daemon.kubeconfig, state)
        self.addresses = Addresses(self.api)
        self.serial = 0
        self._snapshot()

    def _snapshot(self):
        self.api.create("networks", "Network", "default", {"cidr": CIDR}, namespaced=False)
        self.api.create("virtualmachines", "VirtualMachine", "base", {
            "memory": MEMORY, "boot": {"kernel": "guest/vmlinuz", "initramfs": "guest/initramfs"},
            "interfaces": [{"name": "eth0", "network": "default"}]})
        address = []

        def known():
            vm = self.api.get("virtualmachines", "base")
            address[:] = [i["ip"] for i in vm.get("status", {}).get("interfaces", []) if i.get("ip")]
            return bool(address)
        if until(known, PATIENCE_SECONDS, pause=0.05) is None:
            raise RuntimeError(f"the first VM got no address:\n{self.daemon.tail()}")
        if answers(address[0], PATIENCE_SECONDS) is None:
            raise RuntimeError(f"the first VM does not answer:\n{self.daemon.tail()}")
        self.api.create("snapshots", "Snapshot", "warm", {"source": {"virtualMachineName": "base"}})
        if until(lambda: self.api.get("snapshots", "warm").get("status", {}).get("phase") == "Ready",
                 PATIENCE_SECONDS, pause=0.05) is None:
            raise RuntimeError(f"the snapshot is not ready:\n{self.daemon.tail()}")
        # The source would take its share of the CPU from both sides.
        self.api.delete("virtualmachines", "base")
        self._wait_gone()

    def fork(self, count):
        """Milliseconds from POST to the first answer of each; the clones are left running."""
        self.serial += 1
        names = [f"clone-{self.serial}-{number}" for number in range(count)]
        connections = [self.api.connect() for _ in names]

        def one(name, connection):
            began = time.monotonic()
            self.api.create("forks", "Fork", name, {"source": {"kind": "Snapshot", "name": "warm"}},
                            connection=connection)
            first_answer(self.addresses.of(name, PATIENCE_SECONDS))
            return (time.monotonic() - began) * 1000
        try:
            return at_once([lambda pair=pair: one(*pair) for pair in zip(names, connections)])
        finally:
            for connection in connections:
                connection.close()

    def recipe(self):
        """How the running clones were started: what the peer does too."""
        pid = int(run("pgrep", "-f", "-o", "--", "-incoming defer").stdout.split()[0])
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            argv = file.read().decode().split("\0")[:-1]
        states = glob.glob(os.path.join(self.state, "**", "state"), recursive=True)
        if not states:
            raise RuntimeError("the snapshot has no state file")
        return {"argv": argv, "state": states[0], "memory_fd": os.open(f"/proc/{pid}/fd/{MEMORY_FD}", os.O_RDWR),
                "address": INNER, "gateway": GATEWAY, "gateway_mac": GATEWAY_MAC}

    def drop(self):
        for name in self.api.names("forks"):
            self.api.delete("forks", name)
        self._wait_gone()

    def _wait_gone(self):
        if until(lambda: not self.api.names("virtualmachines"), PATIENCE_SECONDS, pause=0.05) is None:
            raise RuntimeError(f"VMs are still there:\n{self.daemon.tail()}")

    def close(self):
        with contextlib.suppress(Exception):  # whatever failed before is what shall be seen
            self.drop()
            self.api.delete("snapshots", "warm")
            until(lambda: not self.api.names("snapshots"), 10, pause=0.05)
        self.daemon.stop()


class Bare:
    def __init__(self, session, recipe):
        recipe = recipe | {"directory": session.directory("p7-bare")}
        script = os.path.join(os.path.dirname(os.path.realpath(__file__)), "bare_qemu.py")
        self.process = subprocess.Popen(
            ["unshare", "--net", sys.executable, script, json.dumps(recipe)], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True, pass_fds=[recipe["memory_fd"]])

    def fork(self, count):
        self.process.stdin.write(f"{count}\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("the bare script failed")
        return json.loads(line)

    def close(self):
        self.process.stdin.close()
        self.process.wait(timeout=30)


def bench(session):
    session.need("qemu-system-x86_64", "unshare", "pgrep")
    counts = (1, 3) if session.smoke else (1, 25)
    with contextlib.closing(Ours(session)) as ours:
        ours.fork(1)
        recipe = ours.recipe()
        ours.drop()
        with contextlib.closing(Bare(session, recipe)) as bare:
            bare.fork(1)
            for count in counts:
                measure(session, ours, bare, count)


def measure(session, ours, bare, count):
    rounds = session.rounds or (1 if session.smoke else 9 if count == 1 else 3)
    mine, theirs = [], []
    for _ in range(rounds):
        mine += ours.fork(count)
        ours.drop()
        theirs += bare.fork(count)
    for name, of in (("avg", statistics.fmean), ("p50", statistics.median), ("p95", lambda v: percentile(v, 0.95))):
        session.report("P7", f"fork to first HTTP answer, {count} at once, {name}", of(mine), "ms", peer=of(theirs),
                       peer_name="bare script", target="<= 1.10x", met=of(mine) <= of(theirs) * SLOWER_AT_MOST)
