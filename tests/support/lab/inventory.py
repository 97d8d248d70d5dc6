"""What Forkplane can leave on a host, counted."""

import glob
import os

from .namespaces import run


def count(own=()):
    """Counts by kind; links named in `own` are expected and left out with their qdiscs."""
    def ours(line):
        return not any(f"{name}:" in line or f" dev {name} " in line for name in own)

    links = [line for line in run("ip", "-o", "link").stdout.splitlines() if ": fk" in line and ours(line)]
    qdiscs = [line for line in run("tc", "qdisc", "show").stdout.splitlines() if " dev fk" in line and ours(line)]
    routes = [line for line in run("ip", "route").stdout.splitlines() if "dev fk" in line]
    with open("/proc/self/mountinfo", encoding="utf-8") as mounts:
        mounted = [line for line in mounts if "forkplane" in line]
    cgroups = glob.glob("/sys/fs/cgroup/forkplane/*/") + glob.glob("/sys/fs/cgroup/unified/forkplane/*/")
    return {
        "links": len(links),
        "qdiscs": len(qdiscs),
        "routes": len(routes),
        "mounts": len(mounted),
        "cgroups": len(cgroups),
        "processes": len(processes()),
        "shared memory": len(os.listdir("/dev/shm")),
    }


def processes(*names):
    """pids of VMMs and holders (all processes of this pid namespace but shells, sleepers and ourselves)."""
    wanted = names or ("qemu-system", "template-holder")
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/cmdline", "rb") as file:
                command = file.read().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if any(name in command for name in wanted):
            found.append(int(entry))
    return sorted(found)
