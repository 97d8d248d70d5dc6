"""A host made for one run and gone after it: namespaces, a state directory in memory, one daemon after the other."""

import ctypes
import os
import shutil
import subprocess
import time

from support.lab.api import Api
from support.lab.namespaces import run

CLONE_NEWNS = 0x00020000
CLONE_NEWNET = 0x40000000
STATE = "/run/state"
ADDRESS = "127.0.0.1:6443"
START_SECONDS = 20

LINKS = """link set lo up
link add uplink0 type veth peer name up0
addr add 192.0.2.1/24 dev uplink0
link set uplink0 up
link set up0 up
route add default via 192.0.2.2
"""


def enter_host(pki):
    """Moves this process into a fresh network and mount namespace; `pki` is certificates to start from, or None: making
    them takes longer than all the rest."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET | CLONE_NEWNS) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    run("mount", "-t", "tmpfs", "tmpfs", "/run")
    run("mount", "-t", "bpf", "bpf", "/sys/fs/bpf")
    run("ip", "-batch", "-", input=LINKS)
    os.makedirs(f"{STATE}/images")
    with open(f"{STATE}/images/kernel", "wb") as image:
        image.write(b"of the simulated hypervisor")
    if pki:
        shutil.copytree(pki, f"{STATE}/pki")


class Daemon:
    """`serve` on the state directory; with `crash_at` of the binary that kills itself then."""

    LOG = f"{STATE}/daemon.log"

    def __init__(self, binary, crash_at=None):
        environment = {**os.environ, "FORKPLANE_CRASH_AT": crash_at} if crash_at else os.environ
        self.began = time.monotonic()
        with open(self.LOG, "ab") as log:
            log.write(f"--- {os.path.basename(binary)} {crash_at or ''}\n".encode())
            log.flush()
            self.process = subprocess.Popen(
                [binary, "serve", "--state-dir", STATE, "--listen", ADDRESS, "--host-name", "lab",
                 "--hypervisors-qemu-binary", "/nonexistent"],
                env=environment, stdout=log, stderr=log)

    def connect(self):
        """The API once it is ready, or None when the process ended before."""
        while self.process.poll() is None:
            if time.monotonic() - self.began > START_SECONDS:
                raise RuntimeError(f"the daemon was not ready after {START_SECONDS} s")
            try:
                api = Api(ADDRESS, STATE)
                api.connection.request("GET", "/readyz")
                answer = api.connection.getresponse()
                answer.read()
                if answer.status == 200:
                    return api
                api.close()
            except OSError:
                pass
            time.sleep(0.005)
        return None

    def stop(self):
        """Ends it in order; returns its exit code."""
        self.process.terminate()
        return self.process.wait(timeout=20)

    def was_killed(self):
        """Whether it ended by SIGKILL; waits for that a moment, since a connection breaks before the process is gone."""
        try:
            return self.process.wait(timeout=5) == -9
        except subprocess.TimeoutExpired:
            return False

    def discard(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
