"""The steps of the demo, in order; each prints one line with its numbers."""

import json
import os
import re
import time

from support.lab import inventory, traffic
from support.lab.kube import Daemon, Kubectl
from support.lab.namespaces import Outside, run

SAMPLES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../manifests/samples")
BOOT_SECONDS = 90
READY_SECONDS = 60
HEAL_SECONDS = 10


def ms(seconds):
    return "never" if seconds is None else f"{seconds * 1000:.0f} ms"


def mbit(bits):
    return f"{bits / 1e6:.2f} Mbit/s"


class Demo:
    def __init__(self, binary, state, lines):
        self.lines = lines
        self.before = inventory.count()
        self.outside = Outside()
        self.daemon = Daemon(binary, state, "--image-roots", os.environ["FORKPLANE_LAB_IMAGES"], "--host-name", "demo")
        self.kubectl = Kubectl(os.environ["FORKPLANE_LAB_KUBECTL"], self.daemon.kubeconfig, state)
        self.clones = {}  # VM name -> its object

    def run(self):
        for step in (self.start, self.apply, self.boot, self.snapshot, self.fork, self.identity, self.limits,
                     self.delete_class, self.delete_tap, self.kill_daemon, self.delete_everything):
            step()

    def close(self):
        if self.daemon.process and self.daemon.process.poll() is None:
            self.daemon.stop()
        self.outside.close()

    def start(self):
        self.lines.line(True, "daemon ready", ms(self.daemon.start()))

    def apply(self):
        began = time.monotonic()
        done = self.kubectl("apply", "-f", f"{SAMPLES}/network.yaml", "-f", f"{SAMPLES}/vm.yaml")
        version = self.kubectl("version", "-o", "json", check=False).stdout
        client = json.loads(version)["clientVersion"]["gitVersion"] if version else "?"
        self.lines.line(done.stdout.count("created") == 2, f"2 objects applied with kubectl {client}",
                        ms(time.monotonic() - began))

    def boot(self):
        began = time.monotonic()
        ready = self.kubectl.wait("vm/base", "condition=Ready", BOOT_SECONDS)
        ready_after = time.monotonic() - began
        address = self.address("base")
        answered = traffic.answers(address, BOOT_SECONDS)
        self.lines.line(ready and answered is not None, "guest booted",
                        f"Ready after {ready_after:.1f} s, first HTTP answer after {time.monotonic() - began:.1f} s")
        ping = run("ping", "-c", "3", "-i", "0.2", "-W", "2", address, check=False)
        round_trip = re.search(r"= [\d.]+/([\d.]+)/", ping.stdout)
        self.lines.line(ping.returncode == 0, f"{address} answers ping",
                        f"{round_trip.group(1)} ms on average" if round_trip else ping.stdout.strip())
        self.lines.line(True, f"{address} answers HTTP", traffic.http_get(address).strip().splitlines()[0])

    def snapshot(self):
        self.kubectl("apply", "-f", f"{SAMPLES}/snapshot.yaml")
        ready = self.kubectl.wait("vmsnap/warm", "condition=Ready", READY_SECONDS)
        status = self.kubectl.get("vmsnap", "warm")["status"]
        self.lines.line(ready, "snapshot taken of the running guest",
                        f"paused it {status.get('pauseMilliseconds')} ms; memory {status.get('size', {}).get('memory')}")

    def fork(self):
        began = time.monotonic()
        self.kubectl("apply", "-f", f"{SAMPLES}/forkset.yaml")
        ready = traffic.until(lambda: self.ready_replicas() == 3, READY_SECONDS, pause=0.05)
        self.clones = self.vms_but_base()
        self.lines.line(ready is not None and len(self.clones) == 3, "ForkSet of 3 is Ready",
                        f"{time.monotonic() - began:.2f} s after the apply")
        for name, vm in self.clones.items():
            first = traffic.answers(self.address(name), READY_SECONDS)
            timings = vm["status"].get("timings", {})
            self.lines.line(first is not None, f"{name} answers HTTP at {self.address(name)}",
                            f"resumed {timings.get('total')} ms after its claim ({json.dumps(timings)})")

    def identity(self):
        pages = {name: traffic.http_get(self.address(name)) for name in self.clones}
        inner = {" ".join(re.findall(r"02:fc:[0-9a-f:]+|10\.90\.0\.2\b", page)) for page in pages.values()}
        addresses = {self.address(name) for name in self.clones}
        self.lines.line(len(inner) == 1 and "" not in inner and len(addresses) == len(self.clones),
                        "all clones believe in one MAC and IP yet answer at their own addresses",
                        f"inner {inner}, outer {sorted(addresses)}")

    def limits(self):
        name = sorted(self.clones)[0]
        address = self.address(name)
        up = traffic.upload_rate(address, "/files/zeros", 5)
        down = traffic.download_rate(address, 5001, 5)
        self.lines.line(abs(up / 10e6 - 1) <= 0.03, f"{name} uploads", f"{mbit(up)} of 10 Mbit/s, {up / 10e4:.1f} %")
        self.lines.line(abs(down / 50e6 - 1) <= 0.03, f"{name} downloads",
                        f"{mbit(down)} of 50 Mbit/s, {down / 50e4:.1f} %")

    def delete_class(self):
        name = sorted(self.clones)[0]
        class_id = self.interface(name)["classID"]
        run("tc", "class", "del", "dev", "fkifb0", "classid", class_id)
        back = traffic.until(lambda: f" {class_id} " in run("tc", "class", "show", "dev", "fkifb0").stdout,
                             HEAL_SECONDS, pause=0.002)
        self.lines.line(back is not None, f"class {class_id} deleted by hand came back", ms(back))

    def delete_tap(self):
        name = sorted(self.clones)[1]
        tap = self.interface(name)["tap"]
        run("ip", "link", "del", tap)
        answered = traffic.answers(self.address(name), HEAL_SECONDS)
        healed = 'driver="tap",op="reattach"' in self.daemon.metrics().replace('code="Ok",', "")
        self.lines.line(answered is not None and healed, f"{tap} deleted by hand under the running guest came back",
                        f"it answers HTTP again after {ms(answered)}")

    def kill_daemon(self):
        before = inventory.processes("qemu-system")
        addresses = [self.address(name) for name in self.clones]
        self.daemon.kill()
        down = all(traffic.answers(address, 5) is not None for address in addresses)
        after = self.daemon.start()
        healthy = traffic.until(lambda: self.ready_replicas() == 3, READY_SECONDS, pause=0.05)
        time.sleep(1)  # a loop that wanted to restart a VMM would have begun by now
        same = inventory.processes("qemu-system") == before
        self.lines.line(down and same and healthy is not None and len(before) == 4,
                        "daemon killed with SIGKILL and started again",
                        f"guests answered meanwhile, ready after {ms(after)}, VMM pids unchanged: {before}")

    def delete_everything(self):
        began = time.monotonic()
        for what in (["fks/workers"], ["vmsnap/warm"], ["vm", "--all"], ["network/default"]):
            self.kubectl("delete", *what, "--timeout=60s")
        gone = time.monotonic() - began
        settled = traffic.until(self.is_clean, 10, pause=0.05)
        leases = json.loads(self.kubectl("get", "--raw", "/debug/ledger").stdout)
        held = len(leases["vms"]) + len(leases["networks"])
        self.lines.line(settled is not None and held == 0, "everything deleted",
                        f"{gone:.1f} s; leases {held}, " + ", ".join(f"{n} {k}" for k, n in self.left().items()))

    def left(self):
        """What is there beyond the start; the IFB with its HTB is the host's, made at start and kept."""
        now = inventory.count(own={"fkifb0"})
        return {what: now[what] - self.before.get(what, 0) for what in now}

    def is_clean(self):
        return all(count == 0 for count in self.left().values())

    def ready_replicas(self):
        fork_set = self.kubectl.get("fks", "workers")
        return (fork_set or {}).get("status", {}).get("readyReplicas", 0)

    def vms_but_base(self):
        listed = json.loads(self.kubectl("get", "vm", "-o", "json").stdout)["items"]
        return {vm["metadata"]["name"]: vm for vm in listed if vm["metadata"]["name"] != "base"}

    def interface(self, name):
        return self.kubectl.get("vm", name)["status"]["interfaces"][0]

    def address(self, name):
        return self.interface(name)["ip"]
