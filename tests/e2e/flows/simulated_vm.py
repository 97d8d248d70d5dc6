"""Goal: the daily work with a VM holds under an old and a new kubectl, down to the kernel's classes.

Method: apply, get, describe, wait, apply again, edit the bandwidth live, delete, with hypervisor simulated: everything
but the guest is real.
"""

import json
import re

from support.lab import traffic
from support.lab.namespaces import run as command
from world import interface, machine, network

NEEDS = []
PATIENCE = 15


def run(world):
    world.start()
    for where, kubectl in world.kubectls.items():
        One(world, where, kubectl).run()


def bandwidth(down, up):
    return {"download": {"rate": down}, "upload": {"rate": up}}


def bits(text):
    """A rate as tc prints it: 50Mbit."""
    number, unit = re.match(r"([\d.]+)([KMG]?)bit", text).groups()
    return float(number) * {"": 1, "K": 1e3, "M": 1e6, "G": 1e9}[unit]


class One:
    def __init__(self, world, where, kubectl):
        self.world = world
        self.where = where
        self.kubectl = kubectl

    def line(self, holds, what, detail=""):
        return self.world.report.line(holds, f"{self.where}: {what}", detail)

    def run(self):
        version = json.loads(self.kubectl("version", "-o", "json").stdout)["clientVersion"]["gitVersion"]
        self.line(True, "this kubectl is", version)
        item = machine("sim", interfaces=[interface(bandwidth=bandwidth("50M", "10M"))])
        self.world.apply(network(), kubectl=self.kubectl)
        done = self.world.apply(item, kubectl=self.kubectl)
        self.line("virtualmachine.forkplane.dev/sim created" in done.stdout, "apply creates", done.stdout.strip())
        self.line(self.kubectl.wait("vm/sim", "condition=Ready", PATIENCE), "wait: the VM becomes Ready")
        self.shown()
        again = self.world.apply(item, kubectl=self.kubectl)
        self.line("sim unchanged" in again.stdout, "apply again changes nothing", again.stdout.strip())
        self.rates("50M and 10M stand in the kernel", 50e6, 10e6)
        number = self.interface()["classID"]
        self.world.apply(machine("sim", interfaces=[interface(bandwidth=bandwidth("20M", "5M"))]), kubectl=self.kubectl)
        self.rates("apply changes them live", 20e6, 5e6)
        self.kubectl.environment["EDITOR"] = "sed -i s/rate:.20M/rate:\\ 30M/"
        self.kubectl("edit", "vm", "sim")
        self.rates("edit changes them live", 30e6, 5e6)
        self.line(self.interface()["classID"] == number, "the class is still the same one", number)
        self.delete()

    def shown(self):
        row = self.kubectl("get", "vm", "sim").stdout.splitlines()
        address = self.interface()["ip"]
        self.line(row[0].split()[:5] == ["NAME", "PHASE", "READY", "REASON", "HOST"] and address in row[1], "get shows columns",
                  " ".join(row[1].split()))
        self.line(row[1].split()[4] == "e2e", "HOST is where it runs", " ".join(row[1].split()))
        scheduled = [c for c in self.kubectl.get("vm", "sim")["status"]["conditions"] if c["type"] == "Scheduled"]
        self.line([(c["status"], c["reason"]) for c in scheduled] == [("True", "Bound")], "it says that it is bound")
        wide = self.kubectl("get", "vm", "sim", "-o", "wide").stdout
        self.line("simulated" in wide and "50M" in wide, "get -o wide shows more", " ".join(wide.splitlines()[1].split()))
        text = self.kubectl("describe", "vm", "sim").stdout
        self.line("Events:" in text and "Network Shaped" in text.replace("NetworkShaped", "Network Shaped"),
                  "describe shows conditions and events",
                  f"{len(text.splitlines())} lines")

    def interface(self):
        return self.kubectl.get("vm", "sim")["status"]["interfaces"][0]

    def rates(self, what, down, up):
        """The class of the upload and the TBF of the download, and what the status says of them."""
        last = {}

        def follow():
            now = self.interface()
            last["upload"] = self.class_rate(now["classID"])
            last["download"] = self.tbf_rate(now["tap"])
            last["status"] = now.get("shaping")
            return last["upload"] == up and last["download"] == down
        after = traffic.until(follow, PATIENCE, pause=0.02)
        shown = traffic.until(self.is_ready, PATIENCE, pause=0.1)
        self.line(after is not None and shown is not None, what, json.dumps(last))

    def is_ready(self):
        item = self.kubectl.get("vm", "sim")
        ready = [c for c in item["status"]["conditions"] if c["type"] == "Ready"][0]
        return ready["status"] == "True" and item["status"]["observedGeneration"] == item["metadata"]["generation"]

    def class_rate(self, class_id):
        for text in command("tc", "class", "show", "dev", "fkifb0").stdout.splitlines():
            if f" {class_id} " in text:
                return bits(re.search(r" rate (\S+)", text).group(1))
        return None

    def tbf_rate(self, tap):
        found = re.search(r"qdisc tbf .* rate (\S+)", command("tc", "qdisc", "show", "dev", tap).stdout)
        return bits(found.group(1)) if found else None

    def delete(self):
        self.kubectl("delete", "vm", "sim", "--timeout=20s")
        self.kubectl("delete", "network", "default", "--timeout=20s")
        gone = traffic.until(lambda: self.world.made() == [], PATIENCE, pause=0.1)
        classes = [text for text in command("tc", "class", "show", "dev", "fkifb0").stdout.splitlines() if " root " not in text]
        self.line(gone is not None, "delete leaves nothing", json.dumps(self.world.made() + classes))
