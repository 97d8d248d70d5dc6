"""Goal: the main job with real guests: boot, snapshot, three forks, each reached and reaching out; by KVM where it works.

Method: the daemon as it starts by itself, kubectl, HTTP both ways. In an outer machine (tests/outer) KVM must be what runs the
guests, by the group of /dev/kvm at 0660, and the VMM is in no other group. Nothing here judges how fast anything went.
"""

import glob
import os
import stat
import subprocess

from support.lab import traffic as lab
from support.lab.namespaces import OUTSIDE_ADDRESS
from world import guest_machine, network

NEEDS = ["guest"]
SECONDS = 90
FETCH_SECONDS = 10
FORKS = 3


def fork_set():
    return {"apiVersion": "forkplane.dev/v1alpha1", "kind": "ForkSet", "metadata": {"name": "trio", "namespace": "default"},
            "spec": {"replicas": FORKS, "selector": {"matchLabels": {"app": "trio"}},
                     "template": {"metadata": {"labels": {"app": "trio"}},
                                  "spec": {"source": {"kind": "Snapshot", "name": "warm"}}}}}


def snapshot():
    return {"apiVersion": "forkplane.dev/v1alpha1", "kind": "Snapshot", "metadata": {"name": "warm", "namespace": "default"},
            "spec": {"source": {"virtualMachineName": "base"}}}


def vmms():
    """(arguments, supplementary groups) of every VMM; the pid namespace is the flow's own."""
    found = []
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                words = file.read().split("\0")
            with open(os.path.join(os.path.dirname(path), "status"), encoding="utf-8") as file:
                groups = next(line.split()[1:] for line in file if line.startswith("Groups:"))
        except OSError:
            continue  # it has ended
        if "qemu-system" in words[0]:
            found.append((words, groups))
    return found


def judge_vmms(world):
    line = world.report.line
    running = vmms()
    accelerators = {words[words.index("-accel") + 1].split(",")[0] for words, _ in running}
    line(len(accelerators) == 1, "the VMMs run on one accelerator", " ".join(accelerators))
    kvm = accelerators == {"kvm"}
    if os.environ.get("FORKPLANE_TEST_HAS_KVM"):
        node = os.stat("/dev/kvm")
        line(kvm and stat.S_IMODE(node.st_mode) == 0o660, "which is KVM, whose node is its group's", oct(node.st_mode))
    wanted = [str(os.stat("/dev/kvm").st_gid)] if kvm and os.stat("/dev/kvm").st_mode & 0o006 != 0o006 else []
    line(all(groups == wanted for _, groups in running), f"each VMM is in these groups and no other: {wanted}",
         str([groups for _, groups in running]))


def serve_outside(world):
    """A web server behind the uplink; the caller ends it."""
    folder = os.path.join(world.state, "outside")
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "index.html"), "w", encoding="ascii") as page:
        page.write("served outside\n")
    return subprocess.Popen(["nsenter", "-t", str(world.outside.process.pid), "-n", "python3", "-m", "http.server", "80",
                             "--directory", folder], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def reaches_out(address):
    """Whether the guest gets the page of a server behind the uplink."""
    fetched = lambda: "served outside" in lab.http_get(address, f"/cgi-bin/fetch?{OUTSIDE_ADDRESS}", seconds=FETCH_SECONDS)  # noqa: E731
    return lab.until(fetched, FETCH_SECONDS) is not None


def run(world):
    line = world.report.line
    world.start("--image-roots", os.environ["FORKPLANE_LAB_IMAGES"])
    world.apply(network(), guest_machine("base"))
    line(world.kubectl.wait("vm/base", "condition=Ready", SECONDS), "a guest boots")
    line(lab.answers(world.address("base"), SECONDS) is not None, "and answers", world.address("base"))
    world.apply(snapshot())
    line(world.kubectl.wait("vmsnap/warm", "condition=Ready", SECONDS), "a snapshot of it is Ready while it runs")
    world.apply(fork_set())
    line(world.kubectl.wait("fks/trio", "condition=Ready", SECONDS), f"{FORKS} forks are Ready")
    machines = [name for name in world.kubectl("get", "vm", "-o", "name").stdout.split() if not name.endswith("/base")]
    addresses = {world.address(name.split("/")[1]) for name in machines}
    line(len(addresses) == FORKS, "each with an address of its own", " ".join(sorted(addresses)))
    judge_vmms(world)
    pages = serve_outside(world)
    try:
        for address in sorted(addresses):
            line(lab.answers(address, SECONDS) is not None, "a fork answers", address)
            line(reaches_out(address), "and gets a page from outside")
    finally:
        pages.kill()
        pages.wait()
    world.kubectl("delete", "fks,vm", "--all", f"--timeout={SECONDS}s")
    world.kubectl("delete", "vmsnap/warm", f"--timeout={SECONDS}s")
    world.kubectl("delete", "network/default", f"--timeout={SECONDS}s")
    line(world.made() == [], "everything deleted, nothing left", str(world.made()))
