"""Goal: whoever asks for the impossible is told the field and the remedy, and nothing is half made.

Method: what the spec alone shows is refused by the API, with each kubectl; what only the host knows is a condition.
After each, leases, links and directories are counted.
"""

import json
import os
import socket
import ssl

from support.lab import traffic
from world import interface, machine, network

NEEDS = []
PATIENCE = 15


def limits(**bandwidth):
    return machine("bad", interfaces=[interface(bandwidth=bandwidth)])


def host(name, uplinks):
    return {"apiVersion": "forkplane.dev/v1alpha1", "kind": "Host", "metadata": {"name": name}, "spec": {"uplinks": uplinks}}


def boot(path):
    return machine("bad", boot={"kernel": path})


# What is refused at once: title, object, words the answer must contain.
REFUSED = [
    ("an unknown field", machine("bad", cpuz=2), ["cpuz", "unknown field"]),
    ("a wrong type", machine("bad", cpus="two"), ["cpus", "integer"]),
    ("an absolute image path", boot("/etc/passwd"), ["spec.boot.kernel", "remove the leading slash"]),
    ("an image path with ..", boot("../objects.db"), ["spec.boot.kernel", "'..'", "name the file itself"]),
    ("a burst below the MTU", limits(upload={"rate": "10M", "burst": "100"}),
     ["spec.interfaces[0].bandwidth.upload.burst", "or more"]),
    ("a ceil below the rate", limits(upload={"rate": "10M", "ceil": "5M"}),
     ["spec.interfaces[0].bandwidth.upload.ceil", "write 10M or more"]),
    ("a prefix longer than /29", network("bad", "10.91.0.0/30"), ["spec.cidr", "/29"]),
    ("a gateway outside the cidr", network("bad", gateway="10.91.0.1"), ["spec.gateway", "leave it out"]),
    ("a gateway that is the network's address", network("bad", gateway="10.90.0.0"), ["spec.gateway", "network or broadcast"]),
    ("a gateway that is the broadcast address", network("bad", gateway="10.90.0.255"), ["spec.gateway", "network or broadcast"]),
    ("a rate of 0", limits(download={"rate": "0"}),
     ["spec.interfaces[0].bandwidth.download.rate", "leave it out for no limit"]),
    ("an uplink without capacity", host("bad", [{"interface": "uplink0", "capacity": {"upload": "0"}}]),
     ["spec.uplinks[0].capacity.upload", "leave it out for the speed of the link"]),
]


def run(world):
    images = os.path.join(world.state, "images")
    os.makedirs(images)
    os.symlink("/etc/passwd", os.path.join(images, "out"))
    world.start("--image-roots", images)
    uninvited(world)
    for where, kubectl in world.kubectls.items():
        refusals(world, where, kubectl)
    world.apply(network(cidr="10.90.0.0/29", addressRest="1s"))
    world.kubectl.wait("network/default", "condition=Ready", PATIENCE)
    world.links_at_start = world.links()  # the bridge is not what is judged below
    overlap(world)
    unknown_uplinks(world)
    waiting_objects(world)
    static_addresses(world)
    exhausted(world)


def uninvited(world):
    """Who shows no certificate is refused by the head: the body that follows it is declared and never sent."""
    for framing in ["Content-Length: 3145728", "Transfer-Encoding: chunked",
                    "Expect: 100-continue\r\nContent-Length: 3145728"]:
        told = anonymously(world, "POST /apis/forkplane.dev/v1alpha1/namespaces/default/virtualmachines HTTP/1.1\r\n"
                                  f"Content-Type: application/json\r\n{framing}\r\n\r\n")
        held = told.startswith("HTTP/1.1 401 ") and "Connection: close" in told and '"reason":"Unauthorized"' in told
        world.report.line(held, f"an anonymous POST is refused before its body ({framing.splitlines()[0]})",
                          told.splitlines()[0] if told else "no answer")


def anonymously(world, request):
    """What the API answers until it closes; "" when it says nothing for as long as we wait."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    host, port = world.daemon.API.split(":")
    told = b""
    with context.wrap_socket(socket.create_connection((host, int(port)), timeout=PATIENCE)) as connection:
        connection.sendall(request.encode())
        try:
            while part := connection.recv(65536):
                told += part
        except OSError:
            pass
    return told.decode()


def refusals(world, where, kubectl):
    for title, item, words in REFUSED:
        done = world.apply(item, check=False, kubectl=kubectl)
        told = done.stderr.strip()
        missing = [word for word in words if word not in told]
        absent = world.kubectl.get(item["kind"].lower(), "bad") is None
        world.report.line(done.returncode != 0 and not missing and absent, f"{where}: {title} is refused",
                          f"lacks {missing} in: {told}" if missing else told.splitlines()[-1])
    world.report.line(world.made() == [], f"{where}: nothing was made", json.dumps(world.made()))


def told(world, title, what, condition, reason, words):
    """Waits for the condition to be False (or True, for Conflict) with that reason and the words in its message."""
    kind, name = what.split("/")
    last = {}

    def holds():
        last.update(world.condition(kind, name, condition))
        return last.get("reason") == reason and all(word in last["message"] for word in words)
    held = traffic.until(holds, PATIENCE, pause=0.1)
    world.report.line(held is not None, title, f"{condition}={last.get('status')} {last.get('reason')}: {last.get('message')}")


def overlap(world):
    world.apply(network("overlapping", "192.0.2.0/24"))
    told(world, "a cidr that overlaps a route of the host", "network/overlapping", "Conflict", "CidrOverlaps",
         ["spec.cidr", "192.0.2.0/24", "uplink0", "choose another"])
    world.report.line(world.made() == [], "the overlapping Network has no bridge", json.dumps(world.made()))
    world.kubectl("delete", "network/overlapping", "--timeout=10s")


def unknown_uplinks(world):
    world.apply(network("unplugged", "10.91.0.0/24", uplink={"interface": "nowhere0"}))
    told(world, "a Network's uplink that is not there", "network/unplugged", "Ready", "UplinkNotFound",
         ["spec.uplink.interface", "nowhere0", "leave it out"])
    world.kubectl("delete", "network/unplugged", "--timeout=10s")
    name = json.loads(world.kubectl("get", "hosts", "-o", "json").stdout)["items"][0]["metadata"]["name"]

    def set_uplinks(uplinks):
        world.kubectl("patch", "host", name, "--type=merge", "-p", json.dumps({"spec": {"uplinks": uplinks}}))
    set_uplinks([{"interface": "nowhere0", "capacity": {"upload": "100M"}}])
    told(world, "a Host's uplink that is not there", f"host/{name}", "NetworkReady", "UplinkNotFound",
         ["spec.uplinks[0].interface", "nowhere0"])
    set_uplinks([{"interface": "uplink0", "capacity": {"upload": "100M"}}])
    told(world, "the Host's uplink is there again", f"host/{name}", "NetworkReady", "Converged", [])
    world.apply(limits(upload={"rate": "200M"}))
    told(world, "a rate above the uplink's", "vm/bad", "NetworkShaped", "RateAboveCapacity",
         ["interface eth0", "100000000 bit/s", "spec.uplinks[0].capacity.upload"])
    world.report.line(world.kubectl.wait("vm/bad", "condition=Ready", PATIENCE), "it is Ready with what there is")
    world.apply(machine("late", interfaces=[interface(bandwidth={"upload": {"rate": "1M"}})]))
    told(world, "an upload rate that the uplink has no room for", "vm/late", "Scheduled", "InsufficientUpload",
         ["needs 1 Mbit/s", "of 100 Mbit/s", "100 Mbit/s are", "spec.overcommit"])
    world.kubectl("delete", "vm/bad", "vm/late", "--timeout=10s")
    world.apply(limits(upload={"rate": "8k", "burst": "5Gi"}))
    told(world, "a burst that the kernel cannot keep", "vm/bad", "NetworkShaped", "RateBounded",
         ["interface eth0", "274 s", "8000 to 8000 bit/s"])
    world.kubectl("delete", "vm/bad", "--timeout=10s")
    set_uplinks([])


def waiting_objects(world):
    cases = [
        ("an image that is a link out of the roots", machine("bad", boot={"kernel": "out"}),
         "Scheduled", "ImageNotUsable", ["spec.boot.kernel", "out", "put one below the image roots"]),
        ("a Network that does not exist", machine("bad", interfaces=[interface("nowhere")]),
         "NetworkReady", "NetworkNotFound", ["spec.interfaces[0].network", "nowhere", "create it"]),
        ("a Snapshot that does not exist", machine("bad", restoreFrom={"snapshotName": "never"}),
         "Restored", "SnapshotNotFound", ["spec.restoreFrom.snapshotName", "never", "create it"]),
        ("an unknown hypervisor", machine("bad", hypervisor="bochs"),
         "Scheduled", "HypervisorNotFound", ["spec.hypervisor", "bochs", "simulated"]),
    ]
    for title, item, condition, reason, words in cases:
        world.apply(item)
        told(world, title, "vm/bad", condition, reason, words)
        world.report.line(world.made() == [], f"{title}: nothing was made", json.dumps(world.made()))
        world.kubectl("delete", "vm/bad", "--timeout=10s")


def static_addresses(world):
    world.apply(machine("first", interfaces=[interface(ip="10.90.0.4")]))
    world.report.line(world.kubectl.wait("vm/first", "condition=Ready", PATIENCE), "the first takes 10.90.0.4")
    before = world.made()
    for title, address, reason, words in [
            ("a static IP in use", "10.90.0.4", "AddressInUse", ["held by", "default/first"]),
            ("the gateway's IP", "10.90.0.1", "AddressInvalid", ["reserved"]),
            ("the guests' inner IP", "10.90.0.2", "AddressInvalid", ["reserved"]),
            ("an IP outside the cidr", "10.99.0.4", "AddressInvalid", ["outside", "10.90.0.0/29"])]:
        world.apply(machine("bad", interfaces=[interface(ip=address)]))
        told(world, title, "vm/bad", "NetworkReady", reason, ["spec.interfaces[0].ip", address, "leave it out for a free one", *words])
        world.report.line(world.made() == before, f"{title}: nothing was made", json.dumps(world.made()))
        world.kubectl("delete", "vm/bad", "--timeout=10s")


def exhausted(world):
    """A /29 has four addresses for VMs; "first" has one of them."""
    names = ["second", "third", "fourth"]
    world.apply(*[machine(name) for name in names])
    ready = all(world.kubectl.wait(f"vm/{name}", "condition=Ready", PATIENCE) for name in names)
    world.report.line(ready, "a /29 serves four VMs")
    before = world.made()
    world.apply(machine("fifth"))
    told(world, "the fifth waits for an address", "vm/fifth", "NetworkReady", "AddressesExhausted",
         ["default", "no free address", "4 leased"])
    world.report.line(world.made() == before, "the fifth holds nothing while it waits", json.dumps(world.made()))
    world.kubectl("delete", "vm/second", "--timeout=10s")
    world.report.line(world.kubectl.wait("vm/fifth", "condition=Ready", PATIENCE), "the fifth goes on when one is freed",
                      json.dumps((world.kubectl.get("vm", "fifth")["status"].get("interfaces") or [{}])[0].get("ip")))
    world.kubectl("delete", "vm", "--all", "--timeout=20s")
    world.report.line(world.made() == [], "everything deleted, nothing left", json.dumps(world.made()))
