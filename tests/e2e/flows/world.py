"""What a flow stands in: an outside, one daemon, the kubectls of this machine."""

import collections
import json
import os
import re
import shutil

from support.lab import guest, kube
from support.lab.namespaces import Outside, run

BRIDGE = "fkbr0"  # of the first Network
IFB = "fkifb0"  # where uploads are shaped


class Missing(Exception):
    """A requirement that this machine does not meet."""


def prepare(needs, binary):
    """What needs root or the network outside; paths go to the inside by the environment."""
    if os.geteuid() != 0:
        raise Missing("needs root for TAP devices and namespaces")
    if not os.path.exists("/dev/net/tun"):
        raise Missing("needs /dev/net/tun")
    kubectls = {}
    if shutil.which("kubectl"):
        kubectls["installed"] = shutil.which("kubectl")
    try:
        kubectls["debian"] = kube.debian_binary("kubernetes-client", "usr/bin/kubectl")
    except RuntimeError as error:
        print(f"cannot unpack Debian's kubectl: {error}")
    if not kubectls:
        raise Missing("there is no kubectl, and Debian's cannot be unpacked")
    os.environ["FORKPLANE_LAB_KUBECTLS"] = json.dumps(kubectls)
    try:
        if "guest" in needs:
            if not shutil.which("qemu-system-x86_64"):
                raise Missing("needs qemu-system-x86_64")
            os.environ["FORKPLANE_LAB_IMAGES"] = guest.build_image(binary)
        if "prometheus" in needs:
            for name in ("prometheus", "promtool"):
                os.environ[f"FORKPLANE_LAB_{name.upper()}"] = kube.debian_binary("prometheus", f"usr/bin/{name}")
    except RuntimeError as error:
        raise Missing(str(error)) from error


class World:
    def __init__(self, binary, state, report):
        self.binary = binary
        self.state = state
        self.report = report
        self.outside = Outside()
        self.daemon = None
        self.kubectls = {}  # by where it comes from
        self.kubectl = None  # the first of them

    def start(self, *flags):
        """A daemon on the state directory, in place of the last one."""
        if self.daemon:
            self.daemon.stop()
        self.daemon = kube.Daemon(self.binary, self.state, "--host-name", "e2e", *flags)
        self.daemon.start()
        for where, path in json.loads(os.environ["FORKPLANE_LAB_KUBECTLS"]).items():
            home = os.path.join(self.state, f"home-{where}")
            os.makedirs(home, exist_ok=True)
            self.kubectls[where] = kube.Kubectl(path, self.daemon.kubeconfig, home)
        self.kubectl = next(iter(self.kubectls.values()))
        # Its bridge and IFB are the host's own: what they leave is counted against them.
        self.links_at_start = self.links()

    def close(self):
        if self.daemon and self.daemon.process.poll() is None:
            if self.report.failed:
                print(self.daemon.tail(40))
            if self.kubectl:
                self.kubectl("delete", "fks,fk,vm,vmsnap", "--all", "--timeout=30s", check=False)  # cgroups outlive a namespace
            self.daemon.stop()
        self.outside.close()

    def apply(self, *objects, check=True, kubectl=None):
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
        return (kubectl or self.kubectl)("apply", "-f", "-", stdin=text, check=check)

    def condition(self, kind, name, wanted):
        """The condition of that type, or {}."""
        item = self.kubectl.get(kind, name) or {}
        found = [c for c in item.get("status", {}).get("conditions", []) if c["type"] == wanted]
        return found[0] if found else {}

    def address(self, name):
        """Of a VM's first interface."""
        return self.kubectl.get("vm", name)["status"]["interfaces"][0]["ip"]

    def identity_drops(self):
        """A Counter by reason."""
        found = re.findall(r'forkplane_identity_drops_total\{reason="(\w+)"\} (\d+)', self.daemon.metrics())
        return collections.Counter({reason: int(count) for reason, count in found})

    def ledger(self):
        return json.loads(self.kubectl("get", "--raw", "/debug/ledger").stdout)

    def links(self):
        return {line.split()[1].rstrip(":").split("@")[0]
                for line in run("ip", "-o", "link").stdout.splitlines() if ": fk" in line}

    def made(self):
        """What stands on the host beyond the start: VM leases, links, directories of VMs."""
        leases = [vm["owner"] for vm in self.ledger()["vms"]]
        directory = os.path.join(self.state, "vms")
        folders = os.listdir(directory) if os.path.isdir(directory) else []
        return leases + sorted(self.links() - self.links_at_start) + folders


def network(name="default", cidr="10.90.0.0/24", **spec):
    return {"apiVersion": "forkplane.dev/v1alpha1", "kind": "Network", "metadata": {"name": name},
            "spec": {"cidr": cidr, **spec}}


def machine(name, **spec):
    """A simulated VM on the Network "default" unless spec says otherwise."""
    return {"apiVersion": "forkplane.dev/v1alpha1", "kind": "VirtualMachine",
            "metadata": {"name": name, "namespace": "default"}, "spec": {"hypervisor": "simulated", **spec}}


def guest_machine(name="base", **spec):
    """A VM that runs the guest image in QEMU."""
    return machine(name, **{"hypervisor": "qemu", "memory": "96Mi",
                            "boot": {"kernel": "guest/vmlinuz", "initramfs": "guest/initramfs"}, **spec})


def interface(network_name="default", **spec):
    return {"name": "eth0", "network": network_name, **spec}
