"""A network, mount and pid namespace of our own, with an uplink to an "outside" that is a namespace too."""

import json
import os
import subprocess
import sys

INSIDE = "FORKPLANE_LAB_INSIDE"
# How many times longer than on a machine of its own everything may take: more than 1 in an emulated one (tests/outer).
PATIENCE = int(os.environ.get("FORKPLANE_TEST_PATIENCE", "1"))
UPLINK = "uplink0"
UPLINK_ADDRESS = "192.0.2.1/24"
OUTSIDE_ADDRESS = "192.0.2.2"


def run(*command, check=True, **options):
    """Runs a command and returns its CompletedProcess with text output; a failure shows what it said."""
    done = subprocess.run(command, text=True, capture_output=True, **options)
    if check and done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: exit {done.returncode}: {done.stderr.strip() or done.stdout.strip()}")
    return done


def received_bytes(link):
    """What came out of a link since it was made; /sys is not this namespace's."""
    return json.loads(run("ip", "-s", "-j", "link", "show", link).stdout)[0]["stats64"]["rx"]["bytes"]


def become_root():
    """Starts this program again under sudo when it is not root's."""
    if os.geteuid() == 0:
        return
    if subprocess.run(["sh", "-c", "command -v sudo"], capture_output=True, check=False).returncode != 0:
        sys.exit("needs root for TAP devices and namespaces, and sudo is not installed: run it as root")
    os.execvp("sudo", ["sudo", "--preserve-env=HOME,XDG_CACHE_HOME,FORKPLANE_TESTDATA", sys.executable, *sys.argv])


def enter():
    """Returns inside the namespaces; outside, it runs this program again inside and exits with its code.

    The shell stays as pid 1: it reaps VMMs whose daemon was killed, and when it ends the kernel ends everything else.
    """
    if os.environ.get(INSIDE):
        _furnish()
        return
    sys.exit(run_inside(sys.executable, *sys.argv))


def run_inside(*words):
    """Runs a program in namespaces of its own; its exit code. It is to call enter(), which furnishes them."""
    command = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc",
               "--propagation", "private", "sh", "-c", '"$@"; exit $?', "lab", *words]
    return subprocess.run(command, env={**os.environ, INSIDE: "1"}, check=False).returncode


def _furnish():
    run("ip", "link", "set", "lo", "up")
    # A bpffs of our own: pins end with the namespace.
    os.makedirs("/sys/fs/bpf", exist_ok=True)
    run("mount", "-t", "bpf", "bpf", "/sys/fs/bpf")


class Outside:
    """What lies behind the uplink: a namespace kept by a sleeping process."""

    def __init__(self):
        self.process = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
        own = os.readlink("/proc/self/ns/net")
        while os.readlink(f"/proc/{self.process.pid}/ns/net") == own:
            pass  # unshare has not yet entered its namespace
        run("ip", "link", "add", UPLINK, "type", "veth", "peer", "name", "up0", "netns", str(self.process.pid))
        run("ip", "addr", "add", UPLINK_ADDRESS, "dev", UPLINK)
        run("ip", "link", "set", UPLINK, "up")
        run("ip", "route", "add", "default", "via", OUTSIDE_ADDRESS)
        self.run("ip", "addr", "add", f"{OUTSIDE_ADDRESS}/24", "dev", "up0")
        self.run("ip", "link", "set", "up0", "up")

    def run(self, *command, **options):
        return run("nsenter", "-t", str(self.process.pid), "-n", *command, **options)

    def close(self):
        run("ip", "link", "del", UPLINK, check=False)
        self.process.kill()
        self.process.wait()
