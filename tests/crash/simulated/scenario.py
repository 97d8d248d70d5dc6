"""The scenario that is killed: every step may be begun again, as a client does that lost its connection."""

from support.lab.objects import is_ready, named, wait

NETWORK = {"cidr": "10.90.0.0/24", "addressRest": "1ms"}
FORK_SET = {
    "replicas": 2,
    "selector": {"matchLabels": {"app": "worker"}},
    "template": {
        "metadata": {"labels": {"app": "worker"}},
        "spec": {
            "source": {"kind": "Snapshot", "name": "warm"},
            "template": {"spec": {"interfaces": [
                {"name": "eth0", "bandwidth": {"download": {"rate": "50M"}, "upload": {"rate": "10M"}}}]}},
        },
    },
}


def vm_spec(upload):
    return {"hypervisor": "simulated", "memory": "96Mi", "boot": {"kernel": "kernel"},
            "interfaces": [{"name": "eth0", "network": "default",
                            "bandwidth": {"download": {"rate": "20M"}, "upload": {"rate": upload}}}]}


def network(api):
    api.ensure("networks", named("Network", "default", NETWORK))
    wait("the Network is Ready", lambda: is_ready(api.get("networks", "default")))


def machine(api):
    api.ensure("virtualmachines", named("VirtualMachine", "base", vm_spec("5M")))
    wait("VM base is Ready", lambda: is_ready(api.get("virtualmachines", "base")))


def snapshot(api):
    api.ensure("snapshots", named("Snapshot", "warm", {"source": {"virtualMachineName": "base"}}))
    wait("the Snapshot is Ready", lambda: is_ready(api.get("snapshots", "warm")))


def forks(api):
    api.ensure("forksets", named("ForkSet", "workers", FORK_SET))
    wait("the ForkSet and its VMs are Ready", lambda: is_ready(api.get("forksets", "workers")) and all_ready(api, 3))


def all_ready(api, count):
    machines = api.list("virtualmachines")
    return len(machines) == count and all(is_ready(vm) for vm in machines)


def bandwidth(api):
    api.patch("virtualmachines", "base", {"spec": vm_spec("7M")})
    wait("all are Ready with the new bandwidth", lambda: all_ready(api, 3))


def delete_forks(api):
    api.delete("forksets", "workers")
    wait("the ForkSet and its VMs are gone", lambda: not api.list("forksets") and not api.list("forks")
         and len(api.list("virtualmachines")) <= 1)


def delete_machines(api):
    api.delete("snapshots", "warm")
    api.delete("virtualmachines", "base")
    wait("the snapshot and VM base are gone", lambda: not api.list("snapshots") and not api.list("virtualmachines"))


def delete_network(api):
    api.delete("networks", "default")
    wait("the Network is gone", lambda: not api.list("networks"))


BUILD = [network, machine, snapshot, forks, bandwidth]
REMOVE = [delete_forks, delete_machines, delete_network]
