"""Goal: `--manifests DIR` keeps the store as the directory says, whatever is done to the directory, and prunes only what was meant.

Method: files are written, changed, broken, mended and removed under a running daemon, and while it is down; the directory is a working tree
of git; what is held is read and confirmed with kubectl.
"""

import json
import os
import re
import subprocess
import time

from support.lab import traffic
from world import machine, network

NEEDS = []
PATIENCE = 30
SETTLE = "1s"
SETTLE_SECONDS = 2.5  # longer than that, and than the passes that it takes to prune


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
        self.typo()
        self.copied()
        self.broken()
        self.git_works()
        self.restart()
        self.emptied()
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

    def typo(self):
        """Each of these deleted a running VM."""
        line = self.world.report.line
        uid = self.uid("one")
        for was, typed in (("v1alpha1", "v1alpha2"), ("VirtualMachine", "VirtualMachin")):
            text = json.dumps(machine("one", cpus=2)).replace(was, typed)
            self.write_text("vms", text)
            held = self.settles(lambda: self.held().get("reason") == "DocumentRefused")
            time.sleep(SETTLE_SECONDS)
            told = self.held().get("message", "")
            line(held and self.uid("one") == uid and "two" in self.names("vm"),
                 f"{typed} for {was}: the VM runs on, and the Host says why", told[:160])
            line("vms.json:1" in told and "did you mean VirtualMachine of forkplane.dev/v1alpha1" in told,
                 "the condition names file, line and what was meant")
        self.write("vms", machine("one", cpus=2), machine("two"))
        line(self.settles(lambda: not self.held()), "mended: the condition goes")

    def copied(self):
        """kubectl get -o yaml | sed | kubectl create: all that the original carries, and nobody's."""
        line = self.world.report.line
        text = self.world.kubectl("get", "vm", "two", "-o", "yaml").stdout
        text = re.sub(r"(?m)^  (uid|resourceVersion|creationTimestamp|generation):.*\n", "", text.split("\nstatus:")[0])
        self.world.kubectl("create", "-f", "-", stdin=re.sub(r"\btwo\b", "copy", text) + "\n")
        time.sleep(SETTLE_SECONDS)
        self.write("third", network("third", "10.92.0.0/24"))
        self.settles(lambda: "third" in self.names("network"))
        self.remove("third")
        pruned = self.settles(lambda: "third" not in self.names("network"))
        line(pruned and "copy" in self.names("vm"), "a copy of what the directory made is never pruned", f"{self.names('vm')}")
        self.world.kubectl("delete", "vm/copy", "--timeout=10s")

    def git_works(self):
        """A rebase that stops halfway, with a real git."""
        line = self.world.report.line
        self.git("init", "--quiet")
        self.git("add", ".")
        self.git("commit", "--quiet", "-m", "all")
        self.write("second", network("second", "10.91.0.0/24"))
        self.git("add", ".")
        self.git("commit", "--quiet", "-m", "second")
        line(self.settles(lambda: "second" in self.names("network")), "a commit adds a Network")
        self.git("-c", "sequence.editor=sed -i 1ibreak", "rebase", "--quiet", "-i", "HEAD~1")
        line(not os.path.exists(self.path("second")), "a rebase stopped before it: its file is gone meanwhile")
        time.sleep(SETTLE_SECONDS)
        line("second" in self.names("network"), "the Network lives as long as the rebase does")
        self.git("rebase", "--continue")
        self.git("rm", "--quiet", "second.json")
        self.git("commit", "--quiet", "-m", "away with it")
        line(self.settles(lambda: "second" not in self.names("network")), "a commit without it prunes it")

    def emptied(self):
        """`rm *` before a checkout that may come: held until an operator says that it was meant."""
        line = self.world.report.line
        for name in ("network", "vms"):
            self.remove(name)
        line(self.settles(lambda: self.held().get("reason") == "DirectoryEmptied"), "an emptied directory is held", f"{self.held()}")
        line(self.names("vm") == ["one"] and self.names("network") == ["default"], "all that it held lives",
             f"{self.names('vm')} {self.names('network')}")
        word = re.search(r"manifests.forkplane.dev/prune=(\w+)", self.held()["message"]).group(1)
        self.world.kubectl("annotate", "--overwrite", "host", "e2e", "manifests.forkplane.dev/prune=x" + word)
        time.sleep(SETTLE_SECONDS)
        line(self.names("vm") == ["one"], "another word confirms nothing")
        self.world.kubectl("annotate", "--overwrite", "host", "e2e", "manifests.forkplane.dev/prune=" + word)
        line(self.settles(lambda: self.names("vm") == [] and self.names("network") == []), "the word that was told prunes it",
             f"{self.names('vm')} {self.names('network')}")
        line(self.settles(lambda: not self.held()), "and the condition goes")

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
        self.world.start("--manifests", self.directory, "--manifests-settle", SETTLE)
        self.world.links_at_start = {"fkifb0"}

    def path(self, name):
        return os.path.join(self.directory, name + ".json")

    def write(self, name, *objects):
        self.write_text(name, json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}))

    def write_text(self, name, text):
        with open(self.path(name) + "~", "w", encoding="utf-8") as file:
            file.write(text)
        os.rename(self.path(name) + "~", self.path(name))

    def remove(self, name):
        os.unlink(self.path(name))

    def git(self, *arguments):
        who = ("-c", "user.name=e2e", "-c", "user.email=e2e@example.com")
        subprocess.run(["git", "-C", self.directory, *who, *arguments], check=True, env={**os.environ, "GIT_EDITOR": "true"},
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def held(self):
        return self.world.condition("host", "e2e", "ManifestsHeld")

    def uid(self, name):
        return (self.world.kubectl.get("vm", name) or {}).get("metadata", {}).get("uid")

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
