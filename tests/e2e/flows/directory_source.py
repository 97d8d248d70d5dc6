"""Goal: `--manifests DIR` keeps the store as the directory says, whatever is done to the directory.

Method: files are written, changed, broken, mended and removed under a running daemon, and while it is down.
"""

import json
import os
import time

from support.lab import traffic
from world import machine, network

NEEDS = []
PATIENCE = 15
SETTLE_SECONDS = 2.5


def run(world):
    Flow(world).run()


class Flow:
    def __init__(self, world):
        self.world = world
        self.directory = os.path.join(world.state, "manifests")

    def run(self):
        os.makedirs(self.directory)
        self.write("network", network())
        self.write("vms", machine("one", cpus=1), machine("two"))
        self.start()
        line = self.world.report.line
        line(self.ready("one") and self.ready("two"), "applied at start: a Network and two VMs are Ready")
        self.change()
        self.prune()
        self.broken()
        self.restart()
        for name in list(os.listdir(self.directory)):
            self.remove(name[:-len(".json")])
        # An empty directory may be a volume that is not mounted; this one was seen filled, so it counts.
        line(self.settles(lambda: self.names("vm") == [] and self.names("network") == []),
             "an emptied directory prunes everything", f"{self.names('vm')} {self.names('network')}")
        line(self.world.made() == [], "nothing is left on the host", json.dumps(self.world.made()))

    def change(self):
        self.write("vms", machine("one", cpus=2), machine("two"), machine("three"))
        line = self.world.report.line
        line(self.settles(lambda: self.spec("one", "cpus") == 2), "a changed file changes its object")
        line(self.ready("three"), "a new document makes an object")
        self.world.apply(machine("by-hand"))
        self.world.kubectl("label", "vm/two", "colour=red")

    def prune(self):
        self.write("vms", machine("one", cpus=2), machine("two"))
        line = self.world.report.line
        line(self.settles(lambda: "three" not in self.names("vm")), "a document that left its file is pruned")
        kept = self.world.kubectl.get("vm", "two")["metadata"].get("labels", {}).get("colour")
        line("by-hand" in self.names("vm") and kept == "red", "what others made or set stays",
             f"{self.names('vm')}, label {kept}")

    def broken(self):
        """The VMs of a file that can no longer be read stay, and so does everything else, until it can."""
        line = self.world.report.line
        self.write("network", network(cidr="10.90.0.0/24"), network("second", "10.91.0.0/24"))
        line(self.settles(lambda: "second" in self.names("network")), "a second Network appears")
        with open(self.path("vms"), "w", encoding="utf-8") as file:
            file.write("apiVersion: forkplane.dev/v1alpha1\nkind: [unclosed\n")
        self.write("network", network())
        seen = self.settles(lambda: self.errors() > 0)
        logged = self.settles(lambda: "vms.json" in self.world.daemon.tail(50))
        line(seen and logged, "a broken file is counted and named in the log")
        time.sleep(SETTLE_SECONDS)  # long enough to prune, if it were to
        stayed = {"one", "two", "by-hand"} <= set(self.names("vm")) and "second" in self.names("network")
        line(stayed, "its objects stay, and nothing is pruned meanwhile",
             f"{self.names('vm')} {self.names('network')}")
        self.write("vms", machine("one", cpus=2), machine("two"))
        line(self.settles(lambda: self.errors() == 0 and "second" not in self.names("network")),
             "a mended file ends it: what left meanwhile is pruned")

    def restart(self):
        uid = self.world.kubectl.get("vm", "one")["metadata"]["uid"]
        self.world.daemon.stop()
        self.write("vms", machine("one", cpus=3))
        self.start()
        line = self.world.report.line
        line(self.settles(lambda: self.spec("one", "cpus") == 3), "changed while the daemon was down: applied")
        line(self.settles(lambda: "two" not in self.names("vm")), "removed while it was down: pruned")
        line(self.world.kubectl.get("vm", "one")["metadata"]["uid"] == uid and "by-hand" in self.names("vm"),
             "the others are the same objects as before")
        self.world.kubectl("delete", "vm/by-hand", "--timeout=10s")

    def start(self):
        if self.world.daemon and self.world.daemon.process.poll() is not None:
            self.world.daemon = None
        self.world.start("--manifests", self.directory)
        self.world.links_at_start = {"fkifb0"}

    def path(self, name):
        return os.path.join(self.directory, name + ".json")

    def write(self, name, *objects):
        with open(self.path(name) + "~", "w", encoding="utf-8") as file:
            json.dump({"apiVersion": "v1", "kind": "List", "items": list(objects)}, file)
        os.rename(self.path(name) + "~", self.path(name))

    def remove(self, name):
        os.unlink(self.path(name))

    def settles(self, condition):
        return traffic.until(condition, PATIENCE, pause=0.1) is not None

    def ready(self, name):
        return self.settles(lambda: name in self.names("vm")) and \
            self.world.kubectl.wait(f"vm/{name}", "condition=Ready", PATIENCE)

    def names(self, kind):
        return [word.split("/")[1] for word in self.world.kubectl("get", kind, "-o", "name").stdout.split()]

    def spec(self, name, field):
        return self.world.kubectl.get("vm", name)["spec"].get(field)

    def errors(self):
        lines = [line for line in self.world.daemon.metrics().splitlines()
                 if line.startswith("forkplane_manifests_errors ")]
        return float(lines[0].split()[1])
