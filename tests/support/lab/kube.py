"""kubectl, and the daemon it talks to."""

import fcntl
import glob
import json
import os
import re
import shutil
import signal
import ssl
import subprocess
import time
import urllib.request

from .namespaces import PATIENCE, run


def cache_directory():
    root = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    path = os.path.join(root, "forkplane")
    os.makedirs(path, exist_ok=True)
    return path


def debian_binary(package, path):
    """A program of a Debian package, downloaded and unpacked into the cache: never installed, no service started."""
    root = os.path.join(cache_directory(), package)
    binary = os.path.join(root, path)
    with open(root + ".lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # on a new machine several tests want it at once
        if not os.path.exists(binary):
            _unpack(package, root)
    return binary


def _unpack(package, root):
    staging = root + ".new"
    shutil.rmtree(staging, ignore_errors=True)
    os.makedirs(staging)
    os.chmod(staging, 0o755)
    run("apt-get", "download", package, cwd=staging)
    run("dpkg", "-x", glob.glob(os.path.join(staging, "*.deb"))[0], staging)
    shutil.rmtree(root, ignore_errors=True)
    os.rename(staging, root)


def find_kubectl():
    """The installed kubectl, else Debian's 1.20 unpacked."""
    return shutil.which("kubectl") or debian_binary("kubernetes-client", "usr/bin/kubectl")


class Kubectl:
    def __init__(self, binary, kubeconfig, home):
        self.binary = binary
        self.environment = {"KUBECONFIG": kubeconfig, "HOME": home, "PATH": os.environ["PATH"]}

    def __call__(self, *arguments, check=True, stdin=None):
        patient = [re.sub(r"^--timeout=(\d+)s$", lambda found: f"--timeout={int(found[1]) * PATIENCE}s", word)
                   for word in arguments]
        return run(self.binary, *patient, check=check, input=stdin, env=self.environment)

    def get(self, kind, name):
        """The object, or None."""
        done = self("get", kind, name, "-o", "json", "--ignore-not-found")
        return json.loads(done.stdout) if done.stdout.strip() else None

    def wait(self, what, condition, seconds):
        """True when the condition held in time."""
        return self("wait", what, f"--for={condition}", f"--timeout={seconds}s", check=False).returncode == 0


class Daemon:
    """`forkplane serve` on a state directory; its log is `daemon.log` in it."""

    API = "127.0.0.1:6443"
    METRICS = "127.0.0.1:9464"

    def __init__(self, binary, state_directory, *flags):
        self.binary = binary
        self.state_directory = state_directory
        self.flags = flags
        self.process = None
        self.log = os.path.join(state_directory, "daemon.log")

    @property
    def kubeconfig(self):
        return os.path.join(self.state_directory, "kubeconfig")

    def start(self, seconds=20):
        """Returns the seconds until it was ready."""
        began = time.monotonic()
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [self.binary, "serve", "--state-dir", self.state_directory, "--listen", self.API,
                 "--metrics-listen", self.METRICS, *self.flags], stdout=log, stderr=log)
        while time.monotonic() - began < seconds * PATIENCE:
            if self.process.poll() is not None:
                raise RuntimeError(f"the daemon ended with {self.process.returncode}:\n{self.tail()}")
            if self.is_ready():
                return time.monotonic() - began
            time.sleep(0.005)
        raise RuntimeError(f"the daemon was not ready after {seconds * PATIENCE} s:\n{self.tail()}")

    def is_ready(self):
        """Whether /readyz answers 200; anybody may ask it, so no certificate is shown and none checked."""
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        try:
            with urllib.request.urlopen(f"https://{self.API}/readyz", timeout=PATIENCE, context=context) as answer:
                return answer.status == 200
        except OSError:
            return False

    def metrics(self):
        with urllib.request.urlopen(f"http://{self.METRICS}/metrics", timeout=5 * PATIENCE) as answer:
            return answer.read().decode()

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self, seconds=20):
        self.process.terminate()
        return self.process.wait(timeout=seconds * PATIENCE)

    def tail(self, lines=15):
        with open(self.log, encoding="utf-8", errors="replace") as log:
            return "".join(log.readlines()[-lines:])
